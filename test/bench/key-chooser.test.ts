import { describe, expect, it } from 'vitest';
import { KeyChooser, type KeyPlan, LoadRandom } from '../../bench/key-chooser.ts';

const RANDOM: KeyPlan = { kind: 'random', profiles: 100, exponent: 0.99, seed: 7, first: 0, stride: 1 };

function draw(plan: KeyPlan, draws: number): Uint32Array {
  const chooser = new KeyChooser(plan);
  const counts = new Uint32Array(plan.profiles);
  for (let i = 0; i < draws; i += 1) {
    const key = chooser.next();
    counts[key] = (counts[key] ?? Number.NaN) + 1;
  }
  return counts;
}

describe('KeyChooser', () => {
  it.each([0, 0.5, 0.99, 1, 1.2, 3])('keys: frequencies follow rank^-s when s is %d', (exponent) => {
    const draws = 200_000;
    const counts = draw({ ...RANDOM, exponent }, draws);
    const weights = Array.from({ length: 100 }, (_, i) => (i + 1) ** -exponent);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    weights.forEach((weight, key) => {
      const expected = (draws * weight) / total;
      // Five standard deviations of a binomial count: 600 such checks fail by chance once in 3,000 seeds.
      const tolerance = 5 * Math.sqrt(expected) + 1;
      expect(Math.abs((counts[key] ?? 0) - expected)).toBeLessThan(tolerance);
    });
  });

  it('keys: one profile is the only answer', () => {
    expect(draw({ ...RANDOM, profiles: 1 }, 100)[0]).toBe(100);
    expect(draw({ ...RANDOM, profiles: 1, exponent: 0 }, 100)[0]).toBe(100);
  });

  it('keys: ten million profiles stay in range', () => {
    const chooser = new KeyChooser({ ...RANDOM, profiles: 10_000_000, exponent: 0.5 });
    for (let i = 0; i < 10_000; i += 1) {
      const key = chooser.next();
      expect(Number.isInteger(key) && key >= 0 && key < 10_000_000).toBe(true);
    }
  });

  it('keys: the same seed asks for the same profiles, another one does not', () => {
    const keys = (seed: number): number[] => {
      const chooser = new KeyChooser({ ...RANDOM, profiles: 10_000, seed });
      return Array.from({ length: 50 }, () => chooser.next());
    };
    expect(keys(1)).toEqual(keys(1));
    expect(keys(1)).not.toEqual(keys(2));
  });

  it('keys: sequential processes visit every key once, then begin again', () => {
    const plan = { ...RANDOM, kind: 'sequential', profiles: 10 } as const;
    const choosers = [0, 1, 2].map((first) => new KeyChooser({ ...plan, first, stride: 3 }));
    const keys = choosers.flatMap((chooser, i) => Array.from({ length: i === 0 ? 4 : 3 }, () => chooser.next()));
    expect([...keys].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(choosers.map((chooser) => chooser.next())).toEqual([0, 1, 2]);
  });
});

describe('LoadRandom', () => {
  it('random: uniform in [0, 1) by mean and by thirds', () => {
    const random = new LoadRandom(3);
    const thirds = [0, 0, 0];
    let sum = 0;
    let outside = 0;
    for (let i = 0; i < 90_000; i += 1) {
      const value = random.next();
      if (!(value >= 0 && value < 1)) outside += 1;
      sum += value;
      const third = Math.floor(value * 3);
      thirds[third] = (thirds[third] ?? 0) + 1;
    }
    expect(outside).toBe(0);
    // Standard deviation of the mean is 0.2887 / 300 = 0.00096; of a third's count 141. Five of each.
    expect(Math.abs(sum / 90_000 - 0.5)).toBeLessThan(0.005);
    for (const third of thirds) expect(Math.abs(third - 30_000)).toBeLessThan(707);
  });
});
