/** The remembered price: a step towards the price, from wherever it begins. */
import { describe, expect, it } from 'vitest';
import { nextReferencePrice } from '../../decision/reference-price.ts';

describe('nextReferencePrice', () => {
  it.each([
    [1000, 1200, 0.9, 1020],
    [-1, 1200, 0.9, 1200],
    [Number.NaN, 1200, 0.9, 1200],
    [1000, 1200, 2, 1200],
    [1000, 1200, Number.NaN, 1200],
  ])('nextReferencePrice: from %d at %d with memory %d it is %d', (reference, price, memory, next) => {
    expect(nextReferencePrice(reference, price, memory)).toBeCloseTo(next, 9);
  });
});
