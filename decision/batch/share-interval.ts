/**
 * How far a share seen in a sample may be from that of all: Wilson's score interval. It holds near 0 and 1 and in small
 * samples, where the usual share ± error leaves [0, 1]. Of a sample without repetition out of few it is too wide, never
 * too narrow.
 *
 * Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
 */

/** Of the normal distribution: 95 % lie within. */
const Z95 = 1.959963984540054;

export interface ShareInterval {
  readonly low: number;
  readonly high: number;
}

/**
 * @param hits 0 to `trials`
 * @param trials size of the sample; with 0 nothing is known: [0, 1]
 * @returns where the share of all lies, at 95 %
 */
export function shareInterval(hits: number, trials: number): ShareInterval {
  if (trials === 0) return { low: 0, high: 1 };
  const share = hits / trials;
  const z2 = Z95 * Z95;
  const middle = share + z2 / (2 * trials);
  const reach = Z95 * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials * trials));
  const scale = 1 + z2 / trials;
  // Of none and of all the bound is exact, and rounding must not say otherwise.
  const low = hits === 0 ? 0 : (middle - reach) / scale;
  const high = hits === trials ? 1 : (middle + reach) / scale;
  return { low, high };
}
