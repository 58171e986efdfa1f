/**
 * Reads the few gauges a benchmark needs from a `/metrics` page. A family is found by its name with or
 * without the unit suffix an exporter may add, and its samples (one a worker) are added up.
 */

/** Sum over all samples of the family `name`; NaN when the page has none. */
export function gaugeSum(page: string, name: string): number {
  let sum = Number.NaN;
  const pattern = new RegExp(`^${name}(?:_bytes|_ratio)?(?:\\{[^}]*\\})? ([^ ]+)`);
  for (const line of page.split('\n')) {
    const value = pattern.exec(line)?.[1];
    if (value !== undefined) sum = (Number.isNaN(sum) ? 0 : sum) + Number(value);
  }
  return sum;
}
