import { describe, expect, it } from 'vitest';
import { holdoutPoint, isHeldOut } from '../../decision/holdout.ts';

const PEOPLE = 50_000;

describe('holdout', () => {
  it('isHeldOut: the same answer every time, and nobody leaves when the share grows', () => {
    for (let i = 0; i < 2000; i += 1) {
      const small = isHeldOut(i * 7919, i, 42, 0.02);
      expect(isHeldOut(i * 7919, i, 42, 0.02)).toBe(small);
      if (small) expect(isHeldOut(i * 7919, i, 42, 0.05)).toBe(true);
    }
  });

  it('isHeldOut: nobody at 0 or NaN, everybody at 1', () => {
    for (let i = 0; i < 100; i += 1) {
      expect(isHeldOut(i, i, 1, 0)).toBe(false);
      expect(isHeldOut(i, i, 1, NaN)).toBe(false);
      expect(isHeldOut(i, i, 1, 1)).toBe(true);
    }
  });

  it.each([0.01, 0.02, 0.05, 0.5])('isHeldOut: holds out a share of %d within five standard errors', (share) => {
    let held = 0;
    for (let i = 0; i < PEOPLE; i += 1) if (isHeldOut(Math.imul(i, 0x9e3779b1) >>> 0, i, 7, share)) held += 1;
    expect(Math.abs(held - PEOPLE * share)).toBeLessThan(5 * Math.sqrt(PEOPLE * share * (1 - share)));
  });

  it('holdoutPoint: even over 50 cells whichever half of the key varies', () => {
    // Chi-square with 49 degrees of freedom: mean 49, sd 9.9; 110 is p < 1e-6.
    for (const vary of ['high', 'low'] as const) {
      const cells = new Float64Array(50);
      for (let i = 0; i < PEOPLE; i += 1) {
        const cell = Math.floor(50 * holdoutPoint(vary === 'high' ? i : 5, vary === 'low' ? i : 5, 99));
        cells[cell] = (cells[cell] as number) + 1; // the point is below 1
      }
      const expected = PEOPLE / 50;
      expect(cells.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)).toBeLessThan(110);
    }
  });

  it('isHeldOut: two salts deal independently', () => {
    let both = 0;
    for (let i = 0; i < PEOPLE; i += 1) if (isHeldOut(0, i, 1, 0.1) && isHeldOut(0, i, 2, 0.1)) both += 1;
    expect(Math.abs(both - PEOPLE * 0.01)).toBeLessThan(5 * Math.sqrt(PEOPLE * 0.01 * 0.99));
  });
});
