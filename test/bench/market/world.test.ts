/** The market's truth against closed forms, its bounds, and that a seed is a world. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Chance, KIND } from '../../../bench/market/chance.ts';
import { eachVisit } from '../../../bench/market/market-run.ts';
import { Showings } from '../../../bench/market/showings.ts';
import type { Visit } from '../../../bench/market/visits.ts';
import { MARKET_DEFAULTS, type MarketOptions, World } from '../../../bench/market/world.ts';

const SMALL: MarketOptions = { ...MARKET_DEFAULTS, people: 60, days: 40 };
const world = new World(SMALL);

function visitsOf(of: World): Visit[] {
  const visits: Visit[] = [];
  eachVisit(of, (visit) => visits.push(visit));
  return visits;
}

describe('market world', () => {
  it('seed: the same people and visits when equal, others when not', () => {
    const visits = visitsOf(world);
    expect(visits.length).toBeGreaterThan(100);
    expect(visitsOf(new World(SMALL))).toEqual(visits);
    expect(visitsOf(new World({ ...SMALL, seed: 2 }))).not.toEqual(visits);
  });

  it('visits: in order of time, each at least a day after the last of that person and with its index', () => {
    const lastDay = new Map<number, number>();
    const counts = new Map<number, number>();
    let before = 0;
    for (const { person, day, index, nowEpochMillis } of visitsOf(world)) {
      expect(nowEpochMillis).toBeGreaterThan(before);
      before = nowEpochMillis;
      expect(index).toBe(counts.get(person) ?? 0);
      counts.set(person, index + 1);
      expect(day).toBeGreaterThan(lastDay.get(person) ?? -1);
      lastDay.set(person, day);
    }
  });

  it('hours: the shares of a week sum to 1 for each person and channel', () => {
    for (const channel of [-1, 0, 1]) {
      for (let person = 0; person < SMALL.people; person += 7) {
        let sum = 0;
        for (let hour = 0; hour < 168; hour++) sum += world.hourShare(person, channel, hour);
        expect(sum).toBeCloseTo(1, 12);
      }
    }
  });

  it('visits: fall into the hours of the rhythm, within four standard errors of each', () => {
    const many = new World({ ...SMALL, people: 400, days: 120 });
    const seen = new Float64Array(24);
    const expected = new Float64Array(24);
    const variance = new Float64Array(24);
    for (const { person, hourOfWeek } of visitsOf(many)) {
      const hour = hourOfWeek % 24;
      seen[hour] = (seen[hour] ?? 0) + 1;
      const weekday = Math.floor(hourOfWeek / 24);
      let day = 0;
      for (let h = 0; h < 24; h++) day += many.hourShare(person, -1, weekday * 24 + h);
      for (let h = 0; h < 24; h++) {
        const p = many.hourShare(person, -1, weekday * 24 + h) / day;
        expected[h] = (expected[h] ?? 0) + p;
        variance[h] = (variance[h] ?? 0) + p * (1 - p);
      }
    }
    // The weekday is that of the market's day, which differs from the person's by at most one: a bias below 1 % of the visits.
    const all = seen.reduce((a, b) => a + b);
    for (let h = 0; h < 24; h++) {
      expect(Math.abs((seen[h] ?? 0) - (expected[h] ?? 0))).toBeLessThan(4 * Math.sqrt(variance[h] ?? 0) + 0.01 * all);
    }
  });

  it('demand: half the market at the rival’s price, and the table of the mean is the mean', () => {
    const still = new World({ ...SMALL, isStationary: true });
    const rival = still.rivalMinor(0, 0);
    const atRival = still.purchaseProbability(0, 0, rival, 0);
    expect(still.purchaseProbability(5, 0, rival, 0)).toBeCloseTo(atRival, 12); // sensitivity does not matter there
    expect(still.meanPurchaseProbability(0, rival, 0)).toBeCloseTo(atRival, 6);
    for (const factor of [0.7, 0.9, 1.1, 1.3]) {
      let sum = 0;
      let weights = 0;
      for (let person = 0; person < SMALL.people; person++) {
        const weight = still.productShare(person, 0) / (still.cycleDays[person] ?? 1);
        sum += weight * still.purchaseProbability(person, 0, rival * factor, 0);
        weights += weight;
      }
      expect(still.meanPurchaseProbability(0, rival * factor, 0)).toBeCloseTo(sum / weights, 4);
    }
  });

  it('best price: no price within bounds earns more, and it fulfils Lerner’s rule where no bound binds', () => {
    const still = new World({ ...SMALL, isStationary: true });
    still.goods.forEach(({ floorMinor, ceilingMinor, costMinor, stepMinor }, j) => {
      const best = still.bestPriceMinor(j, 0);
      const margin = (price: number): number => (price - costMinor) * still.meanPurchaseProbability(j, price, 0);
      for (let price = floorMinor; price <= ceilingMinor; price += stepMinor) {
        expect(margin(price)).toBeLessThanOrEqual(margin(best) * (1 + 1e-3));
      }
      if (best <= floorMinor + stepMinor || best >= ceilingMinor - stepMinor) return;
      const [above, under] = [best * 1.02, best / 1.02].map((p) => still.meanPurchaseProbability(j, p, 0));
      const elasticity = -Math.log((above ?? 0) / (under ?? 1)) / Math.log(1.02 * 1.02);
      expect(elasticity).toBeCloseTo(best / (best - costMinor), 1);
    });
  });

  it('shock: rivals are cheaper and the best price falls from that day on, not before', () => {
    const shocked = new World({ ...SMALL, isStationary: true, shockDay: 20 });
    const still = new World({ ...SMALL, isStationary: true });
    expect(shocked.rivalMinor(1, 19)).toBe(still.rivalMinor(1, 19));
    expect(shocked.rivalMinor(1, 20)).toBeCloseTo(0.85 * still.rivalMinor(1, 20), 9);
    expect(shocked.bestPriceMinor(1, 20)).toBeLessThan(still.bestPriceMinor(1, 20));
  });

  it('showings: wear out the offer shown more than others, and fade by half in seven days', () => {
    const showings = new Showings(world);
    const visit: Visit = { person: 3, index: 0, nowEpochMillis: 0, day: 10, hourOfWeek: 12, product: 0 };
    const logit = (p: number): number => Math.log(p / (1 - p));
    const lost = (day: number, action: number): number =>
      logit(world.responseProbability(3, action, day, 12, 0, 0, 0)) -
      logit(showings.responseProbability({ ...visit, day }, action));
    expect(lost(10, 4)).toBeCloseTo(0, 9);
    showings.add(visit, 4);
    expect(lost(10, 4)).toBeCloseTo(0.17, 9);
    expect(lost(10, 5)).toBeCloseTo(0.05, 9);
    expect(lost(17, 4)).toBeCloseTo(0.085, 9);
    showings.add({ ...visit, day: 17 }, 5);
    expect(lost(17, 4)).toBeCloseTo(0.12 / 2 + 0.05 * 1.5, 9);
  });

  it('probabilities: within 0 and 1 whatever is asked', () => {
    fc.assert(
      fc.property(
        fc.nat(SMALL.people - 1),
        fc.nat(SMALL.days - 1),
        fc.integer({ min: 0, max: 1e9 }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (person, day, priceMinor, wear) => {
          const probabilities = [
            world.purchaseProbability(person, person % 4, priceMinor, day),
            world.meanPurchaseProbability(person % 4, priceMinor, day),
            world.responseProbability(person, day % 10, day, day % 24, -1, wear, wear),
          ];
          for (const p of probabilities) expect(p >= 0 && p <= 0.9999).toBe(true);
        },
      ),
    );
  });

  it('chance: moments of the normal and exponential draws within five standard errors', () => {
    const chance = new Chance(7);
    const n = 20_000;
    let [normal, square, exponential] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const z = chance.normal(KIND.taste, i);
      normal += z / n;
      square += (z * z) / n;
      exponential += chance.exponential(KIND.delay, i) / n;
    }
    const error = 5 / Math.sqrt(n);
    expect(Math.abs(normal)).toBeLessThan(error);
    expect(Math.abs(square - 1)).toBeLessThan(error * Math.SQRT2);
    expect(Math.abs(exponential - 1)).toBeLessThan(error);
  });
});

describe('market options', () => {
  const bad: readonly [Partial<MarketOptions>, RegExp][] = [
    [{ seed: -1 }, /market seed: expected a whole number from 0 to 4294967295, got -1/],
    [{ seed: 2 ** 32 }, /market seed/],
    [{ people: 0 }, /market people: expected a whole number from 1 to 1000000, got 0/],
    [{ people: 1.5 }, /market people/],
    [{ days: Number.NaN }, /market days: .* got NaN/],
    [{ days: Number.POSITIVE_INFINITY }, /market days/],
    [{ actions: 0 }, /market actions/],
    [{ actions: 101 }, /market actions/],
    [{ products: -3 }, /market products/],
    [{ shockDay: 40 }, /market shockDay: expected a whole number from 0 to 39/],
    [{ shockDay: 0.5 }, /market shockDay/],
  ];
  for (const [part, message] of bad) {
    it(`options: refused with the bound when ${JSON.stringify(part)}`, () => {
      expect(() => new World({ ...SMALL, ...part })).toThrow(message);
    });
  }

  it('options: one person, one day, one offer and one product are a market', () => {
    const tiny = new World({ ...MARKET_DEFAULTS, people: 1, days: 1, actions: 1, products: 1 });
    expect(visitsOf(tiny).length).toBeLessThanOrEqual(1);
    expect(tiny.bestPriceMinor(0, 0)).toBeGreaterThan(0);
  });
});
