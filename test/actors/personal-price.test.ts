/** A person's own price: only where switched on, below everybody's by at most the gap, never by what is protected. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { JournalMarks } from '../../actors/journal-marks.ts';
import type { Product } from '../../decision/catalog.ts';
import { discountedPrice } from '../../decision/personal-price.ts';
import { WANT } from '../../decision/pipeline.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { recomputeDecisions } from '../../workers/recompute/recompute-decisions.ts';
import { writeCatalogText } from '../../workers/recovery.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { temporaryFolder } from '../server/running-node.ts';
import { writeDataFolder } from '../workers/recompute/written-folder.ts';
import { OneShard, SECRET_BYTES, ZONES } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const TRAITS =
  'loyalty: { type: enum, values: [none, gold] }, gender: { type: enum, values: [f, m], protected: true }, personalPrice: { type: boolean }, phone: { type: string, sensitive: true }';
function catalogWith(more: string, decision = ''): string {
  return catalogText({
    actions: '{ key: a, channels: [app], valueMinor: 9 }',
    traits: TRAITS,
    decision,
    products: `{ sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1200, costMinor: 500, stepMinor: 1, quoteTtlMillis: 900000${more} }`,
  });
}
const GAP = 'groupGapBasisPointsMax: 400';
const DISCOUNTS = `personalDiscounts: [{ when: 'profile.loyalty == "gold"', basisPoints: 300 }, { when: 'count("purchase", "30d") >= 2', basisPoints: 400 }]`;
const CATALOG = catalogWith(`, personalPrice: true, ${GAP}, ${DISCOUNTS}`);
let shard: OneShard;

function price(profile: string, now = NOON, on = shard) {
  const reply = on.decide({ profile, sku: 'coffee', wantMask: WANT.price, isExplain: true }, now);
  if (reply.price === undefined) throw new Error('no price');
  return { ...reply.price, explain: reply.explain?.price, decisionId: reply.decisionId ?? '' };
}
function become(profile: string, traits: Record<string, string | boolean>, now = NOON): void {
  expect(shard.identify(profile, traits, now)).toBeNull();
}

beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
  become('gold', { loyalty: 'gold' });
});

describe('personal price', () => {
  it("gold: a discount on everybody's price, which is beside it, and said", () => {
    const everybody = price('anybody');
    const own = price('gold');
    expect(everybody).toMatchObject({ personalised: false, disclosure: 'Same price for everyone at this hour.' });
    expect(everybody.maskedPriceMinor).toBe(everybody.priceMinor);
    expect(own).toMatchObject({
      personalised: true,
      maskedPriceMinor: everybody.priceMinor,
      propensity: everybody.propensity,
      explain: { personalDiscountBasisPoints: 300, personalDiscountRule: 'profile.loyalty == "gold"' },
    });
    expect(own.priceMinor).toBe(Math.round(everybody.priceMinor * 0.97));
    expect(own.disclosure).toContain('using your personal data');
  });

  it('several rules: the largest discount, not the sum', () => {
    for (const messageId of ['1', '2']) shard.track({ profile: 'gold', event: 'purchase', messageId }, NOON);
    const { priceMinor, maskedPriceMinor } = price('gold', NOON + 1);
    expect(priceMinor).toBe(Math.ceil(maskedPriceMinor * 0.96));
  });

  it("a protected trait, and a refusal: everybody's price", () => {
    become('f', { gender: 'f' });
    become('m', { gender: 'm' });
    become('shy', { loyalty: 'gold', personalPrice: false });
    const prices = ['f', 'm', 'shy', 'anybody'].map((who) => price(who));
    expect(new Set(prices.map(({ priceMinor }) => priceMinor)).size).toBe(1);
    expect(prices.map(({ personalised }) => personalised)).toEqual([false, false, false, false]);
  });

  it('a quote holds when the discount is gone, and is still said to be personal', () => {
    const own = price('gold');
    become('gold', { loyalty: 'none' }, NOON + 1);
    expect(price('gold', NOON + 2)).toMatchObject({
      priceMinor: own.priceMinor,
      maskedPriceMinor: own.maskedPriceMinor,
      personalised: true,
      disclosure: 'Your earlier personal quote still holds.',
    });
    expect(price('gold', NOON + 901_000).personalised).toBe(false);
  });

  it('learning: personal quotes and purchases say nothing about demand, and count as traffic', () => {
    const row = (): number[] => [...(shard.models.snapshot().demand.values().next().value ?? [])];
    const before = row();
    const { decisionId } = price('gold');
    for (const event of ['impression', 'purchase'])
      expect(shard.track({ profile: 'gold', event, decisionId }, NOON + 5)).toBeNull();
    const after = row();
    const changed = after.flatMap((value, i) => (value === before[i] ? [] : [i]));
    expect(changed.length).toBeGreaterThan(0);
    // The demand's five sums stay.
    expect(Math.min(...changed)).toBeGreaterThanOrEqual(5);
    const plain = price('anybody');
    shard.track({ profile: 'anybody', event: 'impression', decisionId: plain.decisionId }, NOON + 5);
    expect(row().slice(0, 5)).not.toEqual(before.slice(0, 5));
  });

  it('property: within the gap of the twin, at or above floor and margin, whatever the discount', () => {
    const [product] = compileCatalog(CATALOG, 'x.yaml').products as [Product];
    fc.assert(
      fc.property(
        fc.integer({ min: 700, max: 1200 }),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 1, max: 50 }),
        (twin, discount, gap, step) => {
          const own = discountedPrice({ ...product, groupGapBasisPointsMax: gap, stepMinor: step }, twin, discount);
          expect(Number.isInteger(own)).toBe(true);
          expect(own).toBeLessThanOrEqual(twin);
          expect(own).toBeGreaterThanOrEqual(Math.max(700, twin - Math.floor((twin * gap) / 10_000)));
        },
      ),
      { seed: 5 },
    );
  });

  it('crash and replay: the quote is still personal, and every decision the same bit for bit, its twin in the log', async () => {
    const { catalog } = shard.runtime.index;
    shard = new OneShard({ catalog: CATALOG });
    new JournalMarks(shard.store).start(catalog.versionHash, 1, 0, NOON);
    writeCatalogText(shard.store, catalog.version, CATALOG);
    const marks = new JournalMarks(shard.store);
    shard.models.onPrice = (seen) => marks.price(seen);
    become('gold', { loyalty: 'gold' });
    for (let n = 0; n < 6; n++) {
      const own = price('gold', NOON + n * HOUR);
      shard.track({ profile: 'gold', event: 'impression', decisionId: own.decisionId }, NOON + n * HOUR + 1);
      shard.decide(
        { profile: 'gold', sku: 'coffee', context: { page: 'x' }, wantMask: WANT.price | WANT.action },
        NOON + n * HOUR + 2,
      );
      shard.models.nameVersion();
      shard.store.commitNow();
      shard.models.nameVersion();
    }
    const last = price('gold', NOON + 5 * HOUR + 3);
    shard.store.commitNow();
    const next = shard.recovered();
    next.prices.priceOf(0, Math.floor(NOON / HOUR) + 5, () => ({
      priceMinor: last.maskedPriceMinor,
      propensity: 1,
      promotion: -1,
    }));
    expect(price('gold', NOON + 5 * HOUR + 4, next)).toMatchObject({ priceMinor: last.priceMinor, personalised: true });

    const folder = temporaryFolder('personal-price');
    mkdirSync(join(folder, 'models'));
    await writeDataFolder(folder, shard.disk);
    const reader = JournalReader.open(join(folder, 'store'));
    const differences: unknown[] = [];
    const totals = recomputeDecisions({
      ...{ reader, modelPath: join(folder, 'models', 'model'), secret: deriveSecret(SECRET_BYTES), zones: ZONES },
      onDifference: (difference) => differences.push(difference),
    });
    await reader.close();
    expect([differences, totals.recomputed, totals.pricesDifferent]).toEqual([[], 13, 0]);
    const lines = readFileSync(join(folder, 'log.ndjson'), 'utf8').trim().split('\n');
    const priced = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'decision');
    expect(priced.at(-1).price).toMatchObject({ priceMinor: last.priceMinor, maskedPriceMinor: last.maskedPriceMinor });
  });

  it.each([
    ['without the switch', catalogWith(`, ${GAP}, ${DISCOUNTS}`), 'only with personalPrice: true'],
    [
      'switched off for the product',
      catalogWith(`, personalPrice: false, ${GAP}, ${DISCOUNTS}`, 'personalPrice: true,'),
      'only with personalPrice',
    ],
    ['without a gap', catalogWith(`, personalPrice: true, ${DISCOUNTS}`), 'need groupGapBasisPointsMax'],
    [
      'a discount beyond the gap',
      catalogWith(`, personalPrice: true, groupGapBasisPointsMax: 350, ${DISCOUNTS}`),
      '400 is more than',
    ],
    ['the switch alone', catalogWith(', personalPrice: true'), 'has no personalDiscounts'],
    [
      'a protected trait',
      catalogWith(
        `, personalPrice: true, ${GAP}, personalDiscounts: [{ when: 'profile.gender == "f"', basisPoints: 1 }]`,
      ),
      'protected',
    ],
    [
      'a sensitive trait',
      catalogWith(
        `, personalPrice: true, ${GAP}, personalDiscounts: [{ when: 'profile.phone == "1"', basisPoints: 1 }]`,
      ),
      'sensitive',
    ],
    [
      'a protected trait by the context',
      catalogWith(
        `, personalPrice: true, ${GAP}, personalDiscounts: [{ when: 'context.gender == "f"', basisPoints: 1 }]`,
      ),
      'may depend on "gender"',
    ],
  ])('catalog, %s: refused', (_, text, reason) => {
    expect(() => compileCatalog(text, 'x.yaml')).toThrow(reason);
  });

  it('catalog: the switch of decision holds for a product that says nothing', () => {
    expect(
      compileCatalog(catalogWith(`, ${GAP}, ${DISCOUNTS}`, 'personalPrice: true,'), 'x.yaml').products[0]
        ?.personalDiscounts,
    ).toHaveLength(2);
  });
});
