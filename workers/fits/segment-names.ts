/**
 * Names for segments. A clustering numbers its groups as they come, and tomorrow's number 2 may be today's number 0; a
 * rule that names a segment needs the same people behind the name. So each new centre takes the name of the nearest
 * old one, nearest pairs first; where there is no old one, names go by money: s1 spends most.
 *
 * Traded away: a group that has truly changed keeps its name as long as nothing is nearer. Called by `write-facts.ts`.
 */
import type { Segments } from '../../decision/batch/segments.ts';
import { SEGMENT_NAMES } from '../../decision/facts.ts';
import type { FittedSegment } from './fit-results-file.ts';

export interface NamedSegments {
  readonly named: readonly FittedSegment[];
  /** Of each segment of the fit, the place of its name in SEGMENT_NAMES. */
  readonly positionOf: Int32Array;
}

/** Column of money in a centre. */
const MONEY = 2;

/**
 * @param fitted at most SEGMENT_NAMES.length segments of `rfmRow` columns
 * @param segmentOfRow the segment of each person
 * @param before the segments of the last fit; empty where there was none
 */
export function nameSegments(
  fitted: Segments,
  segmentOfRow: Int32Array,
  before: readonly FittedSegment[],
): NamedSegments {
  const { count, width, scale } = fitted;
  const people = new Uint32Array(count);
  for (const segment of segmentOfRow) people[segment] = (people[segment] ?? 0) + 1;
  // Compared in deviations of today's people, told in the columns' own units.
  const toScale = (centre: readonly number[]): number[] =>
    centre.map((value, j) => (value - (scale.means[j] as number)) / ((scale.deviations[j] as number) || 1)); // j < width
  const centres = Array.from({ length: count }, (_, segment) =>
    Array.from({ length: width }, (__, j) => {
      const scaled = fitted.centres[segment * width + j] as number; // within count × width
      return scaled * (scale.deviations[j] as number) + (scale.means[j] as number); // j < width
    }),
  );
  const positionOf = new Int32Array(count).fill(-1);
  const free = new Set(SEGMENT_NAMES.keys());
  const pairs = centres.flatMap((centre, segment) =>
    before.map(({ name, centre: old }) => ({
      segment,
      position: (SEGMENT_NAMES as readonly string[]).indexOf(name),
      distance: squaredDistance(toScale(centre), toScale(old)),
    })),
  );
  pairs.sort((a, b) => a.distance - b.distance || a.segment - b.segment || a.position - b.position);
  for (const { segment, position } of pairs)
    if (positionOf[segment] === -1 && free.delete(position)) positionOf[segment] = position;
  const unnamed = [...positionOf.keys()].filter((segment) => positionOf[segment] === -1);
  const moneyOf = (segment: number): number => centres[segment]?.[MONEY] ?? 0;
  unnamed.sort((a, b) => moneyOf(b) - moneyOf(a));
  for (const segment of unnamed) {
    const [first = 0] = free;
    free.delete(first);
    positionOf[segment] = first;
  }
  const named = centres.map((centre, segment) => ({
    name: SEGMENT_NAMES[positionOf[segment] as number] as string, // each has a place by now
    people: people[segment] as number, // segment < count
    centre,
  }));
  named.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { named, positionOf };
}

function squaredDistance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, j) => sum + (value - (b[j] ?? 0)) ** 2, 0);
}
