/**
 * What is known of one product, as a row of an `AdditiveTable`: what was quoted and sold, then its traffic. An event is
 * told to the working row and to the open one alike; two rows are added as if one had been told all.
 *
 * Guarantees: both parts are sums of what each event added; the first is exact, so the order makes no difference to it.
 * Called by `shard-models.ts`, also in recovery.
 */
import { type Effect, EVENT, EVENT_FLAG } from '../actors/effect.ts';
import { addQuote, addSale, EVIDENCE_SLOTS, mergeEvidence, removeQuote } from '../decision/demand-evidence.ts';
import { learnTraffic, TRAFFIC_SLOTS } from '../decision/quote-traffic.ts';

/** Evidence from 0, traffic from `EVIDENCE_SLOTS`. */
export const PRODUCT_SLOTS = EVIDENCE_SLOTS + TRAFFIC_SLOTS;

/** What an event says of a product, added to a row of what is known of it, or with `times` -1 taken back. */
export function teachProduct(
  row: Float64Array,
  event: Effect,
  flags: number,
  listMinor: number,
  times: 1 | -1 = 1,
): void {
  const priceMinor = event.getF64(EVENT.priceMinor);
  const at = event.getF64(EVENT.eventAt);
  // Who gets a price of their own is no accident: what they buy says nothing about what others would.
  const isPersonal = (flags & EVENT_FLAG.personalPrice) !== 0;
  if (flags & EVENT_FLAG.quote) {
    if (!isPersonal) (times === 1 ? addQuote : removeQuote)(row, 0, priceMinor, listMinor, at);
    learnTraffic(row, EVIDENCE_SLOTS, at, times);
  }
  if (flags & EVENT_FLAG.purchase && !isPersonal)
    addSale(row, 0, priceMinor, listMinor, times * event.getF64(EVENT.quantity), at);
}

/** Adds the row that begins at `at` of `from` to `into`. */
export function addProduct(into: Float64Array, from: Float64Array, at: number): void {
  mergeEvidence(into, 0, from, at);
  for (let i = EVIDENCE_SLOTS; i < PRODUCT_SLOTS; i++) into[i] = (into[i] as number) + (from[at + i] as number); // a whole row
}
