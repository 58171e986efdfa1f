/** Prices of a stock that must be sold by a day, and limits from one hour to the next, through the whole decide turn. */
import { describe, expect, it } from 'vitest';
import type { DecidedPrice, DecideReply } from '../../proto/messages.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const ACTIONS = '{ key: a, channels: [app], valueMinor: 9 }';

function shardWith(product: string): OneShard {
  return new OneShard({
    catalog: catalogText({
      actions: ACTIONS,
      products: `{ sku: fish, listMinor: 1000, floorMinor: 500, ceilingMinor: 1500, costMinor: 400, stepMinor: 10, ${product} }`,
    }),
  });
}
function priceAt(shard: OneShard, now: number, profile: string): DecidedPrice {
  const { price } = shard.decide({ profile, wantMask: 2, sku: 'fish', isDryRun: true }, now);
  if (price === undefined) throw new Error('no price');
  return price;
}
/** Of the hours of a day: the mean of draws, so that a single lucky one decides nothing. */
function meanPrice(product: string, hours = 24): number {
  const shard = shardWith(product);
  let sum = 0;
  for (let h = 0; h < hours; h++) sum += priceAt(shard, NOON + h * HOUR, 'ann').priceMinor;
  return sum / hours;
}

describe('stock to be sold by a day', () => {
  it('costs more the less of it is left, and the most when nothing is', () => {
    const at = (stock: number): number => meanPrice(`stock: ${stock}, sellBy: 2026-06-20T12:00Z`);
    const [plenty, some, few] = [at(1000), at(10), at(3)];
    expect(plenty).toBeLessThan(some);
    expect(some).toBeLessThan(few);
    expect(at(0)).toBeGreaterThan(1450);
    // Far more than anybody will buy: the cost is sunk, so it is marked down to near the floor.
    expect(plenty).toBeLessThan(600);
  });

  it('is marked down towards its day, and not below what a unit is worth afterwards', () => {
    const early = meanPrice('stock: 6, sellBy: 2026-07-20T12:00Z');
    const late = meanPrice('stock: 6, sellBy: 2026-06-11T12:00Z');
    expect(late).toBeLessThan(early);
    const salvaged = meanPrice('stock: 6, sellBy: 2026-06-11T12:00Z, salvageMinor: 800');
    expect(salvaged).toBeGreaterThan(1000);
  });

  it('the price follows the ledger: units that others hold are not there to be sold', () => {
    const shard = shardWith('stock: 40, sellBy: 2026-06-12T12:00Z');
    const before = shard.decide({ profile: 'ann', wantMask: 2, sku: 'fish', isDryRun: true, isExplain: true }, NOON);
    expect(before.explain?.price).toMatchObject({ unitsLeft: 40, quotesLeft: 51 });
    for (let n = 0; n < 38; n++) shard.decide({ profile: `p${n}`, wantMask: 2, sku: 'fish' }, NOON);
    const after: DecideReply = shard.decide(
      { profile: 'ann', wantMask: 2, sku: 'fish', isDryRun: true, isExplain: true },
      NOON,
    );
    expect(after.explain?.price).toMatchObject({ unitsLeft: 2 });
    // Within the hour the price stays what it was for everybody.
    expect(after.price?.priceMinor).toBe(before.price?.priceMinor);
  });
});

describe('limits from one hour to the next', () => {
  it('a price begins within the change of the list price and moves by no more an hour', () => {
    const shard = shardWith('changeBasisPointsMax: 200');
    let before = 1000;
    const seen = new Set<number>();
    for (let h = 0; h < 100; h++) {
      const { priceMinor } = priceAt(shard, NOON + h * HOUR, 'ann');
      expect(Math.abs(priceMinor - before)).toBeLessThanOrEqual(before * 0.02);
      before = priceMinor;
      seen.add(priceMinor);
    }
    expect(seen.size).toBeGreaterThan(5);
  });

  it('the list cap, the margin and the endings hold in every hour', () => {
    const shard = shardWith('listCap: true, marginBasisPointsMin: 7500, endingsMinor: [5, 9]');
    for (let h = 0; h < 100; h++) {
      const { priceMinor } = priceAt(shard, NOON + h * HOUR, 'ann');
      expect(priceMinor).toBeLessThanOrEqual(1000);
      expect(priceMinor).toBeGreaterThanOrEqual(700);
      expect([5, 9]).toContain(priceMinor % 10);
    }
  });

  it('the reference price limits how high a price jumps', () => {
    const shard = shardWith('referenceBasisPointsMax: 500');
    for (let h = 0; h < 50; h++) {
      expect(priceAt(shard, NOON + h * HOUR, 'ann').priceMinor).toBeLessThanOrEqual(1000 * 1.05 + 5 * h);
    }
  });
});
