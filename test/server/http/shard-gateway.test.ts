/**
 * The main thread's way to the workers when they do not answer: what waits is bounded and told to come again, a worker
 * that dies answers what waits for it, and the next request finds its replacement. By HTTP, with a worker that is only
 * the other end of a port.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterEach, expect, it } from 'vitest';
import { FAULT } from '../../../proto/statuses.ts';
import { type AdminHttp, startAdminHttp } from '../../../server/admin-http.ts';
import { EventIntake } from '../../../server/http/incoming-event.ts';
import { ingestRoutes } from '../../../server/http/ingest-routes.ts';
import { ShardGateway } from '../../../server/http/shard-gateway.ts';
import { until } from '../running-node.ts';

const notAsked = (): never => {
  throw new Error('no route of these tests asks for it');
};
let admin: AdminHttp;
let gateway: ShardGateway;
let intake: EventIntake;
const workers: MessagePort[] = [];

async function start(waitingMax: number, requestsPerSecondPerToken = 0): Promise<void> {
  gateway = new ShardGateway({
    tenants: ['default'],
    shards: 1,
    connect: () => {
      const { port1, port2 } = new MessageChannel();
      workers.push(port2);
      return port1;
    },
    refusal: () => null,
    requestsPerSecondPerToken,
    waitingMax,
  });
  intake = new EventIntake(gateway);
  admin = await startAdminHttp(
    { host: '127.0.0.1', port: 0, hosts: [], routes: ingestRoutes(gateway, intake) },
    { status: notAsked, metricsText: notAsked, related: notAsked, catalogSchema: notAsked },
  );
}
const track = (query = ''): Promise<Response> =>
  fetch(`${admin.url}/v1/track${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"userId": "u", "event": "e"}',
  });
const counts = (): Record<string, number> => {
  const found: Record<string, number> = {};
  intake.forEachCount((source, outcome, count) => {
    if (count > 0) found[`${source} ${outcome}`] = count;
  });
  return found;
};

afterEach(async () => {
  gateway.close();
  await admin.close();
  for (const worker of workers.splice(0)) worker.close();
});

it('gateway: one more than may wait is answered 429 with Retry-After, at once', async () => {
  await start(2);
  const waiting = [track(), track()];
  await until(() => gateway.waiting === 2);
  const refused = await track();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(refused.headers.get('content-type')).toBe('application/problem+json');
  expect(await refused.json()).toMatchObject({ status: 429, code: FAULT.mailboxFull.code });
  expect(counts()).toEqual({ 'segment later': 1 });
  gateway.unlink(0);
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([503, 503]);
});

it('gateway: more than one token may send a second is answered 429 with Retry-After', async () => {
  await start(100, 2);
  const waiting = [track(), track()];
  await until(() => gateway.waiting === 2);
  const refused = await track();
  expect([refused.status, Number(refused.headers.get('retry-after'))]).toEqual([429, 1]);
  expect(await refused.json()).toMatchObject({ code: FAULT.rateLimited.code });
  gateway.unlink(0);
  await Promise.all(waiting);
});

it('gateway: a worker that dies answers what waits with 503 and Retry-After; the next goes to its replacement', async () => {
  await start(10);
  const waiting = track('?strict=1');
  await until(() => gateway.waiting === 1);
  expect(workers).toHaveLength(1);
  gateway.unlink(0);
  const answer = await waiting;
  expect([answer.status, answer.headers.has('retry-after')]).toEqual([503, true]);
  expect(await answer.json()).toMatchObject({ code: FAULT.shardRecovering.code });
  await gateway.settled();
  const next = track();
  await until(() => gateway.waiting === 1);
  expect(workers).toHaveLength(2);
  gateway.close();
  expect((await next).status).toBe(503);
  expect((await track()).status).toBe(503);
  expect(workers).toHaveLength(2);
  expect(counts()).toEqual({ 'segment later': 3 });
});
