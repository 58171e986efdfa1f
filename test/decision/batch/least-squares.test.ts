import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitLinear } from '../../../decision/batch/least-squares.ts';

/** Longley (1967), NIST StRD: employment on six economic series; certified to 15 digits. */
const LONGLEY = [
  [60323, 83, 234289, 2356, 1590, 107608, 1947],
  [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
  [60171, 88.2, 258054, 3682, 1616, 109773, 1949],
  [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
  [63221, 96.2, 328975, 2099, 3099, 112075, 1951],
  [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
  [64989, 99, 365385, 1870, 3547, 115094, 1953],
  [63761, 100, 363112, 3578, 3350, 116219, 1954],
  [66019, 101.2, 397469, 2904, 3048, 117388, 1955],
  [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
  [68169, 108.4, 442769, 2936, 2798, 120445, 1957],
  [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
  [68655, 112.6, 482704, 3813, 2552, 123366, 1959],
  [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
  [69331, 115.7, 518173, 4806, 2572, 127852, 1961],
  [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
];

describe('fitLinear', () => {
  it('fitLinear: the certified values of Longley (NIST StRD) when columns are centred', () => {
    const n = LONGLEY.length;
    const means = Array.from({ length: 6 }, (_, j) => LONGLEY.reduce((sum, row) => sum + (row[j + 1] ?? 0), 0) / n);
    const x = Float64Array.from(LONGLEY.flatMap((row) => [1, ...means.map((mean, j) => (row[j + 1] ?? 0) - mean)]));
    const fit = fitLinear(
      x,
      Float64Array.from(LONGLEY, ([y]) => y ?? 0),
      7,
    );
    const certified = [
      15.0618722713733, -0.035819179292591, -2.02022980381683, -1.03322686717359, -0.0511041056535807, 1829.15146461355,
    ];
    const deviations = [
      84.9149257747669, 0.0334910077722432, 0.488399681651699, 0.214274163161675, 0.22607320006937, 455.478499142212,
    ];
    certified.forEach((value, j) => {
      expect((fit.coefficients[j + 1] ?? 0) / value).toBeCloseTo(1, 6);
      expect((fit.standardErrors[j + 1] ?? 0) / (deviations[j] ?? 0)).toBeCloseTo(1, 6);
    });
    expect(fit.rSquared).toBeCloseTo(0.995479004577296, 9);
    expect(fit.residualDeviation).toBeCloseTo(304.854073561965, 6);
  });

  it('fitLinear: leaves a column out when earlier ones explain it', () => {
    const x = Float64Array.from([1, 2, 3, 1, 3, 4, 1, 5, 6, 1, 8, 9]);
    const fit = fitLinear(x, Float64Array.of(1, 2, 4, 7), 3);
    expect([fit.rank, fit.coefficients[2], fit.standardErrors[2]]).toEqual([2, 0, Infinity]);
  });

  it('fitLinear: a strong prior holds a coefficient, a weak one does not', () => {
    const x = Float64Array.from([1, 0, 1, 1, 1, 2, 1, 3]);
    const y = Float64Array.of(0, 2, 4, 6);
    const held = fitLinear(x, y, 2, Float64Array.of(0, 1e9), Float64Array.of(0, -2.2));
    expect(held.coefficients[1]).toBeCloseTo(-2.2, 4);
    const free = fitLinear(x, y, 2, Float64Array.of(0, 1e-9), Float64Array.of(0, -2.2));
    expect(free.coefficients[1]).toBeCloseTo(2, 6);
  });

  it('fitLinear: never NaN when rows are none, one, alike, huge or not finite', () => {
    const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, 1, 1e150, 1e300, Number.NaN, Infinity));
    const row = fc.tuple(number, number, number);
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), (rows) => {
        const x = Float64Array.from(rows.flatMap(([a, b]) => [1, a, b]));
        const fit = fitLinear(
          x,
          Float64Array.from(rows, ([, , y]) => y),
          3,
        );
        for (const value of [...fit.coefficients, ...fit.standardErrors, fit.rSquared, fit.residualDeviation]) {
          expect(value).not.toBeNaN();
        }
      }),
      { numRuns: 1000 },
    );
  });
});
