/** Places of Beta draws against closed forms and a simulation. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { betaPlaceProbabilities } from '../../../decision/batch/beta-propensity.ts';

function places(posteriors: readonly (readonly [number, number])[], count: number): Float64Array[] {
  const alphas = Float64Array.from(posteriors, ([a]) => a);
  return betaPlaceProbabilities(
    alphas,
    Float64Array.from(posteriors, ([, b]) => b),
    count,
  );
}

describe('beta propensity', () => {
  it('two items: the probability of the better one in closed form', () => {
    // X ~ Beta(2, 1), Y ~ Beta(1, 1): P(X > Y) = E[X] = 2/3; Beta(3, 1): 3/4.
    expect(
      places(
        [
          [2, 1],
          [1, 1],
        ],
        1,
      )[0]?.[0],
    ).toBeCloseTo(2 / 3, 6);
    expect(
      places(
        [
          [3, 1],
          [1, 1],
        ],
        2,
      )[1]?.[1],
    ).toBeCloseTo(3 / 4, 6);
  });

  it('equal items: each place is anybody', () => {
    for (const row of places(
      [
        [5, 90],
        [5, 90],
        [5, 90],
        [5, 90],
      ],
      3,
    ))
      for (const p of row) expect(p).toBeCloseTo(0.25, 6);
  });

  it('rows sum to 1, and a certain winner is certain', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ min: 2, max: 60, noNaN: true }), fc.double({ min: 2, max: 600, noNaN: true })), {
          minLength: 2,
          maxLength: 4,
        }),
        (posteriors) => {
          for (const row of places(posteriors, 2)) {
            expect(Math.abs(row.reduce((sum, p) => sum + p, 0) - 1)).toBeLessThan(1e-5);
          }
        },
      ),
      { numRuns: 8 },
    );
    const [first] = places(
      [
        [900, 100],
        [10, 990],
      ],
      1,
    );
    expect(first?.[0]).toBeGreaterThan(1 - 1e-9);
    expect(places([[3, 4]], 1)[0]?.[0]).toBeCloseTo(1, 9);
  });

  it.each([
    [[], [], 1],
    [[1, 1], [1], 1],
    [[1], [1], 2],
    [[0], [1], 1],
    [[1], [Number.NaN], 1],
  ])('bounds: %j %j %j is refused', (alphas, betas, count) => {
    expect(() => betaPlaceProbabilities(Float64Array.from(alphas), Float64Array.from(betas), count)).toThrow(
      RangeError,
    );
  });
});
