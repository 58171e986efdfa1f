/**
 * Recency, frequency and monetary value as scores from 1 (worst) to 5 (best): each person's place among all, in
 * fifths (Hughes, "Strategic Database Marketing", 1994). A description for people to read and for rules to use; who
 * will buy more is better told by `expectedPurchases`. Batch work: a sort of n numbers, three times.
 */

/** Scores of n persons, 1 to 5. */
export interface RfmScores {
  readonly recency: Uint8Array;
  readonly frequency: Uint8Array;
  readonly monetary: Uint8Array;
}

const SCORES = 5;

/**
 * Scores n persons against each other; the columns have one length n, which may be 0. Equal values score alike:
 *
 *     score = 1 + floor(5 (persons below + half of those equal, oneself included) / n)
 *
 * So n different values fall into five parts as equal as n allows, all equal gives 3 to everyone, and a value that
 * most people share (one purchase) takes the score of its middle, where a cut by quantiles would be undefined.
 *
 * @param silences time since the last purchase, any unit: shorter is better
 * @param purchaseCounts purchases: more is better
 * @param spends total or mean spend: more is better
 * @throws RangeError naming column and row for columns of different length and values that are not finite
 */
export function rfmScores(silences: Float64Array, purchaseCounts: Float64Array, spends: Float64Array): RfmScores {
  for (const [name, values] of Object.entries({ silences, purchaseCounts, spends })) {
    if (values.length !== silences.length)
      throw new RangeError(`${name}: ${values.length} values for ${silences.length} silences`);
    const wrong = values.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) throw new RangeError(`${name}[${wrong}] is ${values[wrong]}: must be finite`);
  }
  return {
    recency: fifths(silences.map((silence) => -silence)),
    frequency: fifths(purchaseCounts),
    monetary: fifths(spends),
  };
}

function fifths(values: Float64Array): Uint8Array {
  const n = values.length;
  const order = Uint32Array.from(values.keys()).sort((i, j) => at(values, i) - at(values, j));
  const scores = new Uint8Array(n);
  for (let from = 0; from < n; ) {
    let to = from + 1;
    while (to < n && valueAt(to) === valueAt(from)) to += 1;
    const score = 1 + Math.floor((SCORES * (from + (to - from) / 2)) / n);
    for (; from < to; from += 1) scores[order[from] as number] = score; // from < n
  }
  return scores;

  function valueAt(place: number): number {
    return at(values, order[place] as number); // place < n
  }
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
