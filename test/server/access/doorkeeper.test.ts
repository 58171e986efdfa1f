/** The door without sockets: the order of refusals, and what changes while a token is judged. */
import { describe, expect, it } from 'vitest';
import { Doorkeeper, type DoorOptions, type LoginJudge } from '../../../server/access/doorkeeper.ts';
import type { LoginVerdict } from '../../../server/access/login-verdict.ts';
import { ANONYMOUS } from '../../../server/access/principal.ts';
import type { Admission } from '../../../server/session.ts';
import type { UpgradeRequest, UpgradeVerdict } from '../../../server/transport.ts';
import { COUNTER, createMetricsBuffer, MetricsReader, MetricsWriter } from '../../../workers/metrics-layout.ts';

const OPEN: DoorOptions = {
  allowedOrigins: [],
  requestsPerSecondPerToken: 0,
  requestsPerSecondPerAddress: 0,
  connectionsPerAddressMax: 0,
};
const REQUEST: UpgradeRequest = {
  path: '/v1/ws',
  subprotocols: ['opportune.v1.json'],
  origin: '',
  authorization: '',
  queryToken: '',
  hasOptOut: false,
  address: '10.0.0.1',
};
const admission: Admission = { login: ANONYMOUS, address: '10.0.0.1', hasOptOut: false };

function door(
  verdict: LoginVerdict | Promise<LoginVerdict> | null,
  options: Partial<DoorOptions> = {},
): { door: Doorkeeper; state: { isDraining: boolean; judged: number }; counter: (position: number) => number } {
  const state = { isDraining: false, judged: 0 };
  const buffer = createMetricsBuffer();
  const judge: LoginJudge | null =
    verdict === null
      ? null
      : {
          login: () => {
            state.judged++;
            return verdict;
          },
          stands: () => true,
        };
  const reader = new MetricsReader([buffer]);
  return {
    door: new Doorkeeper({ ...OPEN, ...options }, judge, new MetricsWriter(buffer), () =>
      state.isDraining ? 'the server is stopping' : null,
    ),
    state,
    counter: (position) => reader.counter(0, position),
  };
}
function statusOf(verdict: UpgradeVerdict): number {
  return verdict.accept ? 101 : verdict.httpStatus;
}

describe('doorkeeper', () => {
  it('door: without keys everybody is let in at once, as anonymous', () => {
    const { door: open } = door(null);
    expect(open.judge(REQUEST)).toEqual({ accept: true, subprotocol: 'opportune.v1.json', admission });
    expect(open.judge({ ...REQUEST, hasOptOut: true })).toMatchObject({ admission: { hasOptOut: true } });
  });
  it.each([
    ['a page of elsewhere', { origin: 'https://evil.example' }, {}, 403],
    ['a page of this machine', { origin: 'http://localhost:3000' }, {}, 101],
    [
      'a page of this machine where a list names others',
      { origin: 'http://localhost' },
      { allowedOrigins: ['https://a.b'] },
      403,
    ],
    ['a page of the list', { origin: 'https://a.b' }, { allowedOrigins: ['https://a.b'] }, 101],
    ['no subprotocol of ours', { subprotocols: ['graphql'] }, {}, 400],
  ])('door: %s → %s', async (_what, request, options, expected) => {
    const { door: guarded, state } = door({ login: ANONYMOUS }, options);
    expect(statusOf(await guarded.judge({ ...REQUEST, ...request }))).toBe(expected);
    // A token is the dearest to judge, so nothing else may be left to ask.
    expect(state.judged).toBe(expected === 101 ? 1 : 0);
  });
  it.each([
    ['missing', 401, COUNTER.loginsMissing],
    ['invalid', 401, COUNTER.loginsInvalid],
    ['expired', 401, COUNTER.loginsExpired],
    ['forbidden', 401, COUNTER.loginsForbidden],
    ['unavailable', 503, COUNTER.loginsUnavailable],
  ] as const)('door: a login that is %s gets %d and is counted', async (refusal, expected, position) => {
    for (const verdict of [{ refusal }, Promise.resolve({ refusal })]) {
      const { door: guarded, counter } = door(verdict);
      expect(statusOf(await guarded.judge(REQUEST))).toBe(expected);
      expect([counter(position), counter(COUNTER.connectionsRefused)]).toEqual([1, 1]);
    }
  });
  it('door: a node that begins to stop while a token is judged lets nobody in', async () => {
    let settle: (verdict: LoginVerdict) => void = () => {};
    const pending = new Promise<LoginVerdict>((resolve) => {
      settle = resolve;
    });
    const { door: guarded, state } = door(pending);
    const verdict = guarded.judge(REQUEST);
    state.isDraining = true;
    settle({ login: ANONYMOUS });
    expect(statusOf(await verdict)).toBe(503);
    expect(statusOf(await guarded.judge(REQUEST))).toBe(503);
  });
  it('door: places of an address are taken when a connection opens and given back when it ends', async () => {
    const { door: narrow } = door(null, { connectionsPerAddressMax: 2 });
    const held = [narrow.admit(admission), narrow.admit(admission)];
    expect(held.every((limits) => limits !== null)).toBe(true);
    expect(statusOf(await narrow.judge(REQUEST))).toBe(429);
    // Two that were judged at the same time cannot both have the last place.
    expect(narrow.admit(admission)).toBeNull();
    expect(narrow.admit({ ...admission, address: '10.0.0.2' })).not.toBeNull();
    narrow.leave(admission, { perToken: null, perAddress: null });
    expect(statusOf(await narrow.judge(REQUEST))).toBe(101);
    expect(narrow.admit(admission)).not.toBeNull();
  });
  it('door: attempts count as requests of their address, before any token is looked at', async () => {
    const { door: slow, state } = door({ refusal: 'invalid' }, { requestsPerSecondPerAddress: 3 });
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => statusOf(await slow.judge(REQUEST))));
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    expect(state.judged).toBe(3);
    expect(statusOf(await slow.judge({ ...REQUEST, address: '10.0.0.2' }))).toBe(401);
  });
});
