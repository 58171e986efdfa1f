/**
 * Service level objectives as given on the command line: `p99=1ms`, `max=20ms`, `errors=0.1%`. A run
 * with objectives also has to answer what it was asked: without an `errors` objective at most 1 % of the
 * requests may fail or stay unanswered, because a server that refuses quickly would pass any percentile.
 */
const SLO_METRICS = ['p50', 'p90', 'p99', 'p99.9', 'max', 'errors'] as const;
export type SloMetric = (typeof SLO_METRICS)[number];

export interface Slo {
  readonly metric: SloMetric;
  /** Microseconds for latencies; a share, 0 to 1, for `errors`. */
  readonly bound: number;
  /** As the user wrote it. */
  readonly text: string;
}

export const ERROR_SHARE_MAX_UNSAID = 0.01;

const UNIT_MICROS: { readonly [unit: string]: number } = { us: 1, µs: 1, ms: 1000, s: 1_000_000 };

/** The percentile, 0 to 100, that a latency metric names; null for `errors`. */
export function metricPercentile(metric: SloMetric): number | null {
  if (metric === 'errors') return null;
  return metric === 'max' ? 100 : Number(metric.slice(1));
}

/** The objective, or a sentence that says what is wrong with `text`. */
export function parseSlo(text: string): Slo | string {
  const match = /^([a-z0-9.]+)\s*=\s*([0-9]*\.?[0-9]+)\s*(us|µs|ms|s|%)$/.exec(text.trim());
  const metric = SLO_METRICS.find((name) => name === text.split('=')[0]?.trim());
  if (metric === undefined) return `--slo ${text}: the metric must be one of ${SLO_METRICS.join(', ')}`;
  const unit = match?.[3];
  if (match === null || unit === undefined || (unit === '%') !== (metric === 'errors')) {
    return `--slo ${text}: write ${metric === 'errors' ? 'errors=0.1%' : `${metric}=1ms (units us, ms, s)`}`;
  }
  const value = Number(match[2]);
  if (metric === 'errors') {
    if (value > 100) return `--slo ${text}: at most 100%`;
    return { metric, bound: value / 100, text: text.trim() };
  }
  const bound = value * (UNIT_MICROS[unit] ?? Number.NaN);
  if (!(bound > 0 && bound <= 600_000_000)) return `--slo ${text}: the bound must be above 0 and at most 600s`;
  return { metric, bound, text: text.trim() };
}
