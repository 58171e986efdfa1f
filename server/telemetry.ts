/**
 * Traces, built afterwards. A shard worker keeps phase timestamps for the few requests worth tracing
 * and posts them (workers/trace-record.ts); here, on the main thread, each record becomes one RPC
 * server span with one child a phase, with the times at which things really happened, as part of the
 * caller's trace when it sent a `traceparent`. The hot path never sees a tracing library.
 *
 * Every record given is exported: choosing is done before (otel-environment.ts, TraceGate). Spans carry
 * counts, versions and names of the protocol; no profile key, no trait, no event content.
 */
import {
  type Attributes,
  type Context,
  DiagLogLevel,
  diag,
  type HrTime,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { AlwaysOnSampler, BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { OP_NAMES, RPC_ATTRIBUTE, RPC_SYSTEM } from '../workers/metrics-layout.ts';
import { PHASE_NAMES, type TraceRecord } from '../workers/trace-record.ts';

export interface Tracing {
  /** Builds and queues the spans of a batch. Cost a few microseconds a record; a full queue drops, never waits. */
  export(records: readonly TraceRecord[]): void;
  /** Sends what is queued and stops. Never rejects. */
  shutdown(): Promise<void>;
}

/** Resource of this node: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES over our own defaults. */
export function createResource(version: string): Resource {
  const own = resourceFromAttributes({ 'service.name': 'opportune', 'service.version': version });
  return defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
}

/** Starts the exporter; call only when `TraceGate.isEnabled`. Batch and endpoint settings come from `OTEL_*`. */
export function startTracing(resource: Resource): Tracing {
  const processor = new BatchSpanProcessor(new OTLPTraceExporter());
  const provider = new BasicTracerProvider({ resource, sampler: new AlwaysOnSampler(), spanProcessors: [processor] });
  const tracer = provider.getTracer('opportune');
  return {
    export: (records) => {
      for (const record of records) buildSpans(tracer, record);
    },
    shutdown: () => provider.shutdown().catch(() => undefined), // the exporter has said why through `diag`
  };
}

/** Passes what the exporters complain about (a collector that is down) to our log, at most one a line. */
export function forwardExportProblems(write: (message: string) => void): void {
  const ignore = (): void => undefined;
  const pass = (message: string, ...rest: unknown[]): void => write([message, ...rest.map(String)].join(' '));
  diag.setLogger({ error: pass, warn: pass, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);
}

/** One server span and its phases. Tracer: any; the record's times are used, never the current one. */
export function buildSpans(tracer: Tracer, record: TraceRecord): void {
  const method = OP_NAMES[record.op] ?? 'unknown';
  const span = tracer.startSpan(
    `${RPC_SYSTEM}/${method}`,
    {
      kind: SpanKind.SERVER,
      startTime: toHrTime(record.startEpochMicros),
      attributes: attributesOf(record, method),
    },
    contextOf(record.traceparent),
  );
  const inside = trace.setSpan(ROOT_CONTEXT, span);
  for (const [phase, name] of PHASE_NAMES.entries()) {
    const startMicros = record.phases[2 * phase] ?? Number.NaN;
    const endMicros = record.phases[2 * phase + 1] ?? Number.NaN;
    if (!(endMicros >= startMicros)) continue; // NaN: the phase did not run
    const startTime = toHrTime(record.startEpochMicros + startMicros);
    tracer.startSpan(name, { startTime }, inside).end(toHrTime(record.startEpochMicros + endMicros));
  }
  // Only our own failures make a server span an error; a caller's mistake is the caller's error.
  if (record.status === 'INTERNAL' || record.status === 'UNAVAILABLE' || record.status === 'DEADLINE_EXCEEDED') {
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end(toHrTime(record.endEpochMicros));
}

function attributesOf(record: TraceRecord, method: string): Attributes {
  const attributes: Attributes = {
    [RPC_ATTRIBUTE.systemName]: RPC_SYSTEM,
    [RPC_ATTRIBUTE.method]: method,
    [RPC_ATTRIBUTE.statusCode]: record.status,
    'opportune.trace.reason': record.reason,
    'opportune.shard': record.shard,
    'opportune.partition': record.partition,
    'opportune.state_seq': record.stateSeq,
    'opportune.catalog.version': record.catalogVersion,
    'opportune.model.version': record.modelVersion,
    'opportune.candidates': record.candidates,
    'opportune.forwarded': record.isForwarded,
  };
  if (record.code !== 0) {
    attributes['opportune.fault.code'] = record.code;
    attributes['error.type'] = record.status;
  }
  return attributes;
}

/** The caller's span as parent; a traceparent that is not valid W3C version 00 begins a trace of our own. */
function contextOf(traceparent: string | null): Context {
  const parts = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? '');
  const [, traceId, spanId, flags] = parts ?? [];
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return ROOT_CONTEXT;
  const isSampled = (Number.parseInt(flags ?? '00', 16) & TraceFlags.SAMPLED) !== 0;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function toHrTime(epochMicros: number): HrTime {
  const seconds = Math.floor(epochMicros / 1e6);
  return [seconds, Math.round((epochMicros - seconds * 1e6) * 1000)];
}
