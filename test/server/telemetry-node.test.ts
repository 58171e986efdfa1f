/**
 * What leaves the running server for its operators: traces as real OTLP, metrics that add up to what was
 * sent, health; and what must never leave it: the key of a profile.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { monotonicMillis } from '../../workers/clock.ts';
import { hexOf, readAttributes, readFields, readPath, textOf } from './protobuf-wire.ts';
import { RunningNode, sumOf, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
const SECRET_KEY = 'very-private-person@example.org';
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT_ID = 'b7ad6b7169203331';

interface Received {
  readonly path: string;
  readonly contentType: string;
  readonly body: Buffer;
}
let collector: Server;
let endpoint = '';
let received: Received[] = [];
let node: RunningNode | undefined;
beforeEach(async () => {
  received = [];
  collector = createServer((request, response) => {
    void readAll(request).then((body) => {
      received.push({ path: request.url ?? '', contentType: request.headers['content-type'] ?? '', body });
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`; // listening on TCP
});
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
  collector.closeAllConnections();
  collector.close();
});

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // an http request yields buffers
  return Buffer.concat(chunks);
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Map<string, string | bigint | number>;
}
/** ResourceSpans.scope_spans.spans of opentelemetry/proto/trace/v1/trace.proto. */
function spans(): Span[] {
  return received
    .filter(({ path }) => path === '/v1/traces')
    .flatMap(({ body }) => readPath(body, [1, 2, 2]))
    .map((bytes) => {
      const fields = readFields(bytes);
      const field = (number: number) => fields.find((candidate) => candidate.number === number);
      return {
        traceId: hexOf(field(1)?.bytes),
        spanId: hexOf(field(2)?.bytes),
        parentId: hexOf(field(4)?.bytes),
        name: textOf(field(5)?.bytes),
        startNanos: field(7)?.value ?? 0n,
        endNanos: field(8)?.value ?? 0n,
        attributes: readAttributes(fields.filter(({ number }) => number === 9).map((one) => one.bytes)),
      };
    });
}
const EXPORTING = { OTEL_BSP_SCHEDULE_DELAY: '100', OTEL_METRIC_EXPORT_INTERVAL: '500' };

describe('telemetry of the running server', () => {
  it("traces: one decide arrives as OTLP, in the caller's trace, with every phase in its time", async () => {
    node = await RunningNode.start({
      catalog,
      environment: { ...EXPORTING, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
      words: ['--slow-millis', '60000'],
    });
    const peer = await WirePeer.connect(node.url);
    const traceparent = `00-${TRACE_ID}-${PARENT_ID}-01`;
    const sentAt = BigInt(Date.now()) * 1_000_000n;
    const { serverMicros } = await peer.must({
      op: 'decide',
      profile: SECRET_KEY,
      slot: 'home',
      sku: 'espresso',
      durability: 'committed',
      traceparent,
    });
    const answeredAt = BigInt(Date.now() + 1) * 1_000_000n;
    await until(() => spans().some(({ traceId, name }) => traceId === TRACE_ID && name === 'opportune/decide'));
    expect(received.every(({ contentType }) => contentType === 'application/x-protobuf')).toBe(true);
    const trace = spans().filter(({ traceId }) => traceId === TRACE_ID);
    const root = trace.find(({ name }) => name === 'opportune/decide') as Span; // waited for above
    expect(root.parentId).toBe(PARENT_ID);
    expect(root.attributes.get('rpc.method')).toBe('decide');
    expect(root.attributes.get('rpc.status_code')).toBe('OK');
    expect(root.attributes.get('opportune.trace.reason')).toBe('parent');
    expect(root.startNanos).toBeGreaterThanOrEqual(sentAt - 2_000_000n);
    expect(root.endNanos).toBeLessThanOrEqual(answeredAt + 2_000_000n);
    const rootMicros = Number(root.endNanos - root.startNanos) / 1000;
    expect(rootMicros).toBeGreaterThan(0);
    // The reply was written before the disk was waited for; the span ends when it left.
    expect(rootMicros).toBeGreaterThan(serverMicros - 1000);
    const phases = trace.filter(({ parentId }) => parentId === root.spanId);
    for (const name of ['codec', 'mailbox', 'eligibility', 'score', 'price', 'sendTime', 'commit']) {
      const phase = phases.find((span) => span.name === name);
      expect(phase, name).toBeDefined();
      expect(phase?.startNanos).toBeGreaterThanOrEqual(root.startNanos - 1000n);
      expect(phase?.endNanos).toBeLessThanOrEqual(root.endNanos + 1000n);
      expect(phase?.endNanos).toBeGreaterThanOrEqual(phase?.startNanos ?? 0n);
    }
    const order = [...phases].sort((a, b) => Number(a.startNanos - b.startNanos)).map(({ name }) => name);
    expect(order.filter((name) => name !== 'reply')).toEqual([
      'codec',
      'mailbox',
      'eligibility',
      'score',
      'price',
      'sendTime',
      'commit',
    ]);
    // Turns take microseconds; that the disk takes longer shows that the phases are not just drawn in.
    const commit = phases.find(({ name }) => name === 'commit') as Span; // found in the loop above
    expect(Number(commit.endNanos - commit.startNanos) / 1000).toBeGreaterThan(50);
    expect(await node.stop()).toBe(0);
  });

  it('traces: a failed request is traced without being asked, metrics are exported, and no profile key leaves', async () => {
    const environment = { ...EXPORTING, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'always_on' };
    node = await RunningNode.start({ catalog, environment, words: ['--log-level', 'trace', '--drills'] });
    const peer = await WirePeer.connect(node.url);
    const profile = SECRET_KEY;
    await peer.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
    const { decisionId } = await peer.must({ op: 'decide', profile, slot: 'golden', explain: true });
    await peer.must({ op: 'track', profile, event: 'click', decisionId, messageId: `${SECRET_KEY}-1` });
    await peer.must({ op: 'profile', profile });
    await peer.ask({ op: 'decide', profile, slot: 'nowhere' });
    await peer.ask({ op: 'identify', profile, traits: { [SECRET_KEY]: SECRET_KEY } });
    await peer.ask({ op: 'track', profile: SECRET_KEY.repeat(20), event: 'view' });
    await peer.ask({ op: SECRET_KEY });
    await node.drill('worker-error', 0);
    await until(() => spans().some(({ attributes }) => attributes.get('rpc.status_code') === 'NOT_FOUND'));
    const failed = spans().find(({ attributes }) => attributes.get('rpc.status_code') === 'NOT_FOUND');
    expect(failed?.attributes.get('opportune.fault.code')).toBe(1301n);
    await until(() => received.some(({ path }) => path === '/v1/metrics'));
    const { text } = await node.get('/metrics');
    const health = [await node.get('/healthz'), await node.get('/readyz')];
    expect(await node.stop()).toBe(0);
    const said = [
      text,
      node.stderr,
      node.stdout,
      ...health.map((one) => one.text),
      ...received.map(({ body }) => body.toString('latin1')),
    ];
    for (const one of said) expect(one).not.toContain('very-private-person');
    // The search itself works: what is meant to be there is found in the same texts.
    expect(received.some(({ body }) => body.toString('latin1').includes('opportune/decide'))).toBe(true);
    expect(node.stderr).toContain('fault drill');
  });

  it('nothing is sent anywhere when no variable asks for it', async () => {
    // The default address of a collector would be another port; a variable that turns all off wins over the endpoint.
    node = await RunningNode.start({
      catalog,
      environment: { ...EXPORTING, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'true' },
    });
    let peer = await WirePeer.connect(node.url);
    const request = { op: 'decide', profile: 'p', traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` };
    await peer.must(request);
    expect(await node.stop()).toBe(0);
    node = await RunningNode.start({ catalog, environment: EXPORTING });
    peer = await WirePeer.connect(node.url);
    await peer.must(request);
    expect(await node.metric('opportune_traces_recorded_total')).toBe(0);
    expect(await node.stop()).toBe(0);
    expect(received).toEqual([]);
    expect(node.logLines().filter((line) => Number(line.level) >= 40)).toEqual([]);
  });

  it('a collector that is down: is complained about in the log, and costs no request and no stop', async () => {
    const environment = {
      ...EXPORTING,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
      OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
      OTEL_TRACES_SAMPLER: 'always_on',
    };
    node = await RunningNode.start({ catalog, environment });
    const peer = await WirePeer.connect(node.url);
    for (let n = 0; n < 20; n++) await peer.must({ op: 'decide', profile: `p${n}` });
    const running = node;
    await until(() => running.logLines().some((line) => Number(line.level) >= 40));
    await peer.must({ op: 'track', profile: 'p', event: 'view' });
    // With the exporter's usual patience of ten seconds, and something to export, it stops as soon.
    const { data } = node;
    expect(await node.stop()).toBe(0);
    node = await RunningNode.start({
      catalog,
      data,
      environment: { ...environment, OTEL_EXPORTER_OTLP_TIMEOUT: '10000' },
    });
    await (await WirePeer.connect(node.url)).must({ op: 'decide', profile: 'p' });
    const startMillis = monotonicMillis();
    expect(await node.stop()).toBe(0);
    expect(monotonicMillis() - startMillis).toBeLessThan(7000);
  });

  it('/metrics: counts exactly what was sent, by operation and status, and histograms agree', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const profiles = Array.from({ length: 10 }, (_, n) => `counted-${n}`);
    for (const profile of profiles) {
      await peer.must({ op: 'ping' });
      await peer.must({ op: 'track', profile, event: 'view', messageId: 'm' });
      await peer.must({ op: 'track', profile, event: 'view', messageId: 'm' });
      const { decisionId } = await peer.must({ op: 'decide', profile, slot: 'home', sku: 'espresso' });
      await peer.must({ op: 'confirm', decisionId });
      await peer.ask({ op: 'decide', profile, slot: 'nowhere' });
      await peer.ask({ op: 'whatIf', profile });
      await peer.ask({ op: 'track', profile });
    }
    const running = node;
    // Turns' own statistics are published ten times a second.
    await until(async () => (await running.metric('opportune_leases_total', { event: 'confirmed' })) === 10);
    const { text } = await node.get('/metrics');
    const requests = (op: string, status: string): number => sumOf(text, 'opportune_requests_total', { op, status });
    expect(requests('ping', 'OK')).toBe(10);
    expect(requests('track', 'OK')).toBe(20);
    expect(requests('decide', 'OK')).toBe(10);
    expect(requests('decide', 'NOT_FOUND')).toBe(10);
    expect(requests('confirm', 'OK')).toBe(10);
    expect(requests('whatIf', 'UNIMPLEMENTED')).toBe(10);
    expect(sumOf(text, 'opportune_requests_total')).toBe(80);
    expect(sumOf(text, 'opportune_requests_total', { status: 'INVALID_ARGUMENT' })).toBe(10);
    expect(sumOf(text, 'rpc_server_call_duration_count')).toBe(80);
    expect(sumOf(text, 'rpc_server_call_duration_bucket', { le: '+Inf' })).toBe(80);
    expect(sumOf(text, 'opportune_duplicate_events_total')).toBe(10);
    expect(sumOf(text, 'opportune_profiles_created_total')).toBe(10);
    expect(sumOf(text, 'opportune_profiles_resident')).toBe(10);
    expect(sumOf(text, 'opportune_leases_total', { event: 'opened' })).toBe(10);
    expect(sumOf(text, 'opportune_leases_open')).toBe(0);
    expect(sumOf(text, 'opportune_quotes_issued_total')).toBe(10);
    expect(sumOf(text, 'opportune_received_frames_total')).toBe(80);
    expect(sumOf(text, 'opportune_connections')).toBe(1);
    expect(sumOf(text, 'opportune_ready')).toBe(1);
    expect(sumOf(text, 'opportune_commit_duration_seconds_count')).toBeGreaterThan(0);
    peer.close();
    await until(async () => (await running.metric('opportune_connections')) === 0);
    expect((await node.get('/healthz')).status).toBe(200);
    expect((await node.get('/readyz')).status).toBe(200);
    expect(await node.stop()).toBe(0);
  });

  it('leases: granted = confirmed + released + expired + open, at every moment that is looked at', {
    timeout: 60_000,
  }, async () => {
    const short = writeCatalog(catalogText({ leaseMillis: 1500 }));
    node = await RunningNode.start({ catalog: short });
    const running = node;
    const peer = await WirePeer.connect(node.url);
    const ids: string[] = [];
    for (let n = 0; n < 60; n++)
      ids.push((await peer.must({ op: 'decide', profile: `leased-${n % 20}`, slot: 'capped' })).decisionId);
    for (const decisionId of ids.slice(0, 20)) await peer.must({ op: 'confirm', decisionId });
    for (const decisionId of ids.slice(20, 35)) await peer.must({ op: 'release', decisionId });
    const lease = async (event: string): Promise<number> => running.metric('opportune_leases_total', { event });
    await until(async () => (await lease('released')) === 15);
    expect(await lease('opened')).toBe(60);
    expect(await lease('confirmed')).toBe(20);
    // Nobody asks for these people again: the timers end what is left.
    await until(async () => (await lease('expired')) === 25);
    expect(await running.metric('opportune_leases_open')).toBe(0);
    expect(await peer.ask({ op: 'confirm', decisionId: ids.at(-1) })).toMatchObject({ code: 1401 });
    expect(await node.stop()).toBe(0);
  });
});
