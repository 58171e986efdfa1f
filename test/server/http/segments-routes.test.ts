/** The doors of sizes and previews: who is shown small counts, what is refused, and a count that takes its time. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operationsOf, type Role } from '../../../server/access/roles.ts';
import { type AdminHttp, startAdminHttp } from '../../../server/admin-http.ts';
import { segmentsRoutes } from '../../../server/http/segments-routes.ts';
import { SegmentSizes } from '../../../server/segment-sizes.ts';
import type { CatalogSource } from '../../../workers/catalog/catalog-source.ts';
import type { SegmentCounts } from '../../../workers/segments/count-segments.ts';

const COUNTS: SegmentCounts = {
  startedAtEpochMillis: 1,
  atEpochMillis: 2,
  people: 100,
  restricted: 0,
  tags: [
    { tag: 'none', family: 'social', people: 0 },
    { tag: 'few', family: 'social', people: 4 },
    { tag: 'some', family: 'social', people: 5 },
  ],
  rule: { matches: 4, clauses: [{ clause: 'a', alone: 5, without: 4 }] },
  sample: { records: 1000, share: { low: 0.01, high: 0.1 } },
  journeys: [
    {
      journey: 'j',
      stages: [
        { stage: 's', people: 4 },
        { stage: 't', people: 5 },
      ],
      left: 1,
      reached: 6,
    },
  ],
  unkept: [],
};

/** Jobs that end when they are told to. */
const waiting: { readonly input: unknown; end(result: SegmentCounts | Error): void }[] = [];
const sizes = new SegmentSizes({
  storePath: 'nowhere',
  catalog: () => ({}) as CatalogSource, // handed on, and looked at by nobody here
  isServing: () => true,
  jobs: {
    run: (_name, input) =>
      new Promise((resolve, reject) => {
        new Uint32Array((input as unknown as { progress: SharedArrayBuffer }).progress).set([3, 9]); // of this job
        waiting.push({
          input,
          end: (result) => (result instanceof Error ? reject(result) : resolve(result as never)),
        });
      }),
  },
});

let admin: AdminHttp;
/** Waits for no count. */
let hasty: AdminHttp;
beforeAll(async () => {
  const sizesOf = (tenant: string): SegmentSizes | undefined => (tenant === 'default' ? sizes : undefined);
  const authenticator = {
    login: ({ authorization }: { readonly authorization: string }) => {
      const role = authorization.slice('Bearer '.length) as Role;
      const principal = { id: role, tenant: 'default', roles: [role] };
      const operations = operationsOf([role], true);
      return { login: { principal, operations, expiresAtEpochMillis: Infinity, credential: '' } };
    },
  };
  const options = { host: '127.0.0.1', port: 0, hosts: [], authenticator };
  admin = await startAdminHttp({ ...options, routes: segmentsRoutes(sizesOf, 60_000) }, {} as never); // no route of its own is asked
  hasty = await startAdminHttp({ ...options, routes: segmentsRoutes(sizesOf, 1) }, {} as never);
});
afterAll(() => Promise.all([admin.close(), hasty.close()]));

function ask(role: Role, path: string, body?: string, server = admin): Promise<Response> {
  const headers = { authorization: `Bearer ${role}` };
  return fetch(server.url + path, { headers, ...(body === undefined ? {} : { method: 'POST', body }) });
}
const job = async (): Promise<(typeof waiting)[number]> => {
  for (;;) {
    const next = waiting.shift();
    if (next !== undefined) return next;
    await new Promise((wake) => setTimeout(wake, 2));
  }
};

describe('segments routes', () => {
  it('segments routes: small counts are for operators only, none and few alike', async () => {
    const answers = [ask('marketer', '/v1/segments/preview', '{"rule":"true","sample":7}')];
    const { input, end } = await job();
    expect(input).toMatchObject({ rule: 'true', sample: 7 });
    end(COUNTS);
    answers.push(ask('operator', '/v1/segments'));
    (await job()).end(COUNTS);
    const [guarded, full] = await Promise.all(answers.map(async (answer) => (await answer).json()));
    expect(full).toEqual(COUNTS);
    expect(guarded).toMatchObject({
      shownFrom: 5,
      people: 100,
      restricted: null,
      tags: [{ people: null }, { people: null }, { people: 5 }],
      journeys: [{ stages: [{ people: null }, { people: 5 }], left: null, reached: 6 }],
      rule: { matches: null, clauses: [{ alone: 5, without: null }] },
      sample: { records: 1000, share: null },
    });
    expect((await ask('app', '/v1/segments')).status).toBe(403);
  });

  it('segments routes: a count that takes long is answered with its number, and found under it', async () => {
    const late = await ask('operator', '/v1/segments/preview', '{"rule":"true"}', hasty);
    expect([late.status, await late.json()]).toEqual([202, { pass: expect.any(Number), read: 3, total: 9 }]);
    const place = late.headers.get('location') ?? '';
    (await job()).end(COUNTS);
    expect(await (await ask('operator', place)).json()).toEqual(COUNTS);
    expect((await ask('operator', '/v1/segments/pass?id=9999')).status).toBe(404);
    expect((await ask('operator', '/v1/segments/pass?id=x')).status).toBe(400);
  });

  it('segments routes: who asks for sizes while they are counted shares the next count, which begins later', async () => {
    const first = sizes.sizes();
    const running = await job();
    const later = [sizes.sizes(), sizes.sizes()];
    expect(new Set(later).size).toBe(1);
    expect(later).not.toContain(first);
    expect(waiting).toEqual([]);
    running.end(COUNTS);
    expect((await first?.counts)?.people).toBe(100);
    const next = await job();
    // That one has begun: what is asked for now might not be in it.
    expect(later).not.toContain(sizes.sizes());
    next.end({ ...COUNTS, people: 101 });
    expect((await later[0]?.counts)?.people).toBe(101);
    (await job()).end(COUNTS);
  });

  it('segments routes: more than eight at a time are told to come again', async () => {
    const passes = Array.from({ length: 8 }, () => sizes.preview('true', null));
    expect(passes).not.toContain(null);
    const ninth = await ask('operator', '/v1/segments/preview', '{"rule":"true"}');
    expect([ninth.status, ninth.headers.get('retry-after')]).toEqual([429, '5']);
    for (const _ of passes) (await job()).end(COUNTS);
    for (const pass of passes) await pass?.counts;
  });

  it.each([
    ['', /JSON/],
    ['null', /rule/],
    ['{}', /rule/],
    ['{"rule":""}', /rule/],
    [`{"rule":"${'x'.repeat(4097)}"}`, /rule/],
    ['{"rule":"true","sample":0}', /sample/],
    ['{"rule":"true","sample":1.5}', /sample/],
    ['{"rule":"true","sample":"9"}', /sample/],
    ['{"rule":"true","more":1}', /nothing else/],
  ])('segments routes: %s is refused', async (body, reason) => {
    const answer = await ask('marketer', '/v1/segments/preview', body);
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringMatching(reason)]);
  });
});
