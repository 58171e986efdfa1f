/**
 * What was quoted and sold of one product, kept so that the old can count less than the new: six sums for each span
 * of days, of spans that double in length the longer ago they are.
 *
 *     n    sum x    sum x^2    sum x^3    y    sum y x        x = log(price / list), n quotes, y units sold
 *
 *     | oldest |  …  | 4 days | 4 days | 2 days | 2 days | yesterday | today |        1, 2, 4 … 128 days, at most two of each
 *
 * The spans follow from the calendar and the newest day alone. When a day begins, whole spans move into longer ones;
 * nothing is weighed here, that happens where it is read (`demand-fit.ts`). After Datar, Gionis, Indyk and Motwani,
 * "Maintaining stream statistics over sliding windows", SIAM J. Computing 2002 (deviation: cut at calendar days).
 *
 * Guarantees: all that is added is a multiple of 2^-30 and sums of these are exact in doubles (to some 10^7 quotes a
 * span), so a row depends, bit for bit, on what was told and on nothing else: not on the order, nor on which shard was
 * told it, nor on when shards merged. Traded away: within a span nobody knows any more what was first.
 */
import { logPriceRatio } from './demand-model.ts';

const LEVELS = 8;
/** Spans a row tells apart: two of each length, and everything before them. */
export const EVIDENCE_SPANS = 2 * LEVELS + 1;
const SUMS = 6;
/** Slots of one product: the newest day told of (0: none), then the sums of each span. */
export const EVIDENCE_SLOTS = 1 + EVIDENCE_SPANS * SUMS;

const DAY_MILLIS = 86_400_000;
/** Days are counted from here, so that halving them eight times leaves something. */
const DAY_ORIGIN = 8192;
const DAYS_MAX = 2 ** 20;
const FINENESS = 1024;
const QUANTITY_MAX = 10;

/** One span, as it is read. */
export interface EvidenceSpan {
  /** Days since 1970 of its first and its last day; the oldest span has no first. */
  firstDay: number;
  lastDay: number;
  quotes: number;
  /** Sums over the quotes, of x, of its square and of its cube. */
  ratios: number;
  squaredRatios: number;
  cubedRatios: number;
  /** Units sold, refunds taken off; and the sum of x over them. */
  units: number;
  unitRatios: number;
}

/** Days since 1970 of an instant. */
export function dayOf(epochMillis: number): number {
  return Math.floor(epochMillis / DAY_MILLIS);
}

/**
 * Adds one quote, as a trial that sold nothing so far (`addSale` makes it good). Cost: 20 ns, and on the first of a day
 * 0.2 us.
 * @param row at least `EVIDENCE_SLOTS` from `offset`, zeros at first
 * @param priceMinor, listMinor minor units; one that is no positive number counts as the list price
 * @param atEpochMillis when; not finite: ignored
 */
export function addQuote(
  row: Float64Array,
  offset: number,
  priceMinor: number,
  listMinor: number,
  atEpochMillis: number,
): void {
  countQuote(row, offset, priceMinor, listMinor, atEpochMillis, 1);
}

/** Takes one quote back, exactly, told as `addQuote` was told it; also out of another row that is added later. */
export function removeQuote(
  row: Float64Array,
  offset: number,
  priceMinor: number,
  listMinor: number,
  atEpochMillis: number,
): void {
  countQuote(row, offset, priceMinor, listMinor, atEpochMillis, -1);
}

function countQuote(
  row: Float64Array,
  offset: number,
  priceMinor: number,
  listMinor: number,
  atEpochMillis: number,
  times: 1 | -1,
): void {
  const at = placeOf(row, offset, atEpochMillis);
  if (at < 0) return;
  const x = rounded(logPriceRatio(priceMinor, listMinor));
  row[at] = (row[at] as number) + times; // casts here and below: in the slice
  row[at + 1] = (row[at + 1] as number) + times * x;
  row[at + 2] = (row[at + 2] as number) + times * x * x;
  row[at + 3] = (row[at + 3] as number) + times * x * x * x;
}

/**
 * Adds that a quote sold; it may come late. `quantity` negative takes a refund back exactly, told of the same day.
 * @param priceMinor, listMinor as they were quoted
 * @param quantity units sold, -10 to 10; more counts as 10 (one bulk order says little about other people), NaN as 0
 * @param atEpochMillis when; not finite: ignored
 */
export function addSale(
  row: Float64Array,
  offset: number,
  priceMinor: number,
  listMinor: number,
  quantity: number,
  atEpochMillis: number,
): void {
  if (!(quantity >= -Infinity)) return;
  const at = placeOf(row, offset, atEpochMillis);
  if (at < 0) return;
  const y = rounded(quantity > QUANTITY_MAX ? QUANTITY_MAX : Math.max(quantity, -QUANTITY_MAX));
  row[at + 4] = (row[at + 4] as number) + y;
  row[at + 5] = (row[at + 5] as number) + y * rounded(logPriceRatio(priceMinor, listMinor));
}

/** Adds all that `from` was told to `into`, as if `into` had been told it. Cost: 0.2 us. */
export function mergeEvidence(into: Float64Array, intoOffset: number, from: Float64Array, fromOffset: number): void {
  const newest = from[fromOffset] as number; // cast: in the slice
  if (newest === 0) return;
  rollTo(into, intoOffset, newest);
  let top = newest;
  for (let level = 0; level < LEVELS; level++) {
    for (let index = top - 1; index <= top; index++) {
      addSums(
        into,
        intoOffset + slotOf(level, index, into[intoOffset] as number),
        from,
        fromOffset + sumsAt(level, index),
      ); // cast: in the slice
    }
    top = olderTop(top);
  }
  addSums(into, intoOffset + OLDEST_AT, from, fromOffset + OLDEST_AT);
}

/**
 * The spans that hold something, newest first.
 * @param out at least `EVIDENCE_SPANS`, overwritten
 * @returns how many
 */
export function readSpans(row: Float64Array, offset: number, out: readonly EvidenceSpan[]): number {
  let top = row[offset] as number; // cast: in the slice
  if (top === 0) return 0;
  let count = 0;
  for (let level = 0; level < LEVELS; level++) {
    for (let index = top; index >= top - 1; index--) {
      count += readSpan(
        row,
        offset + sumsAt(level, index),
        index * 2 ** level,
        (index + 1) * 2 ** level - 1,
        out[count],
      );
    }
    top = olderTop(top);
  }
  // The oldest ends where the first span of the last level could have begun.
  return count + readSpan(row, offset + OLDEST_AT, -Infinity, (top + 1) * 2 ** LEVELS - 1, out[count]);
}

function readSpan(row: Float64Array, at: number, first: number, last: number, out: EvidenceSpan | undefined): number {
  const quotes = row[at] as number; // casts: in the slice
  const units = row[at + 4] as number;
  const unitRatios = row[at + 5] as number;
  if (out === undefined || (quotes === 0 && units === 0 && unitRatios === 0)) return 0;
  out.firstDay = first - DAY_ORIGIN;
  out.lastDay = last - DAY_ORIGIN;
  out.quotes = quotes;
  out.ratios = row[at + 1] as number;
  out.squaredRatios = row[at + 2] as number;
  out.cubedRatios = row[at + 3] as number;
  out.units = units;
  out.unitRatios = unitRatios;
  return 1;
}

// ── where a day's sums are ───────────────────────────────────────────────────────────────────────

const OLDEST_AT = 1 + 2 * LEVELS * SUMS;

/** Of each length the spans `top` and `top - 1` are kept, by parity; what is before them is in spans twice as long. */
function sumsAt(level: number, index: number): number {
  return 1 + (2 * level + (index & 1)) * SUMS;
}

/** The newest span of the next length, where `top` is the newest of this one. */
function olderTop(top: number): number {
  return (top - 2) >> 1;
}

/** Where span `index` of a level is, or what it has become part of, once `newest` is the newest day. */
function slotOf(level: number, index: number, newest: number): number {
  let top = newest;
  for (let l = 0; l < level; l++) top = olderTop(top);
  let span = index;
  for (let l = level; l < LEVELS; l++) {
    if (span > top - 2) return sumsAt(l, span);
    span >>= 1;
    top = olderTop(top);
  }
  return OLDEST_AT;
}

/** Where what happens at an instant is added; -1 for one that is not finite. */
function placeOf(row: Float64Array, offset: number, atEpochMillis: number): number {
  if (!(Math.abs(atEpochMillis) < Infinity)) return -1;
  const day = Math.min(Math.max(dayOf(atEpochMillis), 0), DAYS_MAX) + DAY_ORIGIN;
  rollTo(row, offset, day);
  return offset + slotOf(0, day, row[offset] as number); // cast: in the slice
}

/** Moves spans into longer ones until `newest` is the newest day. The longest first, so that their places are free. */
function rollTo(row: Float64Array, offset: number, newest: number): void {
  const before = row[offset] as number; // cast: in the slice
  if (newest <= before) return;
  row[offset] = newest;
  if (before === 0) return;
  for (let level = LEVELS - 1; level >= 0; level--) {
    let top = before;
    for (let l = 0; l < level; l++) top = olderTop(top);
    for (let index = top - 1; index <= top; index++) {
      const from = sumsAt(level, index);
      const to = slotOf(level, index, newest);
      if (to === from) continue;
      addSums(row, offset + to, row, offset + from);
      row.fill(0, offset + from, offset + from + SUMS);
    }
  }
}

function addSums(into: Float64Array, at: number, from: Float64Array, fromAt: number): void {
  for (let i = 0; i < SUMS; i++) into[at + i] = (into[at + i] as number) + (from[fromAt + i] as number); // casts: in the slices
}

/** To a multiple of 1/1024: a price by 0.05 % at most, and sums that are exact. */
function rounded(value: number): number {
  return Math.round(value * FINENESS) / FINENESS;
}
