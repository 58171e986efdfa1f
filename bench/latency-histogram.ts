/**
 * Latencies in whole microseconds, in an HDR histogram: three significant digits from 1 µs to 10
 * minutes, constant memory, mergeable across processes without losing the tail (percentiles of
 * percentiles would). WebAssembly where it starts (18 ns a value), plain JavaScript otherwise.
 * Minimum, maximum and sum are kept exactly beside it, because a bucket's upper edge is not a maximum.
 * The one file that imports hdr-histogram-js.
 */
import * as hdr from 'hdr-histogram-js';

/** Longest latency told apart; longer ones are counted as this. 10 minutes, in microseconds. */
export const LATENCY_MICROS_MAX = 600_000_000;

/** What travels between processes and into JSON: the compressed V2 encoding of the HdrHistogram family. */
export interface EncodedHistogram {
  readonly count: number;
  readonly minMicros: number;
  readonly maxMicros: number;
  readonly sumMicros: number;
  readonly hdrBase64: string;
}

let isWasmTried = false;
let isWasmReady = false;

/** Call once before the first histogram. Never throws: without WebAssembly the slower build is used. */
export async function prepareHistograms(): Promise<'wasm' | 'javascript'> {
  if (!isWasmTried) {
    isWasmTried = true;
    try {
      await hdr.initWebAssembly();
      isWasmReady = true;
    } catch {
      // Same numbers either way, only slower to record; the result names which one it was.
      isWasmReady = false;
    }
  }
  return isWasmReady ? 'wasm' : 'javascript';
}

export class LatencyHistogram {
  readonly #histogram: hdr.Histogram = hdr.build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_MICROS_MAX,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: isWasmReady,
  });
  #count = 0;
  #minMicros = Number.POSITIVE_INFINITY;
  #maxMicros = 0;
  #sumMicros = 0;

  /** `micros` may be fractional or negative (clock rounding): it is rounded and held to [0, 10 minutes]. */
  record(micros: number): void {
    const held = Math.min(LATENCY_MICROS_MAX, Math.max(0, micros));
    this.#count += 1;
    this.#sumMicros += held;
    if (held < this.#minMicros) this.#minMicros = held;
    if (held > this.#maxMicros) this.#maxMicros = held;
    this.#histogram.recordValue(Math.round(held));
  }

  get count(): number {
    return this.#count;
  }

  /** Exact, 0 when empty. */
  get maxMicros(): number {
    return this.#maxMicros;
  }

  /** Exact, 0 when empty. */
  get minMicros(): number {
    return this.#count === 0 ? 0 : this.#minMicros;
  }

  /** Exact, 0 when empty. */
  get meanMicros(): number {
    return this.#count === 0 ? 0 : this.#sumMicros / this.#count;
  }

  /** `percentile` in [0, 100]. The nearest-rank value to three digits, never above the exact maximum; 0 when empty. */
  percentile(percentile: number): number {
    if (this.#count === 0) return 0;
    return Math.min(this.#histogram.getValueAtPercentile(percentile), Math.max(1, this.#maxMicros));
  }

  reset(): void {
    this.#histogram.reset();
    this.#count = 0;
    this.#minMicros = Number.POSITIVE_INFINITY;
    this.#maxMicros = 0;
    this.#sumMicros = 0;
  }

  /** Frees memory outside the heap; the histogram must not be used afterwards. */
  destroy(): void {
    this.#histogram.destroy();
  }

  encode(): EncodedHistogram {
    return {
      count: this.#count,
      minMicros: this.minMicros,
      maxMicros: this.#maxMicros,
      sumMicros: this.#sumMicros,
      hdrBase64: this.#count === 0 ? '' : hdr.encodeIntoCompressedBase64(this.#histogram),
    };
  }

  /** Adds another process's values. Throws on a damaged encoding. */
  add(encoded: EncodedHistogram): void {
    if (encoded.count === 0) return;
    const other = hdr.decodeFromCompressedBase64(encoded.hdrBase64, 32, isWasmReady);
    this.#histogram.add(other);
    other.destroy();
    this.#count += encoded.count;
    this.#sumMicros += encoded.sumMicros;
    this.#minMicros = Math.min(this.#minMicros, encoded.minMicros);
    this.#maxMicros = Math.max(this.#maxMicros, encoded.maxMicros);
  }

  /**
   * The percentile table that HdrHistogram's plotter reads (`.hgrm`), values in milliseconds: five rows
   * each time the distance to 100 % halves. Written here because the library's WebAssembly build prints
   * fractions without their leading zeros, and so a table that does not ascend.
   */
  percentileTable(): string {
    const lines = ['       Value     Percentile TotalCount 1/(1-Percentile)', ''];
    const row = (quantile: number): void => {
      const value = (this.percentile(quantile * 100) / 1000).toFixed(3).padStart(12);
      const inverse = quantile < 1 ? (1 / (1 - quantile)).toFixed(2).padStart(14) : '';
      const total = Math.ceil(quantile * this.#count).toString();
      lines.push(`${value} ${quantile.toFixed(12).padStart(14)} ${total.padStart(10)} ${inverse}`.trimEnd());
    };
    for (let distance = 1; distance * this.#count > 0.5; distance /= 2) {
      for (let tick = 0; tick < 5; tick += 1) row(1 - distance * (1 - tick / 10));
    }
    row(1);
    lines.push(
      `#[Mean    = ${(this.meanMicros / 1000).toFixed(3).padStart(12)}, StdDeviation   = ${(this.#histogram.stdDeviation / 1000).toFixed(3).padStart(12)}]`,
      `#[Max     = ${(this.#maxMicros / 1000).toFixed(3).padStart(12)}, Total count    = ${this.#count.toString().padStart(12)}]`,
      '',
    );
    return lines.join('\n');
  }
}

export function mergeHistograms(parts: readonly EncodedHistogram[]): LatencyHistogram {
  const merged = new LatencyHistogram();
  for (const part of parts) merged.add(part);
  return merged;
}
