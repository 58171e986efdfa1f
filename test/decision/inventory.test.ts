import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createInventoryMix, SELL_NOTHING, solveInventory } from '../../decision/inventory.ts';
import { drawUniform } from '../../decision/random.ts';

const mix = createInventoryMix();

/**
 * The same program by the simplex method (dense tableau, slack basis, Bland's rule), which knows nothing of
 * pairs: max r x, subject to d x <= c, 1 x <= 1, x >= 0. Returns the optimum.
 */
function simplex(revenue: readonly number[], demand: readonly number[], capacity: number): number {
  const n = revenue.length;
  const rows = [
    [...demand, 1, 0, capacity],
    [...revenue.map(() => 1), 0, 1, 1],
  ];
  const objective = [...revenue.map((r) => -r), 0, 0, 0];
  const basis = [n, n + 1];
  for (let pivots = 0; pivots < 1000; pivots++) {
    const enter = objective.findIndex((value, j) => j < n + 2 && value < -1e-12);
    if (enter < 0) return objective[n + 2] as number;
    const ratios = rows.map((row) =>
      (row[enter] as number) > 1e-12 ? (row[n + 2] as number) / (row[enter] as number) : Number.POSITIVE_INFINITY,
    ) as [number, number];
    const isTie = Math.abs(ratios[0] - ratios[1]) < 1e-15;
    const leave = isTie ? ((basis[0] as number) < (basis[1] as number) ? 0 : 1) : ratios[0] < ratios[1] ? 0 : 1;
    const row = rows[leave] as number[];
    const pivot = row[enter] as number;
    for (let j = 0; j < row.length; j++) row[j] = (row[j] as number) / pivot;
    for (const other of [rows[1 - leave] as number[], objective]) {
      const factor = other[enter] as number;
      for (let j = 0; j < other.length; j++) other[j] = (other[j] as number) - factor * (row[j] as number);
    }
    basis[leave] = enter;
  }
  throw new Error('the simplex method does not end');
}

describe('solveInventory', () => {
  it('solveInventory: earns what the simplex method earns when 2,000 problems are random', () => {
    for (let problem = 0; problem < 2000; problem++) {
      const random = (what: number, purpose: number): number => drawUniform(problem, 5, what, purpose);
      const count = 1 + Math.floor(random(0, 90) * 12);
      const prices = Float64Array.from({ length: count }, (_, i) => 1 + 99 * random(i, 91));
      const demand = Float64Array.from({ length: count }, (_, i) => random(i, 92) * (random(i, 95) < 0.1 ? 0 : 1));
      const capacity = random(0, 93) * 1.2;
      const salvage = random(0, 94) * 40;
      solveInventory(prices, demand, count, capacity, salvage, mix);
      const revenue = Array.from(prices, (price, i) => (price - salvage) * (demand[i] as number));
      expect(mix.earnings).toBeCloseTo(simplex(revenue, [...demand], capacity), 9);
      // And the mix it names earns that, within the stock.
      const at = (values: ArrayLike<number>, i: number): number => (i === SELL_NOTHING ? 0 : (values[i] as number));
      const { first, second, firstProbability: share } = mix;
      expect(share * at(revenue, first) + (1 - share) * at(revenue, second)).toBeCloseTo(mix.earnings, 9);
      expect(share * at(demand, first) + (1 - share) * at(demand, second)).toBeLessThanOrEqual(capacity + 1e-9);
    }
  });

  it('solveInventory: a little more stock earns the unit value more', () => {
    const prices = Float64Array.of(29.9, 34.9, 39.9, 44.9);
    const demand = Float64Array.of(0.8, 0.6, 0.3, 0.1);
    for (const capacity of [0.05, 0.25, 0.5, 0.59]) {
      solveInventory(prices, demand, 4, capacity, 0, mix);
      const { earnings, unitValue } = mix;
      solveInventory(prices, demand, 4, capacity + 0.001, 0, mix);
      expect((mix.earnings - earnings) / 0.001).toBeCloseTo(unitValue, 9);
    }
    solveInventory(prices, demand, 4, 0.9, 0, mix);
    expect(mix).toEqual({ first: 0, second: 0, firstProbability: 1, earnings: expect.closeTo(23.92, 9), unitValue: 0 });
  });

  it.each([
    ['there is no price', [], [], 1, 0],
    ['nothing is left', [10], [0.5], 0, 0],
    ['the stock is negative', [10], [0.5], -3, 0],
    ['the stock is NaN', [10], [0.5], Number.NaN, 0],
    ['salvage is worth as much', [10], [0.5], 1, 10],
    ['nobody buys', [10, 20], [0, -1], 1, 0],
    ['demand is not finite', [10, 20], [Number.NaN, Number.POSITIVE_INFINITY], 1, 0],
  ])('solveInventory: sells nothing when %s', (_, prices, demand, capacity, salvage) => {
    solveInventory(Float64Array.from(prices), Float64Array.from(demand), prices.length, capacity, salvage, mix);
    expect(mix).toEqual({ first: SELL_NOTHING, second: SELL_NOTHING, firstProbability: 1, earnings: 0, unitValue: 0 });
  });

  it('solveInventory: never NaN, shares in [0, 1] when input is hostile', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(0, 1, 1e15, -1, Number.NaN, Infinity, -Infinity));
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number), { maxLength: 6 }), number, number, (rows, capacity, salvage) => {
        const prices = Float64Array.from(rows, ([price]) => price);
        const demand = Float64Array.from(rows, ([, units]) => units);
        solveInventory(prices, demand, rows.length, capacity, salvage, mix);
        expect(mix.earnings).toBeGreaterThanOrEqual(0);
        expect(mix.unitValue).toBeGreaterThanOrEqual(0);
        expect(mix.firstProbability).toBeGreaterThanOrEqual(0);
        expect(mix.firstProbability).toBeLessThanOrEqual(1);
        for (const index of [mix.first, mix.second]) {
          expect(index).toBeGreaterThanOrEqual(SELL_NOTHING);
          expect(index).toBeLessThan(Math.max(rows.length, 0));
        }
      }),
      { numRuns: 500 },
    );
  });
});
