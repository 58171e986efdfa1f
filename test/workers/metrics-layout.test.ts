import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OP } from '../../proto/messages.ts';
import {
  BUCKET_MICROS,
  bucketOf,
  COUNTER,
  COUNTERS,
  createMetricsBuffer,
  GAUGE,
  GAUGES,
  HISTOGRAM,
  HISTOGRAMS,
  MetricsReader,
  MetricsWriter,
  NODE_COUNTERS,
  NODE_GAUGES,
  OP_NAMES,
  STATUS_INDEX,
  STATUS_NAMES,
} from '../../workers/metrics-layout.ts';

describe('buckets', () => {
  it('buckets: rise from 10 µs to 10 s', () => {
    expect(BUCKET_MICROS[0]).toBe(10);
    expect(BUCKET_MICROS.at(-1)).toBe(10_000_000);
    for (let i = 1; i < BUCKET_MICROS.length; i++) {
      expect(BUCKET_MICROS[i]).toBeGreaterThan(BUCKET_MICROS[i - 1] ?? 0);
    }
  });
  it.each([
    [0, 0],
    [-1, 0],
    [Number.NaN, 0],
    [0.001, 0],
    [10, 0],
    [10.0001, 1],
    [15, 1],
    [10_000_000, BUCKET_MICROS.length - 1],
    [10_000_000.5, BUCKET_MICROS.length],
    [Number.MAX_VALUE, BUCKET_MICROS.length],
    [Number.POSITIVE_INFINITY, BUCKET_MICROS.length],
  ])('buckets: puts %d in bucket %i', (micros, bucket) => {
    expect(bucketOf(micros)).toBe(bucket);
  });
  it('buckets: agree with a plain search for the first bound not below the value', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 2e7, noNaN: true }), (micros) => {
        const found = BUCKET_MICROS.findIndex((bound) => micros <= bound);
        return bucketOf(micros) === (found < 0 ? BUCKET_MICROS.length : found);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('layout', () => {
  it('layout: every cell is its own: writing one changes no other', () => {
    const buffer = createMetricsBuffer();
    const writer = new MetricsWriter(buffer);
    const reader = new MetricsReader([buffer]);
    let expected = 0;
    for (const position of Object.values(COUNTER)) writer.add(position, ++expected);
    for (const position of Object.values(GAUGE)) writer.set(position, ++expected);
    let durationMicros = 0;
    for (const op of [0, ...Object.values(OP)] as const) {
      for (const status of STATUS_NAMES) writer.recordDuration(op, STATUS_INDEX[status], ++durationMicros);
    }
    for (const position of Object.values(HISTOGRAM)) writer.recordHistogram(position, 20 + position);
    expected = 0;
    for (const position of Object.values(COUNTER)) expect(reader.counter(0, position)).toBe(++expected);
    for (const position of Object.values(GAUGE)) expect(reader.gauge(0, position)).toBe(++expected);
    durationMicros = 0;
    for (const op of [0, ...Object.values(OP)] as const) {
      for (const status of STATUS_NAMES) {
        expect(reader.requests(0, op, STATUS_INDEX[status])).toBe(1);
        expect(reader.durations(op, STATUS_INDEX[status])).toMatchObject({ count: 1, sumMicros: ++durationMicros });
      }
    }
    for (const position of Object.values(HISTOGRAM)) expect(reader.histogram(position).sumMicros).toBe(20 + position);
  });
  it('layout: adds histograms up over shards, keeps counters apart, and reads 0 for a shard that is not there', () => {
    const buffers = [createMetricsBuffer(), createMetricsBuffer()];
    const reader = new MetricsReader(buffers);
    for (const [index, buffer] of buffers.entries()) {
      const writer = new MetricsWriter(buffer);
      writer.add(COUNTER.activations, index + 1);
      writer.recordDuration(OP.decide, STATUS_INDEX.OK, 100);
    }
    expect(reader.counter(0, COUNTER.activations)).toBe(1);
    expect(reader.counter(1, COUNTER.activations)).toBe(2);
    expect(reader.counter(2, COUNTER.activations)).toBe(0);
    expect(reader.durations(OP.decide, STATUS_INDEX.OK)).toMatchObject({ count: 2, sumMicros: 200 });
  });
  it('layout: a replaced worker keeps counters and clears gauges', () => {
    const buffer = createMetricsBuffer();
    const before = new MetricsWriter(buffer);
    before.add(COUNTER.activations, 3);
    before.addToGauge(GAUGE.connections, 2);
    const after = new MetricsWriter(buffer);
    after.clearGauges();
    after.add(COUNTER.activations, 1);
    const reader = new MetricsReader([buffer]);
    expect(reader.counter(0, COUNTER.activations)).toBe(4);
    expect(reader.gauge(0, GAUGE.connections)).toBe(0);
  });
  it('layout: refuses a buffer of another size', () => {
    expect(() => new MetricsWriter(new SharedArrayBuffer(8))).toThrow(RangeError);
  });
});

describe('names', () => {
  it('names: are Prometheus-safe, begin with opportune_, and have one meaning each', () => {
    const seen = new Map<string, string>();
    for (const table of [COUNTERS, GAUGES, HISTOGRAMS, NODE_COUNTERS, NODE_GAUGES]) {
      for (const info of Object.values(table)) {
        expect(info.name).toMatch(/^opportune_[a-z_]+$/);
        expect(info.name).not.toMatch(/_total$/);
        const labels = 'labels' in info ? JSON.stringify(info.labels) : '';
        expect(seen.has(info.name + labels)).toBe(false);
        seen.set(info.name + labels, info.description);
        expect(info.description).toMatch(/\.$/);
      }
    }
  });
  it('names: every operation has its number', () => {
    expect(OP_NAMES[0]).toBe('unknown');
    for (const [name, number] of Object.entries(OP)) expect(OP_NAMES[number]).toBe(name);
  });
});
