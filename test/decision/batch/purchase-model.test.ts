import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  aliveProbability,
  expectedPurchases,
  fitPurchaseModel,
  fitRegularPurchaseModel,
  type PurchaseHistories,
  type PurchaseModel,
  purchaseLogLikelihood,
  REGULARITY_MAX,
} from '../../../decision/batch/purchase-model.ts';
import { mixHash } from '../../../decision/features.ts';

type Person = readonly [x: number, lastTime: number, observedTime: number, logGapSum?: number];

function historiesOf(people: readonly Person[]): PurchaseHistories & { logGapSums: Float64Array } {
  return {
    repeatCounts: Float64Array.from(people, ([x]) => x),
    lastTimes: Float64Array.from(people, ([, lastTime]) => lastTime),
    observedTimes: Float64Array.from(people, ([, , observedTime]) => observedTime),
    logGapSums: Float64Array.from(people, ([, , , logGapSum]) => logGapSum ?? 0),
  };
}

const modelOf = (k: number, d: number, r: number, alpha: number, a: number, b: number): PurchaseModel => ({
  regularity: k,
  isFirstDropoutPossible: d === 1,
  r,
  alpha,
  a,
  b,
});
/** Published for CDNOW. */
const BG_NBD = modelOf(1, 0, 0.243, 4.414, 0.793, 2.426);

/** People as the model says they are, by seeded draws. */
function simulate(model: PurchaseModel, n: number, seed: number, observedOf: (i: number) => number, horizon: number) {
  let step = 0;
  const uniform = (): number => (mixHash(seed, ++step) + 0.5) / 2 ** 32;
  const standardExponential = (): number => -Math.log(uniform());
  const normal = (): number => Math.sqrt(2 * standardExponential()) * Math.cos(2 * Math.PI * uniform());
  // Marsaglia and Tsang 2000; shapes below 1 by the power of a uniform.
  const gamma = (shape: number): number => {
    if (shape < 1) return gamma(shape + 1) * uniform() ** (1 / shape);
    const d = shape - 1 / 3;
    for (;;) {
      const x = normal();
      const v = (1 + x / Math.sqrt(9 * d)) ** 3;
      if (v > 0 && Math.log(uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  };
  const people: Person[] = [];
  const later: number[] = [];
  const isAlive: boolean[] = [];
  for (let i = 0; i < n; i++) {
    const observed = observedOf(i);
    const lambda = gamma(model.r) / model.alpha;
    const [g, h] = [gamma(model.a), gamma(model.b)];
    const leave = g / (g + h);
    let [x, last, logGaps, future, time] = [0, 0, 0, 0, 0];
    let alive = !(model.isFirstDropoutPossible && uniform() < leave);
    let aliveNow = alive;
    while (alive) {
      let gap = 0;
      for (let stage = 0; stage < model.regularity; stage++) gap += standardExponential() / lambda;
      time += gap;
      if (time > observed + horizon) break;
      if (time <= observed) {
        x++;
        last = time;
        logGaps += Math.log(gap);
      } else future++;
      alive = uniform() >= leave;
      if (time <= observed) aliveNow = alive;
    }
    people.push([x, last, observed, logGaps]);
    later.push(future);
    isAlive.push(aliveNow);
  }
  return { people, later, isAlive };
}

describe('expectedPurchases', () => {
  // d, r, alpha, a, b, x, t_x, T, horizon → expectation, P(alive): closed form with SciPy 1.17 `hyp2f1`.
  it.each([
    [0, 0.243, 4.414, 0.793, 2.426, 2, 30.43, 38.86, 39, 1.226028174767135, 0.726578570080673],
    [0, 0.243, 4.414, 0.793, 2.426, 0, 0, 38.86, 39, 0.19509805201125396, 1],
    [1, 0.525, 6.183, 0.891, 1.614, 0, 0, 0, 52, 1.4197237577127344, 0.644311377245509],
    [1, 0.525, 6.183, 0.891, 1.614, 7, 20, 38, 104, 1.6721453884110724, 0.1586237011103876],
    [0, 1.3, 2, 1.7, 3, 25, 50, 52, 10, 3.6406928648551156, 0.8547854240822927],
    [1, 0.9, 3, 0.4, 0.8, 100, 300, 365, 365, 6.608189882108263e-5, 7.672140002423138e-7],
  ])(
    'k = 1, d = %d, r = %d: as the hypergeometric closed form has it',
    (d, r, alpha, a, b, x, last, now, horizon, purchases, alive) => {
      const model = modelOf(1, d, r, alpha, a, b);
      expect(expectedPurchases(model, x, last, now, horizon) / purchases).toBeCloseTo(1, 9);
      expect(aliveProbability(model, x, last, now) / alive).toBeCloseTo(1, 11);
    },
  );

  // By quadrature over lambda with Poisson tails, SciPy 1.17.
  it.each([
    [2, 1.33, 2.81, 0.42, 0.79, 3, 20, 30, 26, 1.964634748125075, 0.670158725229878],
    [3, 0.85, 1.45, 0.79, 2.42, 0, 0, 12, 32, 0.590760769330944, 0.5237474520128494],
    [3, 0.85, 1.45, 0.79, 2.42, 9, 30, 48, 32, 0.017669133145097937, 0.003115672204280351],
    [12, 2, 1, 0.5, 2, 2, 10, 14, 20, 2.9600829275292404, 0.8544795313791952],
  ])(
    'k = %d, r = %d: as quadrature over lambda has it',
    (k, r, alpha, a, b, x, last, now, horizon, purchases, alive) => {
      const model = modelOf(k, 1, r, alpha, a, b);
      expect(expectedPurchases(model, x, last, now, horizon) / purchases).toBeCloseTo(1, 7);
      expect(aliveProbability(model, x, last, now) / alive).toBeCloseTo(1, 7);
    },
  );

  it('expected purchases: of a new person as in the published sheet', () => {
    // Fader and Hardie, "Implementing the BG/NBD model in Excel", brucehardie.com/notes/004: weeks → E[X(t)].
    const published = [
      [0.1429, 0.0078],
      [1, 0.0532],
      [3, 0.1506],
      [31.8571, 1.0405],
      [32, 1.0437],
      [78, 1.8576],
    ] as const;
    const fitted = modelOf(1, 0, 0.242593, 4.413532, 0.792886, 2.425755);
    for (const [weeks, purchases] of published) {
      // Its solver stopped at three digits of the parameters.
      expect(Math.abs(expectedPurchases(fitted, 0, 0, 0, weeks) - purchases)).toBeLessThan(5e-4);
    }
  });

  it('expected purchases: are those of simulated people, k = 3', () => {
    const model = modelOf(3, 1, 0.85, 1.45, 0.79, 2.42);
    const { people, later, isAlive } = simulate(model, 4000, 11, (i) => 12 + (i % 8) * 12, 32);
    let [expected, expectedSquares, alive] = [0, 0, 0];
    for (const [i, [x, last, now]] of people.entries()) {
      const purchases = expectedPurchases(model, x, last, now, 32);
      expected += purchases - (later[i] ?? 0);
      expectedSquares += (purchases - (later[i] ?? 0)) ** 2;
      alive += aliveProbability(model, x, last, now) - (isAlive[i] ? 1 : 0);
    }
    // Four standard errors of sums of 4,000 deviations; a deviation of P(alive) is at most 1/2 in standard deviation.
    expect(Math.abs(expected)).toBeLessThan(4 * Math.sqrt(expectedSquares));
    expect(Math.abs(alive)).toBeLessThan(4 * 0.5 * Math.sqrt(4000));
  });

  it('expected purchases: finite, never negative, growing with the horizon, for whatever history', () => {
    const parameter = fc.double({ min: 1e-4, max: 1e4, noNaN: true });
    fc.assert(
      fc.property(
        fc.tuple(
          fc.integer({ min: 1, max: REGULARITY_MAX }),
          fc.integer({ min: 0, max: 1 }),
          parameter,
          parameter,
          parameter,
          parameter,
        ),
        fc.oneof(fc.nat(50), fc.nat(1e9)),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.oneof(fc.double({ min: 0, max: 1e3, noNaN: true }), fc.double({ min: 0, max: 1e15, noNaN: true })),
        fc.oneof(fc.double({ min: 0, max: 1e3, noNaN: true }), fc.double({ min: 0, max: 1e15, noNaN: true })),
        ([k, d, r, alpha, a, b], x, share, now, horizon) => {
          const model = modelOf(k, d, r, alpha, a, b);
          const last = x === 0 ? 0 : share * now;
          const alive = aliveProbability(model, x, last, now);
          expect(alive >= 0 && alive <= 1).toBe(true);
          const purchases = expectedPurchases(model, x, last, now, horizon);
          expect(purchases >= 0 && purchases < Infinity).toBe(true);
          expect(expectedPurchases(model, x, last, now, 2 * horizon)).toBeGreaterThanOrEqual(purchases * (1 - 1e-6));
        },
      ),
      { numRuns: 150, seed: 7 },
    );
  });

  it('expected purchases: 0 when nothing lies ahead', () => {
    expect([0, -1, Number.NaN].map((horizon) => expectedPurchases(BG_NBD, 2, 30, 38, horizon))).toEqual([0, 0, 0]);
  });
});

describe('fitPurchaseModel', () => {
  it('fit: finds the parameters behind simulated people, and the k', () => {
    const truth = modelOf(3, 1, 0.85, 1.45, 0.79, 2.42);
    const { people } = simulate(truth, 600, 5, (i) => 12 + (i % 8) * 12, 0);
    const histories = historiesOf(people);
    const fit = fitRegularPurchaseModel(histories);
    expect(fit).toMatchObject({
      isReliable: true,
      persons: 600,
      model: { regularity: 3, isFirstDropoutPossible: true },
    });
    // A maximum is above the truth, and by half a chi-square of 4 degrees: 9.2 is its 1 - 1e-3 quantile.
    const gain = fit.logLikelihood - purchaseLogLikelihood(truth, histories);
    expect(gain).toBeGreaterThan(0);
    expect(gain).toBeLessThan(9.3);
  });

  it('fit: another unit of time changes alpha only', () => {
    const { people } = simulate(BG_NBD, 400, 3, () => 40, 0);
    const weeks = fitPurchaseModel(historiesOf(people), 1, false);
    const days = fitPurchaseModel(historiesOf(people.map(([x, last, now]) => [x, 7 * last, 7 * now])), 1, false);
    expect(days.model.r).toBeCloseTo(weeks.model.r, 3);
    expect(days.model.alpha / 7).toBeCloseTo(weeks.model.alpha, 2);
  });

  it('fit: nobody, or nobody twice, gives a usable model that says it knows nothing', () => {
    expect(fitPurchaseModel(historiesOf([]), 1, false)).toMatchObject({
      persons: 0,
      logLikelihood: 0,
      isReliable: false,
      model: { r: 1, alpha: 1, a: 1 },
    });
    expect(fitRegularPurchaseModel(historiesOf([]))).toMatchObject({ persons: 0, isReliable: false });
    const once = fitPurchaseModel(historiesOf(Array.from({ length: 50 }, () => [0, 0, 30])), 1, false);
    expect(once.isReliable).toBe(false);
    expect(expectedPurchases(once.model, 0, 0, 30, 30)).toBeLessThan(0.01);
  });

  it('fit: equal people are expected to go on about as they did', () => {
    const fit = fitPurchaseModel(historiesOf(Array.from({ length: 50 }, () => [10, 100, 100])), 1, false);
    expect(expectedPurchases(fit.model, 10, 100, 100, 100)).toBeGreaterThan(9);
    expect(expectedPurchases(fit.model, 10, 100, 100, 100)).toBeLessThan(11);
  });

  it('fit: finite parameters and likelihood for whatever people, t_x = T and vast T included', () => {
    const person = fc
      .tuple(
        fc.oneof(fc.nat(5), fc.nat(1e6)),
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.constantFrom(1e-3, 1, 40, 1e12),
      )
      .map(
        ([x, share, now]): Person =>
          x === 0 ? [0, 0, now] : [x, Math.min(share * now, now), now, x * Math.log((share * now) / x)],
      );
    fc.assert(
      fc.property(fc.array(person, { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (people, k) => {
        const { model, logLikelihood } = fitPurchaseModel(historiesOf(people), k, true);
        for (const value of [model.r, model.alpha, model.a, model.b]) expect(value > 0 && value < Infinity).toBe(true);
        expect(Number.isFinite(logLikelihood)).toBe(true);
      }),
      { numRuns: 40, seed: 3 },
    );
  });

  it.each([
    ['t_x after T', [[1, 2, 1]], /lastTimes\[0\] is 2: must be from 0 to observedTimes, 1/],
    [
      't_x without repeats',
      [
        [0, 0, 1],
        [0, 1, 2],
      ],
      /lastTimes\[1\] is 1: must be above 0 exactly where/,
    ],
    ['repeats at no time', [[2, 0, 2]], /lastTimes\[0\] is 0: must be above 0 exactly where repeatCounts \(2\)/],
    ['negative t_x', [[1, -1, 2]], /lastTimes\[0\] is -1/],
    ['negative T', [[0, 0, -1]], /observedTimes\[0\] is -1/],
    ['endless T', [[0, 0, Infinity]], /observedTimes\[0\] is Infinity/],
    ['half a purchase', [[0.5, 1, 2]], /repeatCounts\[0\] is 0.5/],
    ['negative count', [[-1, 0, 2]], /repeatCounts\[0\] is -1/],
    ['NaN', [[Number.NaN, 0, 2]], /repeatCounts\[0\] is NaN/],
    ['NaN of gaps', [[1, 1, 2, Number.NaN]], /logGapSums\[0\] is NaN/],
  ] as const)('fit: refuses %s by name', (_, people, message) => {
    expect(() => fitRegularPurchaseModel(historiesOf(people))).toThrow(RangeError);
    expect(() => fitRegularPurchaseModel(historiesOf(people))).toThrow(message);
  });

  it('fit: refuses columns of different length and a k that is none', () => {
    const histories = historiesOf([[1, 1, 2]]);
    expect(() => fitPurchaseModel({ ...histories, lastTimes: new Float64Array(2) }, 1, false)).toThrow(
      /lastTimes: 2 values for 1/,
    );
    for (const k of [0, 1.5, REGULARITY_MAX + 1, Number.NaN])
      expect(() => fitPurchaseModel(histories, k, true)).toThrow(/regularity/);
  });
});
