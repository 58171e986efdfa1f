/** The ramp of immature actions: its line, whom it reaches, and what it does to whole decisions. */
import { describe, expect, it } from 'vitest';
import { FeatureVector } from '../../decision/features.ts';
import { maturityPoint, reachOf } from '../../decision/maturity.ts';
import { WANT } from '../../decision/pipeline.ts';
import { learnTrial } from '../../decision/response-learning.ts';
import { positivesLearnt, ResponseModel, trialsLearnt } from '../../decision/response-model.ts';
import { OneShard } from '../actors/one-shard.ts';
import { catalogText, NOON } from '../actors/test-catalog.ts';

const RAMP = { positives: 200, reach: 0.02 };

describe('maturity', () => {
  it('reachOf: from the reach without a positive in a straight line to all, and no number counts as none', () => {
    expect([0, 100, 200, 1e9].map((positives) => reachOf(RAMP, positives))).toEqual([0.02, 0.51, 1, 1]);
    for (const nothing of [-1, Number.NaN, Number.NEGATIVE_INFINITY]) expect(reachOf(RAMP, nothing)).toBe(0.02);
    expect(reachOf({ positives: 1, reach: 0 }, 0)).toBe(0);
  });

  it('maturityPoint: each person has one an action, uniform, so that a growing reach only adds people', () => {
    const points = Array.from({ length: 2_000 }, (_, person) => maturityPoint(person, 1, 77));
    expect(points).toEqual(Array.from({ length: 2_000 }, (_, person) => maturityPoint(person, 1, 77)));
    // Binomial: five standard deviations.
    const below = points.filter((point) => point < 0.25).length;
    expect(Math.abs(below - 500)).toBeLessThan(5 * Math.sqrt(2_000 * 0.25 * 0.75));
    expect(maturityPoint(1, 1, 78)).not.toBe(maturityPoint(1, 1, 77));
  });

  it('positivesLearnt and trialsLearnt: 4,000 trials of which 200 responded are about that', () => {
    const model = new ResponseModel();
    const features = new FeatureVector();
    expect([positivesLearnt(model, 9), trialsLearnt(model)]).toEqual([0, 0]);
    for (let trial = 0; trial < 4_000; trial += 1)
      learnTrial(model, features, 9, 0, 1, trial % 20 === 0 ? 1 : 0, 1, null);
    expect(positivesLearnt(model, 9)).toBeGreaterThan(170);
    expect(positivesLearnt(model, 9)).toBeLessThan(220);
    expect(positivesLearnt(model, 10)).toBe(0);
    expect(trialsLearnt(model)).toBeGreaterThan(3_000);
    expect(trialsLearnt(model)).toBeLessThan(40_000);
  });

  it('decide: a new action reaches the share on the channel that has a ramp, all on one that has none', () => {
    const shard = new OneShard({
      catalog: catalogText({
        channels: '{ mail: { maturity: { positives: 20, reach: 0.1 } }, app: {} }',
        slots: '{ home: { channels: [app] }, post: { channels: [mail] } }',
        actions: '{ key: a, channels: [mail, app], slots: [home, post], valueMinor: 100 }',
      }),
    });
    const reached = (slot: string): number => {
      let count = 0;
      for (let person = 0; person < 1_000; person++)
        count += shard.decide({ profile: `p${person}`, slot, wantMask: WANT.action, isDryRun: true }, NOON).actions
          .length;
      return count;
    };
    // Binomial 1,000 x .1: five standard deviations are 47.
    expect(Math.abs(reached('post') - 100)).toBeLessThan(47);
    expect(reached('home')).toBe(1_000);
    const unreached = Array.from({ length: 50 }, (_, person) => `p${person}`).find(
      (profile) =>
        shard.decide({ profile, slot: 'post', wantMask: WANT.action, isDryRun: true }, NOON).actions.length === 0,
    );
    const { explain } = shard.decide(
      { profile: unreached ?? '', slot: 'post', wantMask: WANT.action, isDryRun: true, isExplain: true },
      NOON,
    );
    expect(explain?.rejected).toEqual([
      expect.objectContaining({ action: 'a', stage: 'maturity', rule: 'maturity on mail', threshold: 0.1 }),
    ]);
    // Shown in the app, the action matures there for the mail as well.
    for (let person = 0; person < 60; person++) {
      const profile = `p${person}`;
      const { decisionId } = shard.decide({ profile, slot: 'home', wantMask: WANT.action }, NOON);
      shard.track({ profile, event: person % 2 === 0 ? 'click' : 'impression', decisionId: decisionId ?? '' }, NOON);
    }
    expect(reached('post')).toBeGreaterThan(350);
  });
});
