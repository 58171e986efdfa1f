import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ChurnFacts,
  chooseChurnColumns,
  churnProbability,
  churnRow,
  churnTable,
  crossValidateChurn,
  fitChurn,
  scoreClassifier,
} from '../../../decision/batch/churn-model.ts';
import { drawNormal, drawUniform } from '../../../decision/random.ts';

/** n people whose log odds of leaving are −1 + 2 a − b, a and b standard normal. */
function world(n: number, subject: number): { values: Float64Array; labels: Uint8Array } {
  const values = Float64Array.from({ length: 2 * n }, (_, i) => drawNormal(5, subject, i, 0));
  const labels = Uint8Array.from({ length: n }, (_, row) => {
    const odds = -1 + 2 * (values[2 * row] ?? 0) - (values[2 * row + 1] ?? 0);
    return Number(drawUniform(6, subject, row, 0) < 1 / (1 + Math.exp(-odds)));
  });
  return { values, labels };
}

describe('fitChurn', () => {
  it('fitChurn: finds the true weights of 20,000 people within 5 standard errors', () => {
    const { values, labels } = world(20_000, 1);
    const model = fitChurn({ values, width: 2 }, labels, 1e-6);
    const unscaled = [0, 1].map((j) => (model.weights[j] ?? 0) / (model.scale.deviations[j] ?? 0));
    // Fisher information: n E[p(1-p) x²] gives standard errors near .025.
    expect(Math.abs((unscaled[0] ?? 0) - 2)).toBeLessThan(0.15);
    expect(Math.abs((unscaled[1] ?? 0) + 1)).toBeLessThan(0.12);
    expect(model.isConverged).toBe(true);
  });

  it('fitChurn: the gradient of the penalised loss is 0 at the fit, from its definition', () => {
    const { values, labels } = world(400, 2);
    const ridge = 3;
    const model = fitChurn({ values, width: 2 }, labels, ridge);
    const gradient = [0, 0, 0];
    for (let row = 0; row < 400; row += 1) {
      const person = values.subarray(2 * row, 2 * row + 2);
      const residual = (labels[row] ?? 0) - churnProbability(model, person);
      for (const j of [0, 1]) {
        const z = ((person[j] ?? 0) - (model.scale.means[j] ?? 0)) / (model.scale.deviations[j] ?? 1);
        gradient[j] = (gradient[j] ?? 0) + residual * z;
      }
      gradient[2] = (gradient[2] ?? 0) + residual;
    }
    for (const j of [0, 1]) expect(gradient[j]).toBeCloseTo(ridge * (model.weights[j] ?? 0), 4);
    expect(gradient[2]).toBeCloseTo(0, 4);
  });

  it('fitChurn: a unit of a column changes no probability', () => {
    const { values, labels } = world(300, 3);
    const pence = values.map((x, i) => (i % 2 === 0 ? 100 * x + 7 : x));
    const [pounds, other] = [fitChurn({ values, width: 2 }, labels), fitChurn({ values: pence, width: 2 }, labels)];
    expect(churnProbability(other, pence.subarray(0, 2))).toBeCloseTo(
      churnProbability(pounds, values.subarray(0, 2)),
      9,
    );
  });

  it.each([
    ['nobody', 0, 0, 0.5],
    ['one who left', 1, 1, 0.75],
    ['one who stayed', 1, 0, 0.25],
    ['nine who left', 9, 9, 0.95],
  ])('fitChurn: %s gives the estimate of one class', (_, rows, positives, expected) => {
    const labels = new Uint8Array(rows).fill(1, 0, positives);
    const model = fitChurn({ values: Float64Array.from({ length: rows }, (__, i) => i), width: 1 }, labels);
    expect(churnProbability(model, Float64Array.of(1000))).toBeCloseTo(expected, 12);
    expect(model).toMatchObject({ rows, positives, iterations: 0, isConverged: true });
  });

  it('fitChurn: separable people end finite and ranked right', () => {
    const values = Float64Array.from({ length: 100 }, (_, i) => i);
    const labels = Uint8Array.from(values, (x) => Number(x >= 50));
    const model = fitChurn({ values, width: 1 }, labels, 1e-6);
    expect(churnProbability(model, Float64Array.of(49))).toBeLessThan(0.5);
    expect(churnProbability(model, Float64Array.of(50))).toBeGreaterThan(0.5);
    expect(Number.isFinite(model.weights[0])).toBe(true);
  });

  it('fitChurn: constant, doubled and opposite columns leave finite weights', () => {
    const { values, labels } = world(200, 4);
    const wide = Float64Array.from({ length: 1000 }, (_, i) => {
      const a = values[2 * Math.floor(i / 5)] ?? 0;
      return [a, 3, a, -a, 0][i % 5] ?? 0;
    });
    const model = fitChurn({ values: wide, width: 5 }, labels);
    expect([...model.weights, model.intercept].every(Number.isFinite)).toBe(true);
    expect(model.weights[1]).toBe(0);
    expect(model.weights[0]).toBeCloseTo(model.weights[2] ?? Number.NaN, 6);
  });

  it('fitChurn: any finite table and labels give a probability for any row, NaN and infinities included', () => {
    const value = fc.oneof(fc.double({ min: -1e100, max: 1e100, noNaN: true }), fc.constantFrom(0, 1, 1e100));
    const any = fc.oneof(value, fc.constantFrom(Number.NaN, Infinity, -Infinity));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(value, value, fc.boolean()), { maxLength: 20 }),
        fc.tuple(any, any),
        fc.constantFrom(1e-6, 1, 1e6),
        (people, row, ridge) => {
          const values = Float64Array.from({ length: 2 * people.length }, (_, i) => Number(people[i >> 1]?.[i & 1]));
          const labels = Uint8Array.from(people, ([, , hasLeft]) => Number(hasLeft));
          const p = churnProbability(fitChurn({ values, width: 2 }, labels, ridge), Float64Array.from(row));
          expect(p >= 0 && p <= 1).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });

  it.each([
    ['labels that are too few', new Uint8Array(1), 1, /1 labels for 2 rows/],
    ['a label of 2', Uint8Array.of(0, 2), 1, /labels\[1\] is 2/],
    ['no ridge', Uint8Array.of(0, 1), 0, /ridge 0/],
    ['a ridge of NaN', Uint8Array.of(0, 1), Number.NaN, /ridge NaN/],
  ])('fitChurn: refuses %s', (_, labels, ridge, message) => {
    expect(() => fitChurn({ values: Float64Array.of(1, 2), width: 1 }, labels, ridge)).toThrow(message);
  });
});

describe('churn columns', () => {
  const person = (tenureDays: number | null, traits: ChurnFacts['traits'] = {}): ChurnFacts => ({
    recencyDays: 3,
    frequency: null,
    tenureDays,
    traits,
  });

  it('chooseChurnColumns: numbers give two columns, frequent texts one, rare ones none', () => {
    const people = [
      ...Array.from({ length: 5 }, () => person(1, { plan: 'gold', age: 30, isStaff: true })),
      person(2, { plan: 'rare', age: null }),
    ];
    const columns = chooseChurnColumns(people);
    expect(columns).toEqual({ numbers: ['age', 'isStaff'], values: [['plan', 'gold']], width: 11 });
    const out = new Float64Array(11);
    churnRow(columns, person(null, { plan: 'rare', isStaff: false }), out);
    expect(out[0]).toBe(3);
    expect(out[1]).toBeCloseTo(Math.log(4), 12);
    expect([...out.subarray(2, 8)].every(Number.isNaN)).toBe(true);
    expect([...out.subarray(8)]).toEqual([0, 0, 0]);
  });

  it('churnTable: what is not known is the mean of those who have it, 0 where nobody has', () => {
    const people = [person(10), person(20), person(null)];
    const { values } = churnTable(chooseChurnColumns(people), people);
    expect([values[4], values[10], values[16]]).toEqual([10, 20, 15]);
    expect([values[2], values[8], values[14]]).toEqual([0, 0, 0]);
  });

  it('chooseChurnColumns: the order of people and traits is of no matter', () => {
    const a = person(1, { x: 1, plan: 'gold' });
    const b = person(1, { plan: 'tin', x: 2 });
    const many = [a, b, a, b, a, b, a, b, a, b];
    expect(chooseChurnColumns(many)).toEqual(chooseChurnColumns([...many].reverse()));
  });

  it('chooseChurnColumns: too many values are refused by name', () => {
    const people = Array.from({ length: 3000 }, (_, i) => person(1, { city: `c${i % 600}` }));
    expect(() => chooseChurnColumns(people)).toThrow(/606 columns, at most 512: trait city has 600 values/);
  });
});

describe('scoreClassifier', () => {
  it('scoreClassifier: the area is the share of pairs in order, ties half, from all pairs', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), { minLength: 1 }), (people) => {
        const probabilities = Float64Array.from(people, ([p]) => p / 4);
        const labels = Uint8Array.from(people, ([, y]) => Number(y));
        const left = people.filter(([, y]) => y);
        const stayed = people.filter(([, y]) => !y);
        let inOrder = 0;
        for (const [a] of left) for (const [b] of stayed) inOrder += a > b ? 1 : a === b ? 0.5 : 0;
        const pairs = left.length * stayed.length;
        const score = scoreClassifier(probabilities, labels);
        expect(score.areaUnderCurve).toBeCloseTo(pairs === 0 ? 0.5 : inOrder / pairs, 12);
        expect(Number.isFinite(score.logLoss)).toBe(true);
      }),
    );
  });

  it('scoreClassifier: log loss by hand, no rows, NaN refused', () => {
    const { logLoss } = scoreClassifier(Float64Array.of(0.8, 0.4), Uint8Array.of(1, 0));
    expect(logLoss).toBeCloseTo(-(Math.log(0.8) + Math.log(0.6)) / 2, 12);
    expect(scoreClassifier(new Float64Array(0), new Uint8Array(0))).toEqual({ areaUnderCurve: 0.5, logLoss: 0 });
    expect(() => scoreClassifier(Float64Array.of(Number.NaN), Uint8Array.of(1))).toThrow(/is NaN/);
    expect(() => scoreClassifier(Float64Array.of(1), new Uint8Array(2))).toThrow(/1 probabilities, 2 labels/);
  });
});

describe('crossValidateChurn', () => {
  it('crossValidateChurn: labels without any tie to the columns score no better than chance', () => {
    const { values } = world(1000, 7);
    const labels = Uint8Array.from({ length: 1000 }, (_, i) => Number(drawUniform(9, 9, i, 0) < 0.3));
    const { areaUnderCurve } = crossValidateChurn({ values, width: 2 }, labels, [1, 1]);
    // Standard error of the area: sqrt(1001 / (12 × 300 × 700)) = .02.
    expect(Math.abs(areaUnderCurve - 0.5)).toBeLessThan(0.08);
  });

  it('crossValidateChurn: one seed gives one result, and the true model scores well', () => {
    const { values, labels } = world(1000, 8);
    const score = crossValidateChurn({ values, width: 2 }, labels, [1, 2]);
    expect(crossValidateChurn({ values, width: 2 }, labels, [1, 2])).toEqual(score);
    expect(score.areaUnderCurve).toBeGreaterThan(0.8);
    expect(() => crossValidateChurn({ values, width: 2 }, labels, [1, 2], 1)).toThrow(/folds 1/);
  });
});
