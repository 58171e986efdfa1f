/** The cross-fitted reward model against what it must find, and what it must not know. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CrossFittedRewards, REWARD_COLUMNS_MAX, type RewardRows } from '../../../decision/batch/reward-model.ts';
import { drawNormal, drawUniform } from '../../../decision/random.ts';

/** Rewards 1 + 2 x + action, and for action 2 another slope. */
function rows(n: number, noise = 0): RewardRows {
  const contexts = Float64Array.from({ length: n }, (_, i) => drawNormal(1, 2, i, 1));
  const actions = Int32Array.from({ length: n }, (_, i) => Math.floor(drawUniform(1, 3, i, 1) * 3));
  const rewards = Float64Array.from({ length: n }, (_, i) => {
    const [x, a] = [contexts[i] ?? 0, actions[i] ?? 0];
    return 1 + (a === 2 ? -1 : 2) * x + a + noise * drawNormal(1, 4, i, 1);
  });
  return { contexts, dimensions: 1, actions, actionCount: 3, rewards };
}

describe('reward model', () => {
  it('fit: slopes of context and action are found, their products included', () => {
    const data = rows(3_000);
    const model = new CrossFittedRewards(data, { ridge: 1e-6 });
    for (let row = 0; row < 20; row++) {
      const x = data.contexts[row] ?? 0;
      for (const [action, truth] of [1 + 2 * x, 2 + 2 * x, 3 - x].entries()) {
        expect(model.predict(row, action)).toBeCloseTo(truth, 3);
      }
    }
  });

  it('cross-fitting: a row is predicted as if its own cluster were not there', () => {
    const data = { ...rows(60, 1), clusters: Uint32Array.from({ length: 60 }, (_, i) => i >> 1) };
    const model = new CrossFittedRewards(data);
    const before = model.predict(4, 1);
    expect(model.foldOf(4)).toBe(model.foldOf(5));
    const rewards = Float64Array.from(data.rewards);
    rewards[5] = 1e6;
    const other = new CrossFittedRewards({ ...data, rewards });
    expect(other.predict(4, 1)).toBe(before);
    const row = Array.from({ length: 60 }, (_, i) => i).find((i) => model.foldOf(i) !== model.foldOf(5)) ?? 0;
    expect(other.predict(row, 1)).not.toBe(model.predict(row, 1));
  });

  it('extremes: one row, equal rewards, unseen actions, huge values: finite, and equal rewards are predicted', () => {
    const one = new CrossFittedRewards({
      contexts: Float64Array.of(1),
      dimensions: 1,
      actions: Int32Array.of(0),
      actionCount: 2,
      rewards: Float64Array.of(5),
    });
    expect(one.predict(0, 0)).toBe(0);
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 40 }),
        fc.double({ min: -1e9, max: 1e9, noNaN: true }),
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        (n, reward, scale) => {
          const contexts = Float64Array.from({ length: n }, (_, i) => scale * drawNormal(7, 1, i, 1));
          const actions = new Int32Array(n);
          const rewards = new Float64Array(n).fill(reward);
          const model = new CrossFittedRewards({ contexts, dimensions: 1, actions, actionCount: 2, rewards });
          for (let row = 0; row < n; row++) {
            expect(Number.isFinite(model.predict(row, 0))).toBe(true);
            expect(Number.isFinite(model.predict(row, 1))).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['folds', () => new CrossFittedRewards(rows(10), { folds: 1 })],
    ['ridge', () => new CrossFittedRewards(rows(10), { ridge: 0 })],
    ['columns', () => new CrossFittedRewards({ ...rows(10), actionCount: REWARD_COLUMNS_MAX })],
    ['one row', () => new CrossFittedRewards({ ...rows(10), actions: new Int32Array(9) })],
  ])('%s: refused when out of bounds, by name', (word, build) => {
    expect(build).toThrow(RangeError);
    expect(build).toThrow(word);
  });
});
