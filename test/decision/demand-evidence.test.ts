import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addQuote,
  addSale,
  dayOf,
  EVIDENCE_SLOTS,
  EVIDENCE_SPANS,
  type EvidenceSpan,
  mergeEvidence,
  readSpans,
} from '../../decision/demand-evidence.ts';

const LIST = 12_900;
const DAY_MILLIS = 86_400_000;
const TODAY = 20_614;

interface Told {
  readonly day: number;
  readonly priceMinor: number;
  /** 0: a quote. */
  readonly quantity: number;
}

function tell(row: Float64Array, { day, priceMinor, quantity }: Told): void {
  const at = day * DAY_MILLIS + 3_600_000;
  if (quantity === 0) addQuote(row, 0, priceMinor, LIST, at);
  else addSale(row, 0, priceMinor, LIST, quantity, at);
}

function rowOf(all: readonly Told[]): Float64Array {
  const row = new Float64Array(EVIDENCE_SLOTS);
  for (const told of all) tell(row, told);
  return row;
}

function spansOf(row: Float64Array): EvidenceSpan[] {
  const zero = {
    firstDay: 0,
    lastDay: 0,
    quotes: 0,
    ratios: 0,
    squaredRatios: 0,
    cubedRatios: 0,
    units: 0,
    unitRatios: 0,
  };
  const out = Array.from({ length: EVIDENCE_SPANS }, () => ({ ...zero }));
  return out.slice(0, readSpans(row, 0, out));
}

const told = fc.record({
  day: fc.integer({ min: TODAY - 1500, max: TODAY }),
  priceMinor: fc.integer({ min: 0, max: 30_000 }),
  quantity: fc.oneof(fc.constant(0), fc.double({ min: -3, max: 12, noNaN: true })),
});

describe('demand evidence', () => {
  it('a row: the same bits whatever the order, and however it is dealt over shards that merge at any time', () => {
    fc.assert(
      fc.property(fc.array(told, { maxLength: 60 }), fc.infiniteStream(fc.nat(3)), (all, deal) => {
        const inOrder = rowOf(all);
        expect(rowOf(all.toReversed())).toEqual(inOrder);
        const shards = Array.from({ length: 3 }, () => new Float64Array(EVIDENCE_SLOTS));
        const base = new Float64Array(EVIDENCE_SLOTS);
        for (const one of all) {
          const shard = deal.next().value;
          if (shard < 3) tell(shards[shard] as Float64Array, one);
          else {
            // A merge, between any two: what was told goes into the base, then this one follows.
            for (const open of shards) {
              mergeEvidence(base, 0, open, 0);
              open.fill(0);
            }
            tell(shards[0] as Float64Array, one);
          }
        }
        for (const open of shards.toReversed()) mergeEvidence(base, 0, open, 0);
        expect(base).toEqual(inOrder);
      }),
      { numRuns: 150, seed: 41 },
    );
  });

  it('spans: together all that was told, each day in one of them, lengths 1 to 128 days, the shortest newest', () => {
    const all = Array.from({ length: 1400 }, (_, i) => ({ day: TODAY - i, priceMinor: LIST, quantity: 0 }));
    const spans = spansOf(rowOf(all));
    expect(spans[0]).toMatchObject({ firstDay: TODAY, lastDay: TODAY, quotes: 1 });
    expect(spans.reduce((sum, { quotes }) => sum + quotes, 0)).toBe(1400);
    const lengths = spans.map(({ firstDay, lastDay }) => lastDay - firstDay + 1);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
    expect([lengths[0], lengths.at(-2), lengths.at(-1)]).toEqual([1, 128, Infinity]);
    // The newest day of a span follows the oldest that is left to the one before; it may have lost its second half.
    for (let i = 1; i < spans.length; i++) {
      const [newer, older] = [spans[i - 1], spans[i]];
      expect(older?.firstDay).toBeLessThan(newer?.firstDay ?? 0);
      expect(older?.lastDay).toBeGreaterThanOrEqual((newer?.firstDay ?? 0) - 1);
    }
  });

  it('a day: every one of the last 500 stays in one span that names it', () => {
    for (let ago = 0; ago < 500; ago++) {
      const row = rowOf([
        { day: TODAY - ago, priceMinor: 11_000, quantity: 0 },
        { day: TODAY, priceMinor: LIST, quantity: 0 },
      ]);
      const old = spansOf(row).find(({ ratios }) => ratios !== 0);
      if (ago === 0) expect(old).toMatchObject({ quotes: 2, firstDay: TODAY });
      else
        expect([old?.quotes, (old?.firstDay ?? 0) <= TODAY - ago, TODAY - ago <= (old?.lastDay ?? 0)]).toEqual([
          1,
          true,
          true,
        ]);
    }
  });

  it('a late sale: joins the quotes of its own day; a refund takes it back exactly', () => {
    const quotes = [7, 3, 0].map((ago) => ({ day: TODAY - ago, priceMinor: 11_000, quantity: 0 }));
    const row = rowOf(quotes);
    const without = row.slice();
    tell(row, { day: TODAY - 7, priceMinor: 11_000, quantity: 2 });
    expect(spansOf(row).filter(({ units }) => units !== 0)).toMatchObject([{ quotes: 1, units: 2 }]);
    tell(row, { day: TODAY - 7, priceMinor: 11_000, quantity: -2 });
    expect(row).toEqual(without);
  });

  it.each([
    ['NaN units', Number.NaN, TODAY * DAY_MILLIS, 0],
    ['an instant that is NaN', 1, Number.NaN, 0],
    ['an instant that is infinite', 1, Infinity, 0],
    ['a thousand units', 1000, TODAY * DAY_MILLIS, 10],
    ['infinitely many back', -Infinity, TODAY * DAY_MILLIS, -10],
    ['a day before 1970', 1, -DAY_MILLIS, 1],
    ['a day in a million years', 1, 1e18, 1],
  ])('addSale: %s', (_, quantity, at, units) => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    addSale(row, 0, LIST, LIST, quantity, at);
    expect(spansOf(row).reduce((sum, span) => sum + span.units, 0)).toBe(units);
  });

  it.each([0, -5, Number.NaN, Infinity])('addQuote: a price of %d counts as one at the list price', (priceMinor) => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    addQuote(row, 0, priceMinor, LIST, TODAY * DAY_MILLIS);
    expect(spansOf(row)).toMatchObject([{ quotes: 1, ratios: 0 }]);
    expect(dayOf(TODAY * DAY_MILLIS)).toBe(TODAY);
  });
});
