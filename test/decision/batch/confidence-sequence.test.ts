import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedEffectSequence } from '../../../decision/batch/bounded-effect.ts';
import {
  ARM_COUNT_MIN,
  addOutcome,
  compareArms,
  type Moments,
  mergeMoments,
  momentsFromSums,
} from '../../../decision/batch/confidence-sequence.ts';
import { addPerson, adjustArms, noJointMoments } from '../../../decision/batch/covariate-adjustment.ts';
import { drawNormal, drawUniform } from '../../../decision/random.ts';

const noMoments = (): Moments => ({ count: 0, mean: 0, squares: 0 });
const momentsOf = (values: readonly number[]): Moments => {
  const moments = noMoments();
  for (const value of values) addOutcome(moments, value);
  return moments;
};
const finite = fc.double({ min: -1e100, max: 1e100, noNaN: true });

describe('moments', () => {
  it('addOutcome: mean and squares from their definition, also far from 0', () => {
    const moments = momentsOf([1e9 + 1, 1e9 + 2, 1e9 + 6]);
    expect(moments.mean).toBeCloseTo(1e9 + 3, 6);
    expect(moments.squares).toBeCloseTo(14, 6);
    expect(momentsFromSums(3, 9, 41)).toEqual({ count: 3, mean: 3, squares: 14 });
    expect(momentsFromSums(0, 5, 5)).toEqual(noMoments());
    expect(momentsFromSums(2, 2, 1).squares).toBe(0);
  });

  it('addOutcome: what is not finite is not counted', () => {
    const moments = momentsOf([1, 2]);
    for (const value of [Number.NaN, Infinity, -Infinity, 1e101]) expect(addOutcome(moments, value)).toBe(false);
    expect(moments.count).toBe(2);
  });

  it('mergeMoments: parts in any cut are the whole', () => {
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 30 }), fc.nat(30), (values, cut) => {
        const whole = momentsOf(values);
        const merged = mergeMoments(momentsOf(values.slice(0, cut)), momentsOf(values.slice(cut)));
        expect(merged.count).toBe(whole.count);
        expect(Math.abs(merged.mean - whole.mean)).toBeLessThan(1e-6);
        expect(Math.abs(merged.squares - whole.squares)).toBeLessThan(1e-9 * (1 + whole.squares) + 1e-3);
      }),
    );
  });
});

describe('compareArms', () => {
  const control = momentsFromSums(3000, 1396.87, 52377.9767);
  const treatment = momentsFromSums(3461, 2422.7, 134698.29);

  it('compareArms: the figures of GrowthBook', () => {
    const lift = compareArms(control, treatment, { tuning: 1000, isRelative: true });
    expect(lift.difference).toBeCloseTo(0.50336, 5);
    expect(lift.lower).toBeCloseTo(-0.55844, 5);
    expect(lift.upper).toBeCloseTo(1.56516, 5);
    expect(lift.isDecided).toBe(false);
  });

  it('compareArms: p is the alpha at which the band touches 0, and decides as the band does', () => {
    const effect = momentsOf(Array.from({ length: 400 }, (_, i) => 0.28 + drawNormal(1, 1, i, 0)));
    const base = momentsOf(Array.from({ length: 400 }, (_, i) => drawNormal(1, 2, i, 0)));
    const result = compareArms(base, effect);
    // ρ depends on alpha through the tuning: hold it by tuning for the alpha asked.
    const squareOfRho = (alpha: number): number => -2 * Math.log(alpha) + Math.log(1 - 2 * Math.log(alpha));
    const p = result.pValue;
    expect(p).toBeGreaterThan(0);
    expect(p).toBeLessThan(1);
    const tuning = (5000 * squareOfRho(p)) / squareOfRho(0.05);
    const touching = compareArms(base, effect, { alpha: p, tuning });
    expect(Math.min(Math.abs(touching.lower), Math.abs(touching.upper))).toBeLessThan(1e-9);
    expect(result.isDecided).toBe(p < 0.05);
  });

  it('compareArms: nothing is known of few people, of no spread, or relative to a mean near 0', () => {
    const nothing = { difference: 0, lower: -Infinity, upper: Infinity, pValue: 1, isDecided: false };
    const few = { count: ARM_COUNT_MIN - 1, mean: 9, squares: 5 };
    const some = { count: ARM_COUNT_MIN, mean: 1, squares: 50 };
    expect(compareArms(few, some)).toEqual(nothing);
    expect(compareArms(some, few)).toEqual(nothing);
    expect(compareArms({ ...some, squares: 0 }, { ...some, mean: 5, squares: 0 })).toEqual(nothing);
    expect(compareArms({ ...some, mean: 0 }, some, { isRelative: true })).toEqual(nothing);
    expect(compareArms({ ...some, mean: Number.NaN }, some)).toEqual(nothing);
    expect(compareArms(some, some).lower).toBeGreaterThan(-Infinity);
  });

  it('compareArms: swapped arms give the band mirrored', () => {
    const [there, back] = [compareArms(control, treatment), compareArms(treatment, control)];
    expect(back.lower).toBeCloseTo(-there.upper, 12);
    expect(back.pValue).toBeCloseTo(there.pValue, 12);
  });

  it('compareArms: never NaN, the band holds the difference, for any moments', () => {
    const arm = fc.record({
      count: fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.constantFrom(1e15)),
      mean: finite,
      squares: fc.double({ min: 0, max: 1e205, noNaN: true }),
    });
    fc.assert(
      fc.property(arm, arm, fc.boolean(), (a, b, isRelative) => {
        const { difference, lower, upper, pValue } = compareArms(a, b, { isRelative });
        expect(lower <= difference && difference <= upper).toBe(true);
        expect(pValue >= 0 && pValue <= 1).toBe(true);
      }),
    );
  });

  it.each([0, 1, -1, Number.NaN])('compareArms: refuses alpha %s', (alpha) => {
    expect(() => compareArms(control, treatment, { alpha })).toThrow(/alpha/);
    expect(() => compareArms(control, treatment, { tuning: alpha === 1 ? 0 : alpha })).toThrow(/tuning/);
  });

  it('compareArms: ever wrong in at most alpha of 150 runs, a look a person; right soon when there is an effect', () => {
    let wrong = 0;
    let right = 0;
    for (let run = 0; run < 150; run += 1) {
      for (const effect of [0, 0.5]) {
        const [a, b] = [noMoments(), noMoments()];
        for (let i = 0; i < 1000; i += 1) {
          const isTreated = drawUniform(3, run, i, 1) < 0.5;
          addOutcome(isTreated ? b : a, drawNormal(3, run, i, 2) + (isTreated ? effect : 0));
          if (!compareArms(a, b, { tuning: 500 }).isDecided) continue;
          if (effect === 0) wrong += 1;
          else right += 1;
          break;
        }
      }
    }
    // Binomial(150, .05): mean 7.5, sd 2.7; 15 is at most 2.8 of those.
    expect(wrong).toBeLessThanOrEqual(15);
    expect(right).toBe(150);
  });
});

describe('BoundedEffectSequence', () => {
  const options = { low: 0, high: 1, treatmentProbability: 0.5 } as const;

  it('BoundedEffectSequence: first rows of confseq, and the widest band before anybody', () => {
    const sequence = new BoundedEffectSequence({ ...options, tuning: 50, outcomeVariance: 0.16 });
    expect(sequence.read()).toEqual({ people: 0, estimate: 0, lower: -1, upper: 1, pValue: 1 });
    sequence.add(1, true);
    expect(sequence.read().estimate).toBeCloseTo(1, 12);
    expect(sequence.read().pValue).toBeCloseTo(0.983920078788205, 10);
    sequence.add(0, false);
    expect(sequence.read().pValue).toBeCloseTo(0.803732245074608, 10);
  });

  it('BoundedEffectSequence: a unit of the outcome scales the band', () => {
    const unit = new BoundedEffectSequence(options);
    const pence = new BoundedEffectSequence({ ...options, low: -100, high: 300 });
    for (let i = 0; i < 400; i += 1) {
      const [y, isTreated] = [drawUniform(4, 0, i, 0), drawUniform(4, 1, i, 0) < 0.5];
      unit.add(y, isTreated);
      pence.add(400 * y - 100, isTreated);
    }
    expect(pence.read().upper).toBeCloseTo(400 * unit.read().upper, 6);
    expect(pence.read().pValue).toBeCloseTo(unit.read().pValue, 9);
  });

  it('BoundedEffectSequence: any outcomes leave a band within the span; those outside are refused', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.double(), fc.boolean()), { maxLength: 30 }), (people) => {
        const sequence = new BoundedEffectSequence(options);
        let counted = 0;
        for (const [y, isTreated] of people) if (sequence.add(y, isTreated)) counted += 1;
        const { people: n, estimate, lower, upper, pValue } = sequence.read();
        expect(n).toBe(counted);
        expect(Number.isFinite(estimate)).toBe(true);
        expect(lower >= -1 && upper <= 1 && pValue >= 0 && pValue <= 1).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    ['bounds the wrong way', { ...options, high: 0 }, /bounds 0 to 0/],
    ['bounds of NaN', { ...options, low: Number.NaN }, /bounds NaN/],
    ['everybody treated', { ...options, treatmentProbability: 1 }, /treatmentProbability 1/],
    ['no alpha', { ...options, alpha: 0 }, /alpha 0/],
    ['no tuning', { ...options, tuning: 0 }, /tuning 0/],
    ['no variance', { ...options, outcomeVariance: 0 }, /outcomeVariance 0/],
  ])('BoundedEffectSequence: refuses %s', (_, wrong, message) => {
    expect(() => new BoundedEffectSequence(wrong)).toThrow(message);
  });
});

describe('adjustArms', () => {
  it('adjustArms: by hand on two arms', () => {
    const [a, b] = [noJointMoments(), noJointMoments()];
    for (const x of [0, 1, 2]) addPerson(a, x, 10 + 2 * x);
    for (const x of [1, 2, 3]) addPerson(b, x, 11 + 2 * x);
    const { coefficient, varianceReduction, arms } = adjustArms([a, b]);
    expect(coefficient).toBeCloseTo(2, 12);
    expect(varianceReduction).toBeCloseTo(1, 12);
    // The covariate explains all but the effect of 1.
    expect((arms[1]?.mean ?? 0) - (arms[0]?.mean ?? 0)).toBeCloseTo(1, 12);
    expect(arms[0]?.squares).toBeCloseTo(0, 12);
  });

  it('adjustArms: variance falls by just the squared correlation', () => {
    const arm = noJointMoments();
    for (let i = 0; i < 500; i += 1) {
      const x = drawNormal(5, 0, i, 0);
      addPerson(arm, x, 0.8 * x + drawNormal(5, 1, i, 0));
    }
    const { varianceReduction, arms } = adjustArms([arm]);
    expect(varianceReduction).toBeCloseTo(arm.products ** 2 / (arm.squaresX * arm.squaresY), 12);
    expect((arms[0]?.squares ?? 0) / arm.squaresY).toBeCloseTo(1 - varianceReduction, 10);
  });

  it('adjustArms: a covariate without spread, arms without people and none at all change nothing', () => {
    const flat = noJointMoments();
    for (const y of [1, 2, 6]) addPerson(flat, 4, y);
    const { coefficient, arms } = adjustArms([flat, noJointMoments()]);
    expect(coefficient).toBe(0);
    expect(arms).toEqual([{ count: 3, mean: 3, squares: flat.squaresY }, noMoments()]);
    expect(adjustArms([])).toEqual({ coefficient: 0, varianceReduction: 0, arms: [] });
    expect(addPerson(flat, Number.NaN, 1)).toBe(false);
    expect(addPerson(flat, 1, Infinity)).toBe(false);
  });

  it('adjustArms: finite for any people', () => {
    const person = fc.tuple(finite, finite, fc.boolean());
    fc.assert(
      fc.property(fc.array(person, { maxLength: 20 }), (people) => {
        const pair = [noJointMoments(), noJointMoments()] as const;
        for (const [x, y, isTreated] of people) addPerson(pair[isTreated ? 1 : 0], x, y);
        const { coefficient, varianceReduction, arms } = adjustArms(pair);
        for (const value of [coefficient, varianceReduction, ...arms.flatMap(({ mean, squares }) => [mean, squares])])
          expect(Number.isFinite(value)).toBe(true);
      }),
    );
  });
});
