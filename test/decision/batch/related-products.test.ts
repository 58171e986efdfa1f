/**
 * A shop whose truth is known. Cameras are compared side by side and one is bought; tripods and bags go with a
 * camera, half of them in the next basket; batteries are in three of ten baskets whatever else is; books are bought
 * by others. Two of a hundred camera buyers buy two cameras.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_PRODUCT, RelatedCounts, relatedTable } from '../../../decision/batch/related-products.ts';
import { drawUniform } from '../../../decision/random.ts';

const CAMERAS = [0, 1, 2];
const TRIPODS = [3, 4];
const BAG = 5;
const BATTERY = 6;
const BOOKS = 10;
const PRODUCTS = 60;
const SHOPPERS = 6000;

interface Visit {
  readonly viewed: readonly number[];
  readonly baskets: readonly (readonly number[])[];
}

function visitOf(person: number): Visit {
  let draws = 0;
  const happens = (probability: number): boolean => drawUniform(11, 12, person, draws++) < probability;
  const oneOf = (products: readonly number[]): number =>
    products[Math.floor(drawUniform(11, 12, person, draws++) * products.length)] ?? 0;
  const now: number[] = [];
  const later: number[] = [];
  const viewed: number[] = [];
  if (happens(0.3)) {
    viewed.push(...CAMERAS.filter(() => happens(0.8)), ...TRIPODS.filter(() => happens(0.4)));
    if (viewed.includes(0) || viewed.includes(1) || viewed.includes(2)) {
      if (happens(0.4)) {
        now.push(oneOf(CAMERAS.filter((camera) => viewed.includes(camera))));
        if (happens(0.02)) now.push(oneOf(CAMERAS));
        if (happens(0.35)) (happens(0.5) ? now : later).push(oneOf(TRIPODS));
        if (happens(0.35)) (happens(0.5) ? now : later).push(BAG);
      }
    }
  } else {
    const books = Array.from({ length: 50 }, (_, i) => BOOKS + i);
    for (let i = 0; i < 4; i += 1) viewed.push(oneOf(books));
    for (const book of viewed) if (happens(0.4)) now.push(book);
  }
  if (now.length > 0 && happens(0.3)) now.push(BATTERY);
  if (later.length > 0 && happens(0.3)) later.push(BATTERY);
  return { viewed, baskets: [now, later].filter((basket) => basket.length > 0) };
}

function counted(from: number, to: number): RelatedCounts {
  const counts = new RelatedCounts(PRODUCTS);
  for (let person = from; person < to; person += 1) {
    const { viewed, baskets } = visitOf(person);
    for (const [i, basket] of baskets.entries()) counts.addBasket(basket, i > 0 ? baskets[i - 1] : []);
    counts.addSession(viewed, baskets.flat());
  }
  return counts;
}

const rowOf = (counts: RelatedCounts, product: number): number[] => {
  const { related, perProduct } = relatedTable(counts);
  return [...related.subarray(product * perProduct, product * perProduct + perProduct)].filter((p) => p !== NO_PRODUCT);
};

describe('relatedTable', () => {
  const counts = counted(0, SHOPPERS);

  it('relatedTable: a camera brings the bag and the tripods, and no other camera', () => {
    for (const camera of CAMERAS) {
      const row = rowOf(counts, camera);
      expect(new Set(row.slice(0, 3))).toEqual(new Set([BAG, ...TRIPODS]));
      for (const other of CAMERAS) expect(row).not.toContain(other);
    }
  });

  it('relatedTable: what was viewed side by side would have brought another camera', () => {
    const seen = new Float64Array(PRODUCTS);
    for (let person = 0; person < SHOPPERS; person += 1) {
      const { viewed } = visitOf(person);
      if (viewed.includes(0)) for (const product of viewed) if (product !== 0) seen[product] = (seen[product] ?? 0) + 1;
    }
    expect(CAMERAS).toContain(seen.indexOf(Math.max(...seen)));
  });

  it('relatedTable: what everybody buys comes after what goes with the product', () => {
    for (const camera of CAMERAS) {
      const battery = counts.score(camera, BATTERY);
      expect(battery.lift).toBeLessThan(1.35);
      for (const product of [BAG, ...TRIPODS]) {
        expect(counts.score(camera, product).score).toBeGreaterThan(3 * battery.score);
        // The plain count would have put the battery first or close to it.
        expect(battery.cosine).toBeGreaterThan(0.05);
      }
    }
  });

  it('score: cameras are told for alternatives, camera and tripod not', () => {
    expect(counts.score(0, 1).keep).toBeLessThan(0.3);
    expect(counts.score(0, 3).keep).toBeGreaterThan(0.8);
    expect(counts.score(0, 3).lift).toBeGreaterThan(2);
  });

  it('score: what is bought next counts from the first to the second', () => {
    const order = new RelatedCounts(3);
    for (let i = 0; i < 10; i += 1) {
      order.addBasket([0]);
      order.addBasket([1], [0]);
      order.addBasket([2]);
    }
    // By hand: 10 times next, chance (10 + 10) × 10 / 30, size sqrt(20 × 10), k = 5.
    expect(order.score(0, 1).score).toBeCloseTo((((10 - 20 / 3) / Math.sqrt(200)) * 10) / 15, 12);
    expect(order.score(1, 0).score).toBe(0);
    expect(order.score(2, 2).score).toBe(0);
  });

  it('score: by hand', () => {
    const hand = new RelatedCounts(4);
    for (let i = 0; i < 8; i += 1) hand.addBasket([0, 1, 1]);
    for (let i = 0; i < 2; i += 1) hand.addBasket([0]);
    for (let i = 0; i < 10; i += 1) hand.addBasket([2]);
    for (let i = 0; i < 4; i += 1) hand.addSession([0, 1], i < 2 ? [0, 1] : [0]);
    const { cosine, lift, keep, score } = hand.score(0, 1, 2);
    expect(cosine).toBeCloseTo(8 / Math.sqrt(80), 12);
    expect(lift).toBeCloseTo((8 + 2) / (4 + 2), 12); // chance 10 × 8 / 20
    expect(keep).toBeCloseTo((2 + 2) / ((4 * 2) / 4 + 2), 12);
    expect(score).toBeCloseTo((((8 - 4) / Math.sqrt(80)) * 8) / 10, 12);
    expect(hand.score(0, 3)).toEqual({ cosine: 0, lift: 1, keep: 1, score: 0 });
  });

  it('relatedTable: parts counted by themselves and merged in any order give the same table', () => {
    const [a, b, c] = [counted(0, 800), counted(800, 1500), counted(1500, 2000)];
    const whole = relatedTable(counted(0, 2000));
    c.merge(a);
    c.merge(b);
    expect(c.baskets).toBe(counted(0, 2000).baskets);
    expect(relatedTable(c)).toEqual(whole);
  });

  it('relatedTable: nothing counted, one product and pairs met twice relate nothing', () => {
    expect([...relatedTable(new RelatedCounts(2), 1).related]).toEqual([NO_PRODUCT, NO_PRODUCT]);
    const one = new RelatedCounts(1);
    one.addBasket([0, 0]);
    one.addSession([0], [0]);
    expect(one.pairs).toBe(0);
    const twice = new RelatedCounts(5);
    for (let i = 0; i < 2; i += 1) twice.addBasket([0, 1]);
    for (let i = 0; i < 90; i += 1) twice.addBasket([2]);
    expect([...relatedTable(twice, 2).scores]).toEqual(new Array(10).fill(0));
  });

  it('relatedTable: for any baskets scores are finite, falling, of other products, each once', () => {
    const basket = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(fc.tuple(basket, basket), { maxLength: 40 }), (events) => {
        const any = new RelatedCounts(8);
        for (const [some, others] of events) {
          any.addBasket(some, others);
          any.addSession(some, others);
        }
        const { related, scores } = relatedTable(any, 3);
        for (let product = 0; product < 8; product += 1) {
          const row = [...related.subarray(3 * product, 3 * product + 3)].filter((p) => p !== NO_PRODUCT);
          expect(new Set(row).size).toBe(row.length);
          expect(row).not.toContain(product);
          for (let i = 3 * product; i < 3 * product + 2; i += 1)
            expect((scores[i] ?? 0) >= (scores[i + 1] ?? 0)).toBe(true);
        }
        expect([...scores].every((score) => Number.isFinite(score) && score >= 0)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('addBasket: of a list without end the first 64 products are read', () => {
    const robot = new RelatedCounts(5000);
    robot.addBasket(Array.from({ length: 5000 }, (_, i) => i));
    expect(robot.pairs).toBe(64 * 63);
  });

  it.each([-1, 60, 1.5, Number.NaN])('related products: %s is no product', (product) => {
    const few = new RelatedCounts(60);
    expect(() => few.addBasket([product])).toThrow(/is no product below 60/);
    expect(() => few.addSession([0], [product])).toThrow(RangeError);
    expect(() => few.score(0, product)).toThrow(RangeError);
    expect(() => new RelatedCounts(product === 60 ? 0 : product)).toThrow(/products/);
  });

  it('relatedTable: refuses a shrinkage of 0, no place for products, and other products', () => {
    expect(() => relatedTable(counts, 0)).toThrow(/perProduct 0/);
    expect(() => relatedTable(counts, 1, 0)).toThrow(/shrinkage 0/);
    expect(() => relatedTable(counts, 1, Number.NaN)).toThrow(/shrinkage NaN/);
    expect(() => counts.merge(new RelatedCounts(3))).toThrow(/3 products into counts of 60/);
  });
});
