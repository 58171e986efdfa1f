/** The client's conversation without a network: every order of replies, losses and timeouts. */
import { describe, expect, test } from 'vitest';
import { OpportuneError } from '../../client/opportune-error.ts';
import { backoffMillis, randomFraction, randomMessageId } from '../../client/random.ts';
import { ClientSession, type Outgoing, type RequestBody } from '../../client/session.ts';
import { decodeReply } from '../../proto/reply.ts';

interface Asked extends Outgoing {
  readonly outcomes: unknown[];
}

function ask(body: RequestBody = { op: 'ping' }, deadlineAtMillis = 100): Asked {
  const outcomes: unknown[] = [];
  return {
    body,
    deadlineAtMillis,
    budgetMillis: 100,
    outcomes,
    settle: (reply, error) => outcomes.push(reply ?? error),
  };
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const decode = (frame: Uint8Array | undefined): unknown => decodeReply('json', frame ?? new Uint8Array());

describe('ClientSession', () => {
  test('ids: count up from 1, and the remaining budget goes along', () => {
    const session = new ClientSession('json');
    expect(session.open([ask()], 40).map(decode)).toEqual([{ id: 1, op: 'ping', deadlineMillis: 60 }]);
    expect(session.open([ask(), ask({ op: 'ping' }, Number.POSITIVE_INFINITY)], 99.9).map(decode)).toEqual([
      [
        { id: 2, op: 'ping', deadlineMillis: 1 },
        { id: 3, op: 'ping' },
      ],
    ]);
    expect(session.inFlightCount).toBe(3);
    expect(session.open([], 0)).toEqual([]);
  });

  test('replies: settle their own request when they come in another order, and only once', () => {
    const session = new ClientSession('json');
    const [first, second] = [ask(), ask()];
    session.open([first, second], 0);
    expect(session.receive(encode({ id: 2, ok: true, serverMicros: 1, timeEpochMillis: 2 }))).toBe(true);
    expect(first.outcomes).toEqual([]);
    expect(second.outcomes).toEqual([{ id: 2, ok: true, serverMicros: 1, timeEpochMillis: 2 }]);
    session.receive(
      encode([
        { id: 2, ok: true },
        { id: 1, ok: true },
      ]),
    );
    expect(second.outcomes).toHaveLength(1);
    expect(first.outcomes).toHaveLength(1);
    expect(session.strayReplyCount).toBe(1);
  });

  test('deadline: over exactly when its instant is reached, and a later reply is stray', () => {
    const session = new ClientSession('json');
    const [soon, late] = [ask(undefined, 100), ask(undefined, 101)];
    session.open([soon, late], 0);
    expect(session.nextDeadlineMillis()).toBe(100);
    session.expire(99.9);
    expect(soon.outcomes).toEqual([]);
    session.expire(100);
    expect(soon.outcomes).toEqual([expect.objectContaining({ status: 'DEADLINE_EXCEEDED', code: 0 })]);
    expect(late.outcomes).toEqual([]);
    expect(session.nextDeadlineMillis()).toBe(101);
    session.receive(encode({ id: 1, ok: true }));
    expect(session.strayReplyCount).toBe(1);
    expect(soon.outcomes).toHaveLength(1);
  });

  test('loss: everything in flight fails once and nothing is left', () => {
    const session = new ClientSession('json');
    const asked = [ask(), ask()];
    session.open(asked, 0);
    const error = new OpportuneError('UNAVAILABLE', 0, 'gone', 'reconnect');
    session.failAll(error);
    session.failAll(error);
    expect(asked.map((one) => one.outcomes)).toEqual([[error], [error]]);
    expect(session.nextDeadlineMillis()).toBe(Number.POSITIVE_INFINITY);
  });

  test('error reply: its fields are kept, and odd ones become the safest reading', () => {
    const session = new ClientSession('json');
    const asked = [ask(), ask()];
    session.open(asked, 0);
    session.receive(
      encode({ id: 1, ok: false, status: 'NOT_FOUND', code: 1301, message: 'm', retry: 'later', retryAfterMillis: 5 }),
    );
    session.receive(encode({ id: 2, ok: 1, code: 'x', retry: 'often' }));
    expect(asked[0]?.outcomes[0]).toMatchObject({
      status: 'NOT_FOUND',
      code: 1301,
      retry: 'later',
      retryAfterMillis: 5,
    });
    expect(asked[1]?.outcomes[0]).toMatchObject({ status: 'INTERNAL', code: 0, retry: 'never', retryAfterMillis: 0 });
  });

  test('frames: false when undecodable, true and ignored when not a reply', () => {
    const session = new ClientSession('json');
    for (const text of ['', '{', '{"id":1}x', '\u0000'])
      expect(session.receive(new TextEncoder().encode(text))).toBe(false);
    for (const value of [null, 5, 'x', [], [[]], { id: 'x' }, { push: 'decision' }])
      expect(session.receive(encode(value))).toBe(true);
  });

  test('room: the request beyond the in-flight limit is refused, the others sent', () => {
    const session = new ClientSession('msgpack');
    const asked = Array.from({ length: 1025 }, () => ask());
    const frames = session.open(asked, 0);
    expect(frames).toHaveLength(1);
    expect(asked[1023]?.outcomes).toEqual([]);
    expect(asked[1024]?.outcomes).toEqual([expect.objectContaining({ status: 'RESOURCE_EXHAUSTED', retry: 'later' })]);
  });
});

describe('random', () => {
  test('backoffMillis: within the doubling bound and never above 10 s', () => {
    expect(backoffMillis(0, 0)).toBe(0);
    expect(backoffMillis(0, 0.5)).toBe(50);
    expect(backoffMillis(3, 0.5)).toBe(400);
    expect(backoffMillis(1e9, 0.999)).toBeLessThan(10_000);
  });

  test('randomFraction and randomMessageId: in range, and not the same twice', () => {
    const fractions = Array.from({ length: 1000 }, randomFraction);
    expect(fractions.every((fraction) => fraction >= 0 && fraction < 1)).toBe(true);
    // The mean of 1,000 uniform draws has standard deviation 0.0092: six of them.
    expect(Math.abs(fractions.reduce((sum, fraction) => sum + fraction, 0) / 1000 - 0.5)).toBeLessThan(0.055);
    const ids = new Set(Array.from({ length: 1000 }, randomMessageId));
    expect(ids.size).toBe(1000);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });
});
