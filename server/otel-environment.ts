/**
 * What the standard `OTEL_*` variables ask for. Nothing is exported unless one of them says so: naming
 * an OTLP endpoint, or an exporter, is saying so. Endpoints, headers, timeouts, certificates and
 * compression are read by the exporters themselves; here is only what decides whether there is one.
 *
 * Sampling is decided in the shard workers, before any span exists, so the sampler variables become
 * two numbers handed to them. `always_off` traces nothing at all, slow and failed requests included.
 */
export interface MetricsExport {
  readonly intervalMillis: number;
  readonly timeoutMillis: number;
}

export interface TraceGate {
  /** False: workers keep no trace records at all. */
  readonly isEnabled: boolean;
  /** Share of requests without a caller's trace that are traced though nothing was wrong, 0 to 1. */
  readonly sampleRatio: number;
  /** Whether a caller's sampled flag makes us trace (reason `parent`). */
  readonly followsParent: boolean;
}

export interface OtelSettings {
  readonly traces: TraceGate;
  readonly metrics: MetricsExport | null;
  /** Variables that were set to something not supported here, one sentence each, for the log. */
  readonly warnings: readonly string[];
}

type Environment = { readonly [name: string]: string | undefined };

const PROTOCOL = 'http/protobuf';

/** @param traceSampleRatio the node's own option, used when OTEL_TRACES_SAMPLER is not set. */
export function readOtelEnvironment(environment: Environment, traceSampleRatio: number): OtelSettings {
  const warnings: string[] = [];
  const isDisabled = variableOf(environment, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true';
  const exportsTraces = !isDisabled && isExported(environment, 'TRACES', warnings);
  const exportsMetrics = !isDisabled && isExported(environment, 'METRICS', warnings);
  const gate = exportsTraces ? samplingOf(environment, traceSampleRatio, warnings) : undefined;
  return {
    traces: gate ?? { isEnabled: false, sampleRatio: 0, followsParent: false },
    metrics: exportsMetrics
      ? {
          intervalMillis: wholeOf(environment, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000, warnings),
          timeoutMillis: Math.min(
            wholeOf(environment, 'OTEL_METRIC_EXPORT_TIMEOUT', 30_000, warnings),
            // The SDK refuses a timeout above the interval.
            wholeOf(environment, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000, []),
          ),
        }
      : null,
    warnings,
  };
}

function isExported(environment: Environment, signal: 'TRACES' | 'METRICS', warnings: string[]): boolean {
  const name = `OTEL_${signal}_EXPORTER`;
  const chosen = variableOf(environment, name)
    ?.split(',')
    .map((item) => item.trim().toLowerCase());
  const hasEndpoint =
    variableOf(environment, 'OTEL_EXPORTER_OTLP_ENDPOINT') !== undefined ||
    variableOf(environment, `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) !== undefined;
  const isWanted = chosen === undefined ? hasEndpoint : chosen.includes('otlp');
  for (const item of chosen ?? []) {
    // Prometheus is always served on the admin port, so asking for it needs nothing more.
    if (item === 'otlp' || item === 'none' || (item === 'prometheus' && signal === 'METRICS')) continue;
    warnings.push(`${name}=${item} is not supported; use otlp or none`);
  }
  const protocol =
    variableOf(environment, `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`) ??
    variableOf(environment, 'OTEL_EXPORTER_OTLP_PROTOCOL');
  if (isWanted && protocol !== undefined && protocol !== PROTOCOL) {
    warnings.push(`OTEL_EXPORTER_OTLP_PROTOCOL=${protocol} is not supported; sending ${PROTOCOL}`);
  }
  return isWanted;
}

function samplingOf(environment: Environment, ownRatio: number, warnings: string[]): TraceGate {
  const sampler = variableOf(environment, 'OTEL_TRACES_SAMPLER')?.toLowerCase();
  if (sampler === undefined) return { isEnabled: true, sampleRatio: ownRatio, followsParent: true };
  const followsParent = sampler.startsWith('parentbased_');
  switch (sampler.replace('parentbased_', '')) {
    case 'always_on':
      return { isEnabled: true, sampleRatio: 1, followsParent };
    case 'always_off':
      return { isEnabled: followsParent, sampleRatio: 0, followsParent };
    case 'traceidratio': {
      const text = variableOf(environment, 'OTEL_TRACES_SAMPLER_ARG');
      const ratio = text === undefined ? 1 : Number(text);
      if (ratio >= 0 && ratio <= 1) return { isEnabled: true, sampleRatio: ratio, followsParent };
      warnings.push(`OTEL_TRACES_SAMPLER_ARG=${text} is not a number from 0 to 1; using ${ownRatio}`);
      return { isEnabled: true, sampleRatio: ownRatio, followsParent };
    }
    default:
      warnings.push(`OTEL_TRACES_SAMPLER=${sampler} is not supported; using ${ownRatio} of requests`);
      return { isEnabled: true, sampleRatio: ownRatio, followsParent: true };
  }
}

function wholeOf(environment: Environment, name: string, byDefault: number, warnings: string[]): number {
  const text = variableOf(environment, name);
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  warnings.push(`${name}=${text} is not a positive whole number of milliseconds; using ${byDefault}`);
  return byDefault;
}

/** The specification treats an empty variable as unset. */
function variableOf(environment: Environment, name: string): string | undefined {
  const value = environment[name]?.trim();
  return value === undefined || value === '' ? undefined : value;
}
