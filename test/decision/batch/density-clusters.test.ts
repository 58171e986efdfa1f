import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterByDensity, OUTLIER } from '../../../decision/batch/density-clusters.ts';
import { drawNormal, drawUniform } from '../../../decision/random.ts';

/** DBSCAN from its definition, with all pairs, in the order of rows. */
function slow(values: readonly number[], width: number, radius: number, least: number): number[] {
  const rows = Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
  const near = rows.map((a) =>
    rows.flatMap((b, j) => (a.reduce((s, x, c) => s + (x - (b[c] ?? 0)) ** 2, 0) <= radius * radius ? [j] : [])),
  );
  const labels = rows.map(() => OUTLIER);
  let count = 0;
  for (let i = 0; i < rows.length; i += 1) {
    if (labels[i] !== OUTLIER || (near[i]?.length ?? 0) < least) continue;
    const reach = [i];
    for (const row of reach) {
      if (labels[row] !== OUTLIER) continue;
      labels[row] = count;
      if ((near[row]?.length ?? 0) >= least) reach.push(...(near[row] ?? []));
    }
    count += 1;
  }
  return labels;
}

describe('clusterByDensity', () => {
  it('clusterByDensity: a ring and the blob inside it are two segments, stray people are outliers', () => {
    const ring = Array.from({ length: 200 }, (_, i) => [10 * Math.cos(i / 31.83), 10 * Math.sin(i / 31.83)]);
    const blob = Array.from({ length: 100 }, (_, i) => [drawNormal(1, 2, i, 0), drawNormal(1, 2, i, 1)]);
    const stray = [
      [30, 30],
      [-30, 5],
    ];
    const values = Float64Array.from([...ring, ...blob, ...stray].flat());
    const { segments, count } = clusterByDensity({ values, width: 2 }, 1, 4);
    expect(count).toBe(2);
    expect(new Set(segments.subarray(0, 200))).toEqual(new Set([0]));
    expect([...segments.subarray(200, 300)].filter((segment) => segment === 1).length).toBeGreaterThan(90);
    expect([...segments.subarray(300)]).toEqual([OUTLIER, OUTLIER]);
  });

  it('clusterByDensity: the same as from the definition, on any small grid of people', () => {
    const coordinate = fc.integer({ min: 0, max: 8 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(coordinate, { maxLength: 60 }),
        fc.constantFrom(0.5, 1, 1.5, 3),
        fc.integer({ min: 1, max: 6 }),
        (width, all, radius, least) => {
          const values = all.slice(0, all.length - (all.length % width));
          const ours = clusterByDensity({ values: Float64Array.from(values), width }, radius, least);
          const theirs = slow(values, width, radius, least);
          expect([...ours.segments]).toEqual(theirs);
          expect(ours.count).toBe(Math.max(-1, ...theirs) + 1);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('clusterByDensity: the same for 300 people spread at random', () => {
    const values = Array.from({ length: 600 }, (_, i) => drawUniform(3, 4, i, 0));
    expect([...clusterByDensity({ values: Float64Array.from(values), width: 2 }, 0.05, 4).segments]).toEqual(
      slow(values, 2, 0.05, 4),
    );
  });

  it('clusterByDensity: nobody, one person, equal people', () => {
    expect(clusterByDensity({ values: new Float64Array(0), width: 3 }, 1, 2).count).toBe(0);
    expect([...clusterByDensity({ values: Float64Array.of(1), width: 1 }, 1, 2).segments]).toEqual([OUTLIER]);
    expect([...clusterByDensity({ values: Float64Array.of(1), width: 1 }, 1, 1).segments]).toEqual([0]);
    expect(clusterByDensity({ values: new Float64Array(50), width: 1 }, 1e-9, 50).count).toBe(1);
  });

  it.each([
    [0, 1],
    [Number.NaN, 1],
    [Infinity, 1],
    [-1, 1],
    [1, 0],
    [1, 1.5],
    [1, Number.NaN],
  ])('clusterByDensity: refuses radius %s with %s neighbours', (radius, least) => {
    expect(() => clusterByDensity({ values: Float64Array.of(1), width: 1 }, radius, least)).toThrow(RangeError);
  });
});
