/** How long responses take: shares that rise with the age, against a known law and at the edges. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { naturalLogarithm } from '../../decision/normal.ts';
import { drawUniform } from '../../decision/random.ts';
import { DELAY_SLOTS, delayBin, isStep, negativeWeight, nextStepAge } from '../../decision/response-delay.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const WEEK = 168 * HOUR;
const OFFSET = 3;

function counts(delays: readonly number[]): Float64Array {
  const row = new Float64Array(OFFSET + DELAY_SLOTS);
  for (const delay of delays) row[OFFSET + delayBin(delay)] = (row[OFFSET + delayBin(delay)] as number) + 1; // in the row
  return row;
}
/** 3,000 delays of mean 8 hours, exponential. */
const SLOW = counts(Array.from({ length: 3_000 }, (_, n) => -8 * HOUR * naturalLogarithm(drawUniform(7, 8, n, 1))));

describe('response delay', () => {
  it.each([
    [0, 0],
    [-5, 0],
    [Number.NaN, 0],
    [MINUTE, 0],
    [MINUTE + 1, 1],
    [2 * MINUTE, 1],
    [3 * MINUTE, 2],
    [2 ** 14 * MINUTE, 14],
    [2 ** 14 * MINUTE + 1, DELAY_SLOTS - 1],
    [Number.POSITIVE_INFINITY, DELAY_SLOTS - 1],
  ])('bin of %s ms: %s', (delay, bin) => {
    expect(delayBin(delay)).toBe(bin);
  });

  it('nothing known, or all at once: a negative in full from the first instant', () => {
    expect(negativeWeight(counts([]), OFFSET, 0, WEEK)).toBe(1);
    expect(negativeWeight(counts([1, 2_000, 59_000]), OFFSET, 0, WEEK)).toBe(1);
  });

  it('exponential delays: at the ends of bins the share is that of the law', () => {
    for (const minutes of [64, 256, 512, 1024]) {
      const truth = 1 - Math.exp(-minutes / 480);
      // Four standard errors of a share of 3,000, and ten responses at once that were never seen.
      expect(Math.abs(negativeWeight(SLOW, OFFSET, minutes * MINUTE, WEEK) - truth)).toBeLessThan(0.04);
    }
    expect(negativeWeight(SLOW, OFFSET, 0, WEEK)).toBeLessThan(0.01);
    // What is left beyond a day and a half is not waited for.
    expect(negativeWeight(SLOW, OFFSET, 36 * HOUR, WEEK)).toBe(1);
  });

  it('property: the weight is in (0, 1], rises with the age and is 1 from the window on', () => {
    const row = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), {
      minLength: DELAY_SLOTS,
      maxLength: DELAY_SLOTS,
    });
    const age = fc.oneof(fc.double(), fc.double({ min: 0, max: 2 * WEEK, noNaN: true }));
    fc.assert(
      fc.property(row, age, age, (values, one, two) => {
        const state = Float64Array.from([...Array.from({ length: OFFSET }, () => Number.NaN), ...values]);
        const weights = [one, two].sort((a, b) => a - b).map((at) => negativeWeight(state, OFFSET, at, WEEK));
        for (const weight of weights) expect(weight > 0 && weight <= 1).toBe(true);
        if (!Number.isNaN(one) && !Number.isNaN(two)) expect(weights[0]).toBeLessThanOrEqual(weights[1] as number); // two
        expect(negativeWeight(state, OFFSET, WEEK, WEEK)).toBe(1);
      }),
      { seed: 11 },
    );
  });

  it('next step: later, and by then a quarter more, or all; the steps end within the window', () => {
    let age = 0;
    let weight = negativeWeight(SLOW, OFFSET, 0, WEEK);
    const steps: number[] = [];
    while (weight < 1) {
      const next = nextStepAge(SLOW, OFFSET, age, weight, WEEK);
      expect(next).toBeGreaterThan(age);
      const then = negativeWeight(SLOW, OFFSET, next, WEEK);
      expect(isStep(weight, then)).toBe(true);
      [age, weight] = [next, then];
      steps.push(weight);
    }
    expect(steps.length).toBeGreaterThanOrEqual(2);
    expect(steps.length).toBeLessThanOrEqual(4);
    // With a window of an hour there is one step, at its end.
    expect(nextStepAge(SLOW, OFFSET, 0, 0.01, HOUR)).toBe(HOUR);
  });
});
