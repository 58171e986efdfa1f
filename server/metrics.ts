/**
 * Metrics leave the node here: the typed arrays of workers/metrics-layout.ts become OpenTelemetry
 * instruments when, and only when, somebody collects. Counters and gauges are observable callbacks;
 * histograms, which OpenTelemetry cannot observe, come from a MetricProducer with the buckets as they
 * are. `/metrics` is a reader of the same provider through the Prometheus serializer, on our own admin
 * server. OTLP export is a second reader, made only when the environment asks (otel-environment.ts).
 */
import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { emptyResource, type Resource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type HistogramMetricData,
  MeterProvider,
  type MetricProducer,
  MetricReader,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { OpNumber } from '../proto/messages.ts';
import { epochMillis } from '../workers/clock.ts';
import type { FeedState } from '../workers/feed-book.ts';
import {
  BUCKET_MICROS,
  COUNTER,
  COUNTERS,
  GAUGE,
  GAUGES,
  HISTOGRAM,
  HISTOGRAMS,
  type HistogramRow,
  type MetricInfo,
  type MetricsReader,
  NODE_COUNTERS,
  NODE_GAUGES,
  OP_COUNT,
  OP_NAMES,
  REQUESTS,
  RPC_ATTRIBUTE,
  RPC_DURATION,
  RPC_SYSTEM,
  STATUS_NAMES,
} from '../workers/metrics-layout.ts';
import type { FeedKeeper } from './feed-keeper.ts';
import { isReady, type NodeStatus } from './node-status.ts';
import type { MetricsExport } from './otel-environment.ts';
import { residentMemoryBytes } from './resident-memory.ts';
import type { EndpointCounts } from './webhooks/webhook-endpoint.ts';
import type { WebhookState } from './webhooks/webhook-messages.ts';

const SCOPE = 'opportune';
const BOUNDS_SECONDS = BUCKET_MICROS.map((micros) => micros / 1e6);

/** What is counted of a webhook's deliveries. */
const WEBHOOK_OUTCOMES = [
  'delivered',
  'failed',
  'skipped',
  'dead',
  'lost',
] as const satisfies readonly (keyof EndpointCounts)[];

export interface Metrics {
  /** Prometheus text format. */
  prometheusText(): Promise<string>;
  /** Sends what is pending and stops exporting. Never rejects; a collector that is gone does not stop a stop. */
  shutdown(): Promise<void>;
}

export interface MetricsOptions {
  /** Buffers in the order of tenants, and of shards within each. */
  readonly reader: MetricsReader;
  /** With more than one, every value carries its tenant: there are as many as the operator named, never more. */
  readonly tenants?: readonly string[];
  readonly status: () => NodeStatus;
  /** Visits the counts of what came by HTTP. */
  readonly ingested?: (visit: (source: string, outcome: string, count: number) => void) => void;
  /** By tenant; a feed is one of at most 16 that the catalog declares. */
  readonly feeds?: readonly Pick<FeedKeeper, 'list' | 'pushes'>[];
  /** What became of webhooks' deliveries. */
  readonly webhooks?: () => readonly WebhookState[];
  readonly resource: Resource;
  /** Null: nothing leaves the process but through `/metrics`. */
  readonly otlp: MetricsExport | null;
}

export function startMetrics(options: MetricsOptions): Metrics {
  const histograms = new HistogramProducer(options.reader, options.status().startedAtEpochMillis);
  const scraped = new ScrapeReader(histograms);
  const readers: MetricReader[] = [scraped];
  if (options.otlp !== null) {
    readers.push(
      new PeriodicExportingMetricReader({
        exporter: new OTLPMetricExporter(),
        exportIntervalMillis: options.otlp.intervalMillis,
        exportTimeoutMillis: options.otlp.timeoutMillis,
        metricProducers: [histograms],
      }),
    );
  }
  const provider = new MeterProvider({ resource: options.resource, readers });
  observeCells(provider, options.reader, placesOf(options.reader, options.tenants ?? []));
  observeNode(provider, options);
  observeFeeds(provider, options);
  const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
  return {
    prometheusText: async () => serializer.serialize((await scraped.collect()).resourceMetrics),
    shutdown: () => provider.shutdown().catch(() => undefined), // exporters have logged why through `diag`
  };
}

/** Pull-only: collects when `/metrics` is asked for. */
class ScrapeReader extends MetricReader {
  constructor(producer: MetricProducer) {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE, metricProducers: [producer] });
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
}

/** The labels of each buffer. */
function placesOf(reader: MetricsReader, tenants: readonly string[]): readonly Attributes[] {
  const shards = reader.shardCount / Math.max(1, tenants.length);
  return Array.from({ length: reader.shardCount }, (_, index) => {
    const shard = index % shards;
    const tenant = tenants[Math.floor(index / shards)];
    return tenant === undefined || tenants.length === 1 ? { shard } : { shard, tenant };
  });
}

function observeCells(provider: MeterProvider, reader: MetricsReader, places: readonly Attributes[]): void {
  const meter = provider.getMeter(SCOPE);
  for (const [infos, positions, isCounter] of [
    [COUNTERS, COUNTER, true],
    [GAUGES, GAUGE, false],
  ] as const) {
    for (const [name, cells] of groupByName(infos, positions)) {
      const { unit, description } = cells[0]?.info ?? { unit: '1', description: '' };
      const instrument = isCounter
        ? meter.createObservableCounter(name, { unit, description })
        : meter.createObservableGauge(name, { unit, description });
      instrument.addCallback((result) => {
        for (const { info, position } of cells) {
          for (const [index, place] of places.entries()) {
            const value = isCounter ? reader.counter(index, position) : reader.gauge(index, position);
            result.observe(value, { ...info.labels, ...place });
          }
        }
      });
    }
  }
  meter
    .createObservableCounter(REQUESTS.name, { unit: REQUESTS.unit, description: REQUESTS.description })
    .addCallback((result) => {
      forEachCall((op, status, attributes) => {
        for (const [index, place] of places.entries()) {
          const count = reader.requests(index, op, status);
          if (count > 0) result.observe(count, { ...attributes, ...place });
        }
      });
    });
}

interface CellInfo {
  readonly info: MetricInfo;
  readonly position: number;
}

/** Cells that differ only in labels are one instrument. */
function groupByName(
  infos: Readonly<Record<string, MetricInfo>>,
  positions: Readonly<Record<string, number>>,
): Map<string, CellInfo[]> {
  const groups = new Map<string, CellInfo[]>();
  for (const [key, info] of Object.entries(infos)) {
    const cells = groups.get(info.name) ?? [];
    cells.push({ info, position: positions[key] ?? 0 });
    groups.set(info.name, cells);
  }
  return groups;
}

function observeNode(provider: MeterProvider, { status, ingested, webhooks }: MetricsOptions): void {
  const meter = provider.getMeter(SCOPE);
  const gauge = (info: MetricInfo, read: (node: NodeStatus) => number): void => {
    meter
      .createObservableGauge(info.name, { unit: info.unit, description: info.description })
      .addCallback((result) => result.observe(read(status())));
  };
  gauge(NODE_GAUGES.ready, (node) => (isReady(node) ? 1 : 0));
  gauge(NODE_GAUGES.draining, (node) => (node.isDraining ? 1 : 0));
  gauge(NODE_GAUGES.auditWritable, (node) => (node.isAuditWritable === false ? 0 : 1));
  gauge(NODE_GAUGES.startTime, (node) => node.startedAtEpochMillis / 1000);
  gauge(NODE_GAUGES.fitTime, (node) => (node.fit.fittedAtEpochMillis ?? 0) / 1000);
  gauge(NODE_GAUGES.fitGood, (node) => (node.fit.isLastGood === false ? 0 : 1));
  gauge(NODE_GAUGES.fitPeople, (node) => node.fit.people);
  gauge(NODE_GAUGES.fitPending, (node) => node.fit.shardsPending);
  gauge(NODE_GAUGES.catalogActions, (node) => node.catalog.actions);
  gauge(NODE_GAUGES.residentMemory, residentMemoryBytes);
  meter.createObservableGauge(NODE_GAUGES.shardReady.name, NODE_GAUGES.shardReady).addCallback((result) => {
    for (const shard of status().shards) result.observe(shard.state === 'ready' ? 1 : 0, { shard: shard.index });
  });
  meter.createObservableCounter(NODE_COUNTERS.shardRestarts.name, NODE_COUNTERS.shardRestarts).addCallback((result) => {
    for (const shard of status().shards) result.observe(shard.restarts, { shard: shard.index });
  });
  meter.createObservableCounter(NODE_COUNTERS.processCpu.name, NODE_COUNTERS.processCpu).addCallback((result) => {
    const { user, system } = process.cpuUsage();
    result.observe((user + system) / 1e6);
  });
  meter.createObservableCounter(NODE_COUNTERS.ingested.name, NODE_COUNTERS.ingested).addCallback((result) => {
    ingested?.((source, outcome, count) => result.observe(count, { source, outcome }));
  });
  // A catalog has twenty webhooks at most, of names that are not a person's.
  meter.createObservableCounter(NODE_COUNTERS.webhooks.name, NODE_COUNTERS.webhooks).addCallback((result) => {
    for (const { webhook, tenant, ...counts } of webhooks?.() ?? [])
      for (const outcome of WEBHOOK_OUTCOMES) result.observe(counts[outcome], { webhook, tenant, outcome });
  });
  meter.createObservableGauge(NODE_GAUGES.webhooksPending.name, NODE_GAUGES.webhooksPending).addCallback((result) => {
    for (const { webhook, tenant, pending } of webhooks?.() ?? []) result.observe(pending, { webhook, tenant });
  });
}

function observeFeeds(provider: MeterProvider, { feeds = [], tenants = [] }: MetricsOptions): void {
  const meter = provider.getMeter(SCOPE);
  const placeOf = (tenant: number): Attributes => (tenants.length > 1 ? { tenant: tenants[tenant] ?? '' } : {});
  const gauge = (info: MetricInfo, read: (state: FeedState) => number): void => {
    meter.createObservableGauge(info.name, info).addCallback((result) => {
      for (const [tenant, keeper] of feeds.entries())
        for (const state of keeper.list()) result.observe(read(state), { feed: state.feed, ...placeOf(tenant) });
    });
  };
  gauge(NODE_GAUGES.feedVersion, ({ version }) => version);
  gauge(NODE_GAUGES.feedPushTime, ({ pushedAtEpochMillis }) => (pushedAtEpochMillis ?? 0) / 1000);
  gauge(NODE_GAUGES.feedRows, ({ rows }) => rows);
  meter.createObservableCounter(NODE_COUNTERS.feedPushes.name, NODE_COUNTERS.feedPushes).addCallback((result) => {
    for (const [tenant, { pushes }] of feeds.entries())
      for (const [outcome, count] of pushes) result.observe(count, { outcome, ...placeOf(tenant) });
  });
}

function forEachCall(visit: (op: OpNumber | 0, status: number, attributes: Attributes) => void): void {
  for (let op = 0; op < OP_COUNT; op++) {
    for (const [status, name] of STATUS_NAMES.entries()) {
      visit(op as OpNumber | 0, status, { op: OP_NAMES[op] ?? 'unknown', status: name }); // op counts through them
    }
  }
}

/** Histograms as they lie in memory, cumulative since the start of the node. */
class HistogramProducer implements MetricProducer {
  readonly #reader: MetricsReader;
  readonly #start: HrTime;

  constructor(reader: MetricsReader, startedAtEpochMillis: number) {
    this.#reader = reader;
    this.#start = toHrTime(startedAtEpochMillis);
  }

  collect(): Promise<CollectionResult> {
    const end = toHrTime(epochMillis());
    const calls: HistogramMetricData['dataPoints'] = [];
    forEachCall((op, status, attributes) => {
      const row = this.#reader.durations(op, status);
      if (row.count === 0) return;
      calls.push(
        this.#point(row, end, {
          [RPC_ATTRIBUTE.systemName]: RPC_SYSTEM,
          [RPC_ATTRIBUTE.method]: attributes.op ?? 'unknown',
          [RPC_ATTRIBUTE.statusCode]: attributes.status ?? 'OK',
        }),
      );
    });
    const metrics = [histogramData(RPC_DURATION, calls)];
    for (const [name, info] of Object.entries(HISTOGRAMS)) {
      const row = this.#reader.histogram(HISTOGRAM[name as keyof typeof HISTOGRAMS]); // its own key
      metrics.push(histogramData(info, [this.#point(row, end, {})]));
    }
    const scopeMetrics = [{ scope: { name: SCOPE }, metrics }];
    return Promise.resolve({ resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] });
  }

  #point(row: HistogramRow, endTime: HrTime, attributes: Attributes): HistogramMetricData['dataPoints'][number] {
    const buckets = { boundaries: [...BOUNDS_SECONDS], counts: [...row.counts] };
    return {
      startTime: this.#start,
      endTime,
      attributes,
      value: { buckets, count: row.count, sum: row.sumMicros / 1e6 },
    };
  }
}

function histogramData(info: MetricInfo, dataPoints: HistogramMetricData['dataPoints']): HistogramMetricData {
  return {
    descriptor: { name: info.name, unit: info.unit, description: info.description, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints,
  };
}

function toHrTime(epochMillisValue: number): HrTime {
  const seconds = Math.floor(epochMillisValue / 1000);
  return [seconds, Math.round((epochMillisValue - seconds * 1000) * 1e6)];
}
