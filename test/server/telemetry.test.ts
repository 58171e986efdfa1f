import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OP } from '../../proto/messages.ts';
import { startMetrics } from '../../server/metrics.ts';
import type { NodeStatus } from '../../server/node-status.ts';
import { readOtelEnvironment } from '../../server/otel-environment.ts';
import { createResource, startTracing } from '../../server/telemetry.ts';
import {
  COUNTER,
  createMetricsBuffer,
  MetricsReader,
  MetricsWriter,
  STATUS_INDEX,
} from '../../workers/metrics-layout.ts';
import { createPhases, PHASE, PHASE_NAMES, setPhase, type TraceRecord } from '../../workers/trace-record.ts';
import { hexOf, readAttributes, readFields, readPath, textOf } from './protobuf-wire.ts';

interface Received {
  readonly path: string;
  readonly contentType: string;
  readonly header: string;
  readonly body: Buffer;
}

const received: Received[] = [];
const collector = createServer((request, response) => {
  void readAll(request).then((body) => {
    received.push({
      path: request.url ?? '',
      contentType: request.headers['content-type'] ?? '',
      header: String(request.headers['x-team'] ?? ''),
      body,
    });
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
});

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // an http request yields buffers
  return Buffer.concat(chunks);
}

const names = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_SERVICE_NAME',
  'OTEL_RESOURCE_ATTRIBUTES',
];
beforeEach(async () => {
  received.length = 0;
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo; // listening on TCP
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${port}`;
  process.env.OTEL_EXPORTER_OTLP_HEADERS = 'x-team=offers';
  process.env.OTEL_SERVICE_NAME = 'offers-eu';
  process.env.OTEL_RESOURCE_ATTRIBUTES = 'deployment.environment.name=test';
});
afterEach(async () => {
  for (const name of names) delete process.env[name];
  collector.closeAllConnections();
  collector.close();
  await once(collector, 'close');
});

const START_MICROS = 1_780_000_000_123_456;
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT_ID = 'b7ad6b7169203331';

function record(change: Partial<TraceRecord> = {}): TraceRecord {
  const phases = createPhases();
  for (const [index] of PHASE_NAMES.entries()) setPhase(phases, index as 0, index * 100, index * 100 + 50); // phases by position
  return {
    op: OP.decide,
    status: 'OK',
    code: 0,
    startEpochMicros: START_MICROS,
    endEpochMicros: START_MICROS + 900,
    phases,
    traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`,
    shard: 1,
    partition: 200,
    stateSeq: 7,
    catalogVersion: 'abcdef012345',
    modelVersion: 3,
    candidates: 20,
    isForwarded: false,
    reason: 'slow',
    ...change,
  };
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly statusCode: number;
  readonly attributes: Map<string, string | bigint | number>;
}

function spansOf(body: Uint8Array): Span[] {
  return readPath(body, [1, 2, 2]).map((bytes) => {
    const fields = readFields(bytes);
    const field = (number: number) => fields.find((candidate) => candidate.number === number);
    return {
      traceId: hexOf(field(1)?.bytes),
      spanId: hexOf(field(2)?.bytes),
      parentId: hexOf(field(4)?.bytes),
      name: textOf(field(5)?.bytes),
      kind: Number(field(6)?.value ?? 0n),
      startNanos: field(7)?.value ?? 0n,
      endNanos: field(8)?.value ?? 0n,
      statusCode: Number(
        readFields(field(15)?.bytes ?? new Uint8Array()).find(({ number }) => number === 3)?.value ?? 0n,
      ),
      attributes: readAttributes(readPath(bytes, [9])),
    };
  });
}

async function exported(records: readonly TraceRecord[]): Promise<Span[]> {
  const tracing = startTracing(createResource('1.2.3'));
  tracing.export(records);
  await tracing.shutdown();
  return received.flatMap(({ body }) => spansOf(body));
}

describe('traces', () => {
  it('traces: one decide arrives as OTLP protobuf, a server span of the caller with one child a phase', async () => {
    const spans = await exported([record()]);
    expect(received[0]).toMatchObject({ path: '/v1/traces', contentType: 'application/x-protobuf', header: 'offers' });
    const root = spans.find((span) => span.name === 'opportune/decide');
    expect(root).toMatchObject({ traceId: TRACE_ID, parentId: PARENT_ID, kind: 2, statusCode: 0 });
    expect(root?.startNanos).toBe(BigInt(START_MICROS) * 1000n);
    expect(root?.endNanos).toBe(BigInt(START_MICROS + 900) * 1000n);
    const children = spans.filter((span) => span !== root);
    expect(children.map((span) => span.name).sort()).toEqual([...PHASE_NAMES].sort());
    for (const child of children) {
      const index = PHASE_NAMES.indexOf(child.name as 'codec'); // just compared with the names
      expect(child).toMatchObject({ traceId: TRACE_ID, parentId: root?.spanId });
      expect(child.startNanos).toBe(BigInt(START_MICROS + index * 100) * 1000n);
      expect(child.endNanos).toBe(BigInt(START_MICROS + index * 100 + 50) * 1000n);
    }
    expect(Object.fromEntries(root?.attributes ?? [])).toMatchObject({
      'rpc.system.name': 'opportune',
      'rpc.method': 'decide',
      'rpc.status_code': 'OK',
      'opportune.partition': 200n,
      'opportune.trace.reason': 'slow',
    });
    const resource = readAttributes(readPath(received[0]?.body ?? new Uint8Array(), [1, 1, 1]));
    expect(resource.get('service.name')).toBe('offers-eu');
    expect(resource.get('service.version')).toBe('1.2.3');
    expect(resource.get('deployment.environment.name')).toBe('test');
  });
  it('traces: a phase that did not run has no span', async () => {
    const phases = createPhases();
    setPhase(phases, PHASE.codec, 0, 0);
    setPhase(phases, PHASE.reply, 5, 4);
    const spans = await exported([record({ phases })]);
    expect(spans.map((span) => span.name).sort()).toEqual(['codec', 'opportune/decide']);
  });
  it.each([
    ['INTERNAL', 1901, 2],
    ['UNAVAILABLE', 1701, 2],
    ['DEADLINE_EXCEEDED', 1601, 2],
    ['INVALID_ARGUMENT', 1001, 0],
    ['RESOURCE_EXHAUSTED', 1502, 0],
  ] as const)('traces: status %s with code %i makes span status %i', async (status, code, statusCode) => {
    const [root] = (await exported([record({ status, code })])).filter((span) => span.kind === 2);
    expect(root?.statusCode).toBe(statusCode);
    expect(root?.attributes.get('opportune.fault.code')).toBe(BigInt(code));
    expect(root?.attributes.get('error.type')).toBe(status);
  });
  it.each([
    null,
    '',
    'nonsense',
    `01-${TRACE_ID}-${PARENT_ID}-01`,
    `00-${'0'.repeat(32)}-${PARENT_ID}-01`,
    `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
    `00-${TRACE_ID.toUpperCase()}-${PARENT_ID}-01`,
    `00-${TRACE_ID}-${PARENT_ID}-01-more`,
  ])('traces: traceparent %j begins a trace of our own', async (traceparent) => {
    const [root] = (await exported([record({ traceparent })])).filter((span) => span.kind === 2);
    expect(root?.parentId).toBe('');
    expect(root?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(root?.traceId).not.toBe(TRACE_ID);
  });
  it('traces: a caller that was not sampled is still exported when the worker chose to', async () => {
    const spans = await exported([record({ traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` })]);
    expect(spans).toHaveLength(1 + PHASE_NAMES.length);
  });
  it('traces: a collector that is gone does not keep the node from stopping', async () => {
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = 'http://127.0.0.1:1';
    process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '100';
    const tracing = startTracing(createResource('1'));
    tracing.export([record()]);
    await tracing.shutdown();
    delete process.env.OTEL_EXPORTER_OTLP_TIMEOUT;
    expect(received).toHaveLength(0);
  });
});

const status: NodeStatus = {
  version: '1.2.3',
  startedAtEpochMillis: 1_780_000_000_000,
  isDraining: false,
  fit: { fittedAtEpochMillis: null, people: 0, isLastGood: null, shardsPending: 0 },
  shards: [
    { index: 0, state: 'ready', restarts: 0, isReadOnly: false, problem: null },
    { index: 1, state: 'recovering', restarts: 2, isReadOnly: false, problem: null },
  ],
  catalog: {
    path: 'x',
    name: 'x',
    version: 'y',
    actions: 4,
    products: 1,
    slots: 1,
    channels: 1,
    traits: 1,
    refused: null,
  },
};

describe('metrics', () => {
  function filled(): MetricsReader {
    const buffers = [createMetricsBuffer(), createMetricsBuffer()];
    const writers = buffers.map((buffer) => new MetricsWriter(buffer));
    writers[0]?.add(COUNTER.leasesOpened, 5);
    writers[1]?.add(COUNTER.leasesConfirmed, 3);
    writers[0]?.recordDuration(OP.decide, STATUS_INDEX.OK, 90);
    writers[1]?.recordDuration(OP.decide, STATUS_INDEX.OK, 110);
    writers[1]?.recordDuration(OP.track, STATUS_INDEX.INVALID_ARGUMENT, 20_000_000);
    return new MetricsReader(buffers);
  }
  it('metrics: Prometheus text holds counters a shard, calls by status, and the histogram of both shards', async () => {
    const metrics = startMetrics({
      reader: filled(),
      status: () => status,
      resource: createResource('1.2.3'),
      otlp: null,
    });
    const text = await metrics.prometheusText();
    const lines = text.split('\n');
    expect(lines).toContain('opportune_leases_total{event="opened",shard="0"} 5');
    expect(lines).toContain('opportune_leases_total{event="confirmed",shard="1"} 3');
    expect(lines).toContain('opportune_requests_total{op="decide",status="OK",shard="1"} 1');
    expect(lines).toContain('opportune_ready 0');
    expect(lines).toContain('opportune_shard_restarts_total{shard="1"} 2');
    expect(lines).toContain('# TYPE rpc_server_call_duration histogram');
    const labels = 'rpc_system_name="opportune",rpc_method="decide",rpc_status_code="OK"';
    expect(lines).toContain(`rpc_server_call_duration_bucket{${labels},le="0.00007"} 0`);
    expect(lines).toContain(`rpc_server_call_duration_bucket{${labels},le="0.0001"} 1`);
    expect(lines).toContain(`rpc_server_call_duration_bucket{${labels},le="0.00015"} 2`);
    expect(lines).toContain(`rpc_server_call_duration_bucket{${labels},le="+Inf"} 2`);
    expect(lines).toContain(`rpc_server_call_duration_count{${labels}} 2`);
    expect(lines).toContain(`rpc_server_call_duration_sum{${labels}} 0.0002`);
    const slow = 'rpc_system_name="opportune",rpc_method="track",rpc_status_code="INVALID_ARGUMENT"';
    expect(lines).toContain(`rpc_server_call_duration_bucket{${slow},le="10"} 0`);
    expect(lines).toContain(`rpc_server_call_duration_bucket{${slow},le="+Inf"} 1`);
    await metrics.shutdown();
    expect(received).toHaveLength(0);
  });
  it('metrics: leave as OTLP protobuf when asked for', async () => {
    const otlp = { intervalMillis: 60_000, timeoutMillis: 5000 };
    const metrics = startMetrics({ reader: filled(), status: () => status, resource: createResource('1.2.3'), otlp });
    await metrics.shutdown();
    expect(received[0]).toMatchObject({ path: '/v1/metrics', contentType: 'application/x-protobuf' });
    const found = received.flatMap(({ body }) =>
      readPath(body, [1, 2, 2]).map((metric) => textOf(readPath(metric, [1])[0])),
    );
    expect(found).toContain('rpc.server.call.duration');
    expect(found).toContain('opportune_leases');
  });
});

describe('environment', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' };
  it('environment: exports nothing when nothing says so', () => {
    expect(readOtelEnvironment({}, 0.01)).toEqual({
      traces: { isEnabled: false, sampleRatio: 0, followsParent: false },
      metrics: null,
      warnings: [],
    });
  });
  it('environment: an endpoint means otlp for both signals, a signal’s own for that one', () => {
    const both = readOtelEnvironment(endpoint, 0.01);
    expect(both.traces).toEqual({ isEnabled: true, sampleRatio: 0.01, followsParent: true });
    expect(both.metrics).toEqual({ intervalMillis: 60_000, timeoutMillis: 30_000 });
    const one = readOtelEnvironment({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x' }, 0.01);
    expect([one.traces.isEnabled, one.metrics]).toEqual([true, null]);
  });
  it('environment: none, disabled and empty variables turn it off', () => {
    expect(readOtelEnvironment({ ...endpoint, OTEL_SDK_DISABLED: 'true' }, 1).traces.isEnabled).toBe(false);
    expect(readOtelEnvironment({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }, 1).traces.isEnabled).toBe(false);
    expect(readOtelEnvironment({ ...endpoint, OTEL_METRICS_EXPORTER: 'none' }, 1).metrics).toBeNull();
    expect(readOtelEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, 1).traces.isEnabled).toBe(false);
    expect(readOtelEnvironment({ OTEL_TRACES_EXPORTER: 'otlp' }, 1).traces.isEnabled).toBe(true);
  });
  it.each([
    ['always_on', undefined, 1, false, true],
    ['always_off', undefined, 0, false, false],
    ['parentbased_always_off', undefined, 0, true, true],
    ['traceidratio', '0.25', 0.25, false, true],
    ['parentbased_traceidratio', '0', 0, true, true],
    ['traceidratio', undefined, 1, false, true],
  ])('environment: sampler %s with %s', (sampler, argument, sampleRatio, followsParent, isEnabled) => {
    const settings = readOtelEnvironment(
      { ...endpoint, OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument },
      0.01,
    );
    expect(settings.traces).toEqual({ isEnabled, sampleRatio, followsParent });
    expect(settings.warnings).toEqual([]);
  });
  it.each([
    [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' }],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: 'NaN' }],
    [{ OTEL_METRIC_EXPORT_INTERVAL: '0' }],
    [{ OTEL_TRACES_EXPORTER: 'zipkin,otlp' }],
    [{ OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' }],
  ])('environment: warns about %j and goes on', (variables) => {
    const settings = readOtelEnvironment({ ...endpoint, ...variables }, 0.01);
    expect(settings.warnings).toHaveLength(1);
    expect(settings.traces.isEnabled).toBe(true);
  });
  it('environment: keeps the metric timeout within the interval', () => {
    const settings = readOtelEnvironment({ ...endpoint, OTEL_METRIC_EXPORT_INTERVAL: '1000' }, 0.01);
    expect(settings.metrics).toEqual({ intervalMillis: 1000, timeoutMillis: 1000 });
  });
});
