/**
 * RFM: recency, frequency and monetary value, the three numbers a shop knows of everybody. As columns they feed a
 * segmentation; as scores of 1 to 5, by fifths of all people, they are the segments that marketing has used since
 * mail order (Hughes, Strategic Database Marketing, 1994): 555 bought lately, often and for much; 111 none of it.
 */
import { naturalLogarithm } from '../normal.ts';
import { type PersonTable, rowsOf } from './person-table.ts';

const FIFTHS = 5;

/**
 * The three columns of an RFM segmentation: days since the last purchase as they are, purchases and money as
 * log(1 + x), because both spread over decades and a few large customers would each become a segment.
 *
 * @param recencyDays, frequency, monetary each >= 0 (below counts as 0; NaN stays NaN, the mean later)
 * @param out length 3, overwritten
 */
export function rfmRow(recencyDays: number, frequency: number, monetary: number, out: Float64Array): void {
  out[0] = Math.max(recencyDays, 0);
  out[1] = naturalLogarithm(1 + Math.max(frequency, 0));
  out[2] = naturalLogarithm(1 + Math.max(monetary, 0));
}

/** For each of recency, frequency and monetary the four values that part people into fifths, rising. */
export type RfmCuts = readonly [recency: Float64Array, frequency: Float64Array, monetary: Float64Array];

/**
 * @param table three columns: days since the last purchase, purchases, money; finite
 * @returns cuts at the 1st to 4th fifth of the sorted values; all 0 without people
 * @throws RangeError as `rowsOf`, or for another width
 */
export function fitRfmCuts(table: PersonTable): RfmCuts {
  const rows = rowsOf(table);
  if (table.width !== 3) throw new RangeError(`width ${table.width}: three columns`);
  const cutsOf = (column: number): Float64Array => {
    const sorted = table.values.filter((_, i) => i % 3 === column).sort();
    const cuts = Array.from(
      { length: FIFTHS - 1 },
      (_, i) => sorted[Math.floor(((i + 1) * rows) / FIFTHS - 1e-9)] ?? 0,
    );
    return Float64Array.from(cuts);
  };
  return [cutsOf(0), cutsOf(1), cutsOf(2)];
}

/**
 * Three digits as one number, recency first, 5 the best: 111 to 555. People who are alike score alike, so fifths are
 * uneven where many bought once. A value that is not known (NaN) has the digit 0.
 */
export function rfmScore(cuts: RfmCuts, recencyDays: number, frequency: number, monetary: number): number {
  const [days, purchases, money] = cuts;
  return (
    100 * digitOf(days, recencyDays, true) + 10 * digitOf(purchases, frequency, false) + digitOf(money, monetary, false)
  );
}

function digitOf(cuts: Float64Array, value: number, isLessBetter: boolean): number {
  if (Number.isNaN(value)) return 0;
  let passed = 0;
  for (const cut of cuts) if (value > cut) passed += 1;
  return isLessBetter ? FIFTHS - passed : 1 + passed;
}
