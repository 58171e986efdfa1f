/** Names of segments: by money at first, and the same people keep them from fit to fit, whatever their numbers. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitSegments } from '../../../decision/batch/segments.ts';
import { SEGMENT_NAMES } from '../../../decision/facts.ts';
import { nameSegments } from '../../../workers/fits/segment-names.ts';

/** Four groups of ten, far apart, the richest first. */
const GROUPS = [
  [2, 3, 12],
  [5, 2, 10],
  [40, 1, 9],
  [80, 0.7, 6],
];
const table = (shift: number, groups = GROUPS) => ({
  width: 3,
  values: Float64Array.from(
    groups.flatMap((centre) =>
      Array.from({ length: 10 }, (_, i) => centre.map((x) => x + shift + (i % 5) * 0.01)).flat(),
    ),
  ),
});
const named = (shift: number, seed: number, before: Parameters<typeof nameSegments>[2], groups = GROUPS) => {
  const { values, width } = table(shift, groups);
  const segments = fitSegments({ values, width }, { count: groups.length, seed: [seed, 7] });
  const ofRow = Int32Array.from({ length: values.length / 3 }, (_, row) => {
    let best = 0;
    let least = Infinity;
    for (let c = 0; c < segments.count; c++) {
      let distance = 0;
      for (let j = 0; j < 3; j++) {
        const scaled =
          ((values[row * 3 + j] ?? 0) - (segments.scale.means[j] ?? 0)) / (segments.scale.deviations[j] ?? 1);
        distance += (scaled - (segments.centres[c * 3 + j] ?? 0)) ** 2;
      }
      if (distance < least) [least, best] = [distance, c];
    }
    return best;
  });
  const result = nameSegments(segments, ofRow, before);
  return { ...result, nameOfRow: (row: number) => SEGMENT_NAMES[result.positionOf[ofRow[row] ?? 0] ?? -1] };
};

describe('segment names', () => {
  it('segment names: go by money where there are none yet', () => {
    const { named: segments, nameOfRow } = named(0, 1, []);
    expect([0, 10, 20, 30].map(nameOfRow)).toEqual(['s1', 's2', 's3', 's4']);
    expect(segments.map(({ name, people }) => [name, people])).toEqual(
      SEGMENT_NAMES.slice(0, 4).map((name) => [name, 10]),
    );
    expect(segments[0]?.centre[2]).toBeCloseTo(12.02, 6);
  });

  it('segment names: stay with the people when a later fit numbers them anew and all have drifted', () => {
    const { named: before } = named(0, 1, []);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.double({ min: -0.3, max: 0.3, noNaN: true }), (seed, drift) => {
        expect([0, 10, 20, 30].map(named(drift, seed, before).nameOfRow)).toEqual(['s1', 's2', 's3', 's4']);
      }),
      { seed: 99, numRuns: 30 },
    );
  });

  it('segment names: a group that is gone leaves its name free, and a new one takes the first free name', () => {
    const { named: before } = named(0, 1, []);
    const fewer = named(0, 3, before, GROUPS.slice(1));
    expect([0, 10, 20].map(fewer.nameOfRow)).toEqual(['s2', 's3', 's4']);
    const more = named(0, 3, fewer.named, [...GROUPS.slice(1), [300, 0.1, 1]]);
    expect([0, 10, 20, 30].map(more.nameOfRow)).toEqual(['s2', 's3', 's4', 's1']);
  });

  it('segment names: names that a damaged or older file invents are passed over', () => {
    const strange = [{ name: 'best', people: 1, centre: [2, 3, 12] }];
    const { named: segments } = named(0, 1, strange);
    expect(segments.map(({ name }) => name)).toEqual(['s1', 's2', 's3', 's4']);
  });
});
