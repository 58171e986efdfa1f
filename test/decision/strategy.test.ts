/** The three strategies through whole decisions: what is logged as the propensity is how often it happens. */
import { describe, expect, it } from 'vitest';
import { WANT } from '../../decision/pipeline.ts';
import { createLearningMemory, LearningBox } from '../../workers/learning-exchange.ts';
import { OneShard } from '../actors/one-shard.ts';
import { catalogText, NOON } from '../actors/test-catalog.ts';

const ACTIONS = [1, 2, 3, 4]
  .map((n) => `{ key: a${n}, category: c${n % 2}, channels: [app], valueMinor: ${900 + 100 * n} }`)
  .join(', ');

function shardOf(strategy: string, shards = 1): OneShard {
  return new OneShard({
    shards,
    catalog: catalogText({ decision: `strategy: ${strategy},`, explorationProbability: 0.1, actions: ACTIONS }),
  });
}

/** Everybody likes a1 best: sixty people are asked and answer. */
function teach(shard: OneShard): void {
  for (let person = 0; person < 60; person++) {
    const profile = `t${person}`;
    const { decisionId, actions } = shard.decide({ profile, wantMask: WANT.action }, NOON);
    const event = actions[0]?.action === 'a1' ? 'click' : 'impression';
    expect(shard.track({ profile, event, decisionId: decisionId ?? '' }, NOON)).toBeNull();
  }
}

describe('strategy', () => {
  it.each(['thompson', 'squarecb', 'lints'])('%s: propensities of a taught policy are its frequencies', (strategy) => {
    const shard = shardOf(strategy);
    teach(shard);
    expect(shard.models.linear === null).toBe(strategy !== 'lints');
    for (const count of [1, 2]) {
      const people = 1_000;
      const chosen = new Map<string, number>();
      const propensities = new Map<string, number>();
      for (let person = 0; person < people; person++) {
        const reply = shard.decide({ profile: `p${person}`, count, wantMask: WANT.action, isDryRun: true }, NOON);
        for (const { action, propensity } of reply.actions) {
          chosen.set(action, (chosen.get(action) ?? 0) + 1);
          // Nothing tells these people apart, so the policy is the same for each.
          expect(propensity).toBe(propensities.get(action) ?? propensity);
          propensities.set(action, propensity);
        }
      }
      expect([...propensities.values()].reduce((a, b) => a + b, 0)).toBeCloseTo(count, 4);
      for (const [action, p] of propensities) {
        // Five standard deviations of a share.
        expect(Math.abs((chosen.get(action) ?? 0) / people - p)).toBeLessThan(
          5 * Math.sqrt((p * (1 - p)) / people) + 1e-4,
        );
      }
    }
  });

  it.each(['thompson', 'squarecb', 'lints'])('%s: what is liked is chosen more, and explained', (strategy) => {
    const shard = shardOf(strategy);
    const before = shard.decide({ profile: 'x', wantMask: WANT.action, actions: ['a1'], isDryRun: true }, NOON);
    teach(shard);
    const after = shard.decide(
      { profile: 'x', wantMask: WANT.action, actions: ['a1'], isDryRun: true, isExplain: true },
      NOON,
    );
    expect(after.actions[0]?.responseProbability).toBeGreaterThan(2 * (before.actions[0]?.responseProbability ?? 1));
    const effects = after.explain?.chosen[0]?.contributions ?? [];
    expect(effects.reduce((sum, { effect }) => sum + effect, 0)).toBeGreaterThan(0);
  });

  it('lints: what it learnt survives a snapshot, and rests under another strategy', () => {
    const shard = shardOf('lints');
    teach(shard);
    const sums = shard.models.linear?.sums();
    expect(sums?.size).toBeGreaterThan(4); // everybody, two categories, and what was chosen
    shard.models.load(structuredClone(shard.models.snapshot()));
    expect(shard.models.linear?.sums()).toEqual(sums);
    shard.models.setCatalog(shardOf('thompson').runtime.index.catalog);
    expect(shard.models.linear).toBeNull();
  });

  it('lints: a shard that adds what another learnt knows the same', () => {
    const [teacher, listener] = [shardOf('lints', 2), shardOf('lints', 2)];
    teach(teacher);
    const sums = structuredClone(teacher.models.linear?.sums());
    const [memory] = createLearningMemory(2).boxes;
    const box = new LearningBox(memory as SharedArrayBuffer, 0); // two shards
    teacher.models.publish(box, 1);
    expect(box.isEmpty).toBe(false);
    for (const { models } of [teacher, listener]) models.merge([box]);
    expect(sums?.size).toBeGreaterThan(4);
    expect(listener.models.linear?.sums()).toEqual(teacher.models.linear?.sums());
    // Differences of sums were published, so the last digits may change.
    for (const [part, before] of sums ?? [])
      listener.models.linear
        ?.sums()
        .get(part)
        ?.forEach((value, i) => {
          expect(Math.abs(value - (before[i] ?? Number.NaN))).toBeLessThan(1e-9);
        });
    teacher.models.publish(box, 1);
    expect(box.isEmpty).toBe(true);
  });
});
