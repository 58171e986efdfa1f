/**
 * The lowest point of a smooth function of a few numbers, found without derivatives: a simplex of points that
 * rolls downhill and shrinks (Nelder and Mead, "A simplex method for function minimization", Computer Journal,
 * 1965, with the usual 1, 2, 1/2, 1/2). Deviations: every trial is cut to a box, and when the simplex has shrunk a
 * fresh one starts at its best point, until that gains nothing, since a simplex may flatten and stop on a slope.
 *
 * Guarantees: the answer is never worse than the start and lies in the box; NaN counts as Infinity; equal inputs
 * give equal answers. Traded away: speed. It asks for a few hundred values where a Newton step asks for ten, in
 * exchange for no gradient to get wrong. For batch fits of two to five parameters.
 */

export interface MinimumOptions {
  /** Box; same length as the start. */
  readonly lower: Float64Array;
  readonly upper: Float64Array;
  /** Edge of the first simplex, in the units of the coordinates. */
  readonly step: number;
  /** Values this close are equal: |difference| <= tolerance (1 + |value|). */
  readonly tolerance: number;
  readonly evaluationsMax: number;
}

export interface Minimum {
  readonly point: Float64Array;
  readonly value: number;
  readonly evaluations: number;
  /** False when `evaluationsMax` ended it; the point is then the best met. */
  readonly isConverged: boolean;
}

/** Coordinates narrower than this are one point; with the tolerance of values it ends a simplex. */
const POINT_TOLERANCE = 1e-4;
/** Later simplexes begin where the first one thinks the bottom is: this share of its size. */
const LATER_STEP_SHARE = 0.2;

/**
 * Minimises `f` from `start`.
 * @param f pure; its argument is a scratch array, to be read and not kept
 * Draws taken: none. Cost: some 60 to 150 evaluations a coordinate.
 */
export function minimise(f: (point: Float64Array) => number, start: Float64Array, options: MinimumOptions): Minimum {
  let best: Vertex = { point: start.map((x, i) => cut(x, i, options)), value: 0 };
  const counted = { evaluations: 0, f };
  best.value = valueAt(counted, best.point);
  for (let step = options.step; ; step = options.step * LATER_STEP_SHARE) {
    const found = roll(counted, best, step, options);
    const isFlat = best.value - found.value <= options.tolerance * (1 + Math.abs(found.value));
    if (found.value <= best.value) best = found;
    const isSpent = counted.evaluations >= options.evaluationsMax;
    if (isFlat || isSpent) return { ...best, evaluations: counted.evaluations, isConverged: !isSpent };
  }
}

interface Vertex {
  readonly point: Float64Array;
  value: number;
}

interface Counted {
  evaluations: number;
  readonly f: (point: Float64Array) => number;
}

/** One simplex from start to collapse; its lowest vertex. */
function roll(counted: Counted, start: Vertex, step: number, options: MinimumOptions): Vertex {
  const size = start.point.length;
  const simplex: Vertex[] = [{ point: start.point.slice(), value: start.value }]; // a copy: vertices move
  for (let i = 0; i < size; i += 1) {
    const point = start.point.slice();
    const x = at(point, i);
    // Away from the box's edge, or the simplex would be flat from its start.
    point[i] = cut(x + step > at(options.upper, i) ? x - step : x + step, i, options);
    simplex.push({ point, value: valueAt(counted, point) });
  }
  const centre = new Float64Array(size);
  const trial = (worst: Vertex, factor: number): Vertex => {
    const point = centre.map((c, i) => cut(c + factor * (at(worst.point, i) - c), i, options));
    return { point, value: valueAt(counted, point) };
  };
  while (counted.evaluations < options.evaluationsMax) {
    simplex.sort((p, q) => p.value - q.value);
    const lowest = simplex[0] as Vertex; // a simplex has size + 1 vertices
    const worst = simplex[size] as Vertex; // the last of them
    if (hasCollapsed(simplex, lowest, worst, options.tolerance)) return lowest;
    for (let i = 0; i < size; i += 1) {
      let sum = 0;
      for (const { point } of simplex) sum += at(point, i);
      centre[i] = (sum - at(worst.point, i)) / size;
    }
    const second = (simplex[size - 1] as Vertex).value; // size >= 1
    const reflected = trial(worst, -1);
    if (reflected.value < lowest.value) {
      const expanded = trial(worst, -2);
      simplex[size] = expanded.value < reflected.value ? expanded : reflected;
    } else if (reflected.value < second) {
      simplex[size] = reflected;
    } else {
      const contracted = trial(worst, reflected.value < worst.value ? -0.5 : 0.5);
      if (contracted.value < Math.min(reflected.value, worst.value)) {
        simplex[size] = contracted;
      } else {
        for (const vertex of simplex.slice(1)) {
          for (let i = 0; i < size; i += 1) {
            vertex.point[i] = (at(vertex.point, i) + at(lowest.point, i)) / 2;
          }
          vertex.value = valueAt(counted, vertex.point);
        }
      }
    }
  }
  return simplex.reduce((p, q) => (q.value < p.value ? q : p));
}

function hasCollapsed(simplex: readonly Vertex[], lowest: Vertex, worst: Vertex, tolerance: number): boolean {
  if (!(worst.value - lowest.value <= tolerance * (1 + Math.abs(lowest.value)))) return false;
  return simplex.every(({ point }) => point.every((x, i) => Math.abs(x - at(lowest.point, i)) <= POINT_TOLERANCE));
}

function valueAt(counted: Counted, point: Float64Array): number {
  counted.evaluations += 1;
  const value = counted.f(point);
  return Number.isNaN(value) ? Infinity : value;
}

function cut(x: number, i: number, options: MinimumOptions): number {
  return Math.min(Math.max(x, at(options.lower, i)), at(options.upper, i));
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
