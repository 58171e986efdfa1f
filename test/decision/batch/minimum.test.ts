import { describe, expect, it } from 'vitest';
import { minimise } from '../../../decision/batch/minimum.ts';

const BOX = { lower: new Float64Array(2).fill(-10), upper: new Float64Array(2).fill(10) };
const OPTIONS = { ...BOX, step: 0.5, tolerance: 1e-12, evaluationsMax: 5000 };
const rosenbrock = ([x = 0, y = 0]: Float64Array): number => 100 * (y - x ** 2) ** 2 + (1 - x) ** 2;

describe('minimise', () => {
  it('minimise: finds the end of a curved valley (Rosenbrock 1960)', () => {
    const found = minimise(rosenbrock, Float64Array.of(-1.2, 1), OPTIONS);
    expect(found.isConverged).toBe(true);
    expect(found.point[0]).toBeCloseTo(1, 4);
    expect(found.point[1]).toBeCloseTo(1, 4);
  });

  it('minimise: ends on the face of the box when the slope goes on beyond it', () => {
    const found = minimise(([x = 0, y = 0]) => x + (y - 3) ** 2, Float64Array.of(0, 0), OPTIONS);
    expect(found.point[0]).toBe(-10);
    expect(found.point[1]).toBeCloseTo(3, 4);
  });

  it('minimise: a start outside the box or in its corner is no obstacle', () => {
    for (const start of [50, 10]) {
      const found = minimise(([x = 0, y = 0]) => (x - 1) ** 2 + (y + 2) ** 2, Float64Array.of(start, start), OPTIONS);
      expect(found.point[0]).toBeCloseTo(1, 4);
      expect(found.point[1]).toBeCloseTo(-2, 4);
    }
  });

  it('minimise: a flat function ends at once, where it began', () => {
    const found = minimise(() => 7, Float64Array.of(1, 2), OPTIONS);
    expect(found).toMatchObject({ value: 7, isConverged: true });
    expect([...found.point]).toEqual([1, 2]);
    expect(found.evaluations).toBeLessThan(500);
  });

  it('minimise: NaN is avoided like a wall', () => {
    const found = minimise(([x = 0, y = 0]) => (x < 0 ? Number.NaN : x + y ** 2), Float64Array.of(2, 1), OPTIONS);
    expect(found.value).toBeCloseTo(0, 4);
    expect(found.point[0]).toBeGreaterThanOrEqual(0);
  });

  it('minimise: says so when the evaluations were too few, and is never worse than its start', () => {
    const found = minimise(rosenbrock, Float64Array.of(-1.2, 1), { ...OPTIONS, evaluationsMax: 20 });
    expect(found.isConverged).toBe(false);
    expect(found.value).toBeLessThanOrEqual(rosenbrock(Float64Array.of(-1.2, 1)));
  });
});
