import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { armOf, NO_ARM, sampleRatio } from '../../../decision/batch/experiment-arms.ts';
import { logGamma } from '../../../decision/batch/gamma-function.ts';

const PEOPLE = 40_000;
const spread = (i: number): number => Math.imul(i, 0x9e3779b1) >>> 0;

describe('armOf', () => {
  it('armOf: each arm has its share within five standard errors, the rest is outside', () => {
    const shares = [0.2, 0.5, 0.1];
    const counts = new Map<number, number>();
    for (let i = 0; i < PEOPLE; i += 1) {
      const arm = armOf(spread(i), i, 7, shares);
      counts.set(arm, (counts.get(arm) ?? 0) + 1);
    }
    for (const [arm, share] of [...shares.entries(), [NO_ARM, 0.2] as const])
      expect(Math.abs((counts.get(arm) ?? 0) - PEOPLE * share)).toBeLessThan(
        5 * Math.sqrt(PEOPLE * share * (1 - share)),
      );
  });

  it('armOf: the same each time; growing the last arm moves nobody of the others', () => {
    for (let i = 0; i < 2000; i += 1) {
      const arm = armOf(spread(i), i, 7, [0.3, 0.1]);
      expect(armOf(spread(i), i, 7, [0.3, 0.1])).toBe(arm);
      if (arm !== NO_ARM) expect(armOf(spread(i), i, 7, [0.3, 0.6])).toBe(arm);
    }
  });

  it('armOf: two salts deal independently', () => {
    let both = 0;
    for (let i = 0; i < PEOPLE; i += 1)
      if (armOf(spread(i), i, 1, [0.5, 0.5]) === 0 && armOf(spread(i), i, 2, [0.5, 0.5]) === 0) both += 1;
    expect(Math.abs(both - PEOPLE / 4)).toBeLessThan(5 * Math.sqrt((PEOPLE * 3) / 16));
  });

  it('armOf: shares of NaN, below 0 or none get nobody, a whole one everybody', () => {
    for (let i = 0; i < 200; i += 1) {
      expect(armOf(i, i, 1, [])).toBe(NO_ARM);
      expect(armOf(i, i, 1, [Number.NaN, -1, 0])).toBe(NO_ARM);
      expect(armOf(i, i, 1, [0, 1])).toBe(1);
    }
  });
});

describe('sampleRatio', () => {
  it('sampleRatio: 50,000 to 51,100 is a mismatch by chi-square', () => {
    const ratio = sampleRatio([50_000, 51_100], [0.5, 0.5]);
    expect(ratio.chiSquare).toBeCloseTo(11.968348, 6);
    expect(ratio.pValue).toBeCloseTo(0.00054112, 8);
    expect(ratio.isMismatch).toBe(true);
    // A monitor asks for more, as it may have looked a hundred thousand times.
    expect(ratio.isAlarm).toBe(false);
    expect(sampleRatio([50_000, 52_000], [1, 1]).isAlarm).toBe(true);
  });

  it('sampleRatio: the sequential evidence has mean 1 over all outcomes when dealt as wished', () => {
    // Exact: the sum over all counts of 12 people of their probability times the evidence is 1.
    const shares = [0.2, 0.3, 0.5];
    let mean = 0;
    const factorial = (n: number): number => Math.exp(logGamma(n + 1));
    for (let a = 0; a <= 12; a += 1) {
      for (let b = 0; a + b <= 12; b += 1) {
        const c = 12 - a - b;
        const chance = (factorial(12) / factorial(a) / factorial(b) / factorial(c)) * 0.2 ** a * 0.3 ** b * 0.5 ** c;
        const { sequentialPValue } = sampleRatio([a, b, c], shares);
        expect(sequentialPValue).toBeGreaterThan(0);
        // The evidence is 1 / p where p is below 1; above, it is at most 1: an upper bound on the mean.
        mean += chance / sequentialPValue;
      }
    }
    expect(mean).toBeGreaterThanOrEqual(1 - 1e-9);
    expect(mean).toBeLessThan(1.01);
  });

  it('sampleRatio: nobody, one arm and few people are no mismatch', () => {
    expect(sampleRatio([0, 0], [0.5, 0.5])).toMatchObject({ pValue: 1, sequentialPValue: 1, isMismatch: false });
    expect(sampleRatio([1000], [0.5])).toMatchObject({ pValue: 1, sequentialPValue: 1, isAlarm: false });
    expect(sampleRatio([8, 0], [0.5, 0.5])).toMatchObject({ pValue: 1, isMismatch: false });
    expect(sampleRatio([10, 10, 0], [1, 1, 0])).toMatchObject({ isMismatch: false });
    expect(sampleRatio([10, 10, 1], [1, 1, 0])).toMatchObject({ pValue: 0, isMismatch: true, isAlarm: true });
  });

  it('sampleRatio: p within [0, 1] for any counts and shares', () => {
    const arm = fc.tuple(
      fc.oneof(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0, 1e12)),
      fc.double({ min: 1e-9, max: 1e3, noNaN: true }),
    );
    fc.assert(
      fc.property(fc.array(arm, { minLength: 1, maxLength: 6 }), (arms) => {
        const ratio = sampleRatio(
          arms.map(([count]) => count),
          arms.map(([, share]) => share),
        );
        for (const p of [ratio.pValue, ratio.sequentialPValue]) expect(p >= 0 && p <= 1).toBe(true);
        expect(ratio.chiSquare >= 0).toBe(true);
      }),
    );
  });

  it.each([
    ['lengths that differ', [1, 2], [1], /2 counts for 1 shares/],
    ['half a person', [0.5], [1], /counts\[0\] is 0.5/],
    ['a negative count', [-1], [1], /counts\[0\] is -1/],
    ['a share of NaN', [1], [Number.NaN], /shares\[0\] is NaN/],
    ['shares of nothing', [1], [0], /their sum/],
    ['no arm', [], [], /their sum/],
  ])('sampleRatio: refuses %s', (_, counts, shares, message) => {
    expect(() => sampleRatio(counts, shares)).toThrow(message);
  });
});
