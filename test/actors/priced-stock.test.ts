/** Prices of a stock that must be sold by a day, and limits from one hour to the next, through the whole decide turn. */
import { describe, expect, it } from 'vitest';
import { Effect } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import type { DecidedPrice, DecideReply } from '../../proto/messages.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

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

describe('the propensity of a price', () => {
  it('is 1 for a withheld person, in (0, 1] for a price of the hour, and null while an earlier quote holds it', () => {
    const shard = shardWith('stock: 40, sellBy: 2026-06-20T12:00Z, quoteTtlMillis: 36000000');
    const first = shard.decide({ profile: 'ann', wantMask: 2, sku: 'fish' }, NOON).price;
    expect(first?.propensity).toBeGreaterThan(0);
    expect(first?.propensity).toBeLessThanOrEqual(1);
    let isHeldSeen = false;
    for (let h = 1; h < 9; h++) {
      const now = NOON + h * HOUR;
      const [ann, bob] = ['ann', `bob${h}`].map((profile) => priceAt(shard, now, profile));
      const isHeld = (ann?.priceMinor ?? 0) < (bob?.priceMinor ?? 0);
      isHeldSeen ||= isHeld;
      if (isHeld) expect(ann?.propensity).toBeNull();
      else expect(ann?.propensity).toBe(bob?.propensity);
    }
    expect(isHeldSeen).toBe(true);
    const withheld = new OneShard({
      catalog: catalogText({ actions: ACTIONS, holdoutProbability: 0.5, products: COFFEE }),
    });
    const prices = Array.from({ length: 50 }, (_, n) => {
      const { price } = withheld.decide({ profile: `p${n}`, wantMask: 2, sku: 'coffee' }, NOON);
      return price;
    });
    const list = prices.filter((price) => price?.disclosure === 'List price.');
    expect(list.length).toBeGreaterThan(5);
    expect(new Set(list.map((price) => price?.propensity))).toEqual(new Set([1]));
  });

  it('is in the decision log', () => {
    const shard = shardWith('stock: null');
    const { price } = shard.decide({ profile: 'ann', wantMask: 2, sku: 'fish' }, NOON);
    shard.store.commitNow();
    const [batch] = [...shard.disk.journal.values()];
    const entry = new Effect();
    entry.load(batch?.bytes ?? new Uint8Array(0), 0);
    expect(describeEntry(entry, shard.runtime.index.catalog, coldCodec)).toMatchObject({
      price: { priceMinor: price?.priceMinor, propensity: price?.propensity },
    });
  });
});

describe('promotions', () => {
  it('the reply names the one that is expected to earn most, the same for everybody in an hour, or none', () => {
    const shard = shardWith(
      'promotions: [{ key: third-free, buy: 2, free: 1 }, { key: tenth-off, percentageBasisPoints: 1000 }, { key: fifty-off, amountMinor: 50 }]',
    );
    const seen = new Set<string | null>();
    for (let h = 0; h < 200; h++) {
      const now = NOON + h * HOUR;
      const { price, explain } = shard.decide(
        { profile: 'ann', wantMask: 2, sku: 'fish', isDryRun: true, isExplain: true },
        now,
      );
      seen.add(price?.promotion ?? null);
      expect(priceAt(shard, now, 'bob').promotion).toBe(price?.promotion);
      expect(Number(explain?.price?.promotionMargin)).toBeGreaterThanOrEqual(Number(explain?.price?.plainMargin));
    }
    // The price is the best for one curve already: a promotion pays where bounds keep it from being so.
    expect(seen).toContain(null);
    expect(seen.size).toBeGreaterThan(1);
  });

  it('a bundle names another product, whose own price and floor count as well', () => {
    const shard = new OneShard({
      catalog: catalogText({
        actions: ACTIONS,
        products: `{ sku: fish, listMinor: 1000, floorMinor: 900, ceilingMinor: 1500, costMinor: 100, stepMinor: 10,
          promotions: [{ key: with-coffee, bundleSku: coffee, bundleMinor: 1650 }] }, ${COFFEE}`,
      }),
    });
    const promotions = new Set(Array.from({ length: 100 }, (_, h) => priceAt(shard, NOON + h * HOUR, 'ann').promotion));
    for (const promotion of promotions) expect([null, 'with-coffee']).toContain(promotion);
  });
});
