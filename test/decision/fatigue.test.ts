/** Charges by the formula and in the arbitration of whole decisions. */
import { describe, expect, it } from 'vitest';
import { FATIGUE_HALF_LIVES } from '../../decision/catalog-index.ts';
import { fatigueCharge } from '../../decision/fatigue.ts';
import { WANT } from '../../decision/pipeline.ts';
import { OneShard } from '../actors/one-shard.ts';
import { catalogText, NOON } from '../actors/test-catalog.ts';

const DAY = 86_400_000;
const FATIGUE = { chargeMinor: 80, halfLifeMillis: DAY };

/** Shows what is decided, so that it stays in the record; returns the actions' keys. */
function show(shard: OneShard, now: number, profile = 'ann'): string[] {
  const { decisionId, actions } = shard.decide({ profile, wantMask: WANT.action }, now);
  expect(shard.track({ profile, event: 'impression', decisionId: decisionId ?? '' }, now)).toBeNull();
  return actions.map(({ action }) => action);
}

describe('fatigue', () => {
  it('fatigueCharge: all at once, half after a half-life, hardly anything when the moment is dropped', () => {
    expect(fatigueCharge(FATIGUE, 0)).toBe(80);
    expect(fatigueCharge(FATIGUE, DAY)).toBeCloseTo(40, 12);
    expect(fatigueCharge(FATIGUE, FATIGUE_HALF_LIVES * DAY)).toBeLessThan(0.08);
    expect(fatigueCharge(FATIGUE, 1e300)).toBe(0);
  });

  it('fatigueCharge: a clock set back and an age that is no number count as just now', () => {
    expect(fatigueCharge(FATIGUE, -5)).toBe(80);
    expect(fatigueCharge(FATIGUE, Number.NaN)).toBe(80);
  });

  it.each([
    ['its own', '{ key: a, channels: [app], valueMinor: 1000, fatigue: { chargeMinor: 10000, halfLife: 1d } }', '', ''],
    [
      'its category',
      '{ key: a, category: x, channels: [app], valueMinor: 1000 }',
      'diversity: { chargeMinor: 10000, halfLife: 1d },',
      '',
    ],
    [
      'its channel',
      '{ key: a, channels: [app], valueMinor: 1000 }',
      '',
      ', fatigue: { chargeMinor: 10000, halfLife: 1d }',
    ],
  ])('decide: %s fatigue lets the lesser action through until it has worn off', (_, action, decision, channel) => {
    const shard = new OneShard({
      catalog: catalogText({
        explorationProbability: 0,
        decision,
        channels: `{ app: { costMinor: 0${channel} }, other: {} }`,
        slots: '{ home: { channels: [app, other] } }',
        actions: `${action}, { key: b, channels: [other], valueMinor: 1 }`,
      }),
    });
    expect(show(shard, NOON)).toEqual(['a']);
    expect(show(shard, NOON + 60_000)).toEqual(['b']);
    expect(show(shard, NOON + DAY)).toEqual(['b']);
    // Another person has not been told anything.
    expect(show(shard, NOON + DAY, 'bob')).toEqual(['a']);
    expect(show(shard, NOON + 30 * DAY)).toEqual(['a']);
  });

  it('decide: what was decided and never shown is not charged once its lease has ended', () => {
    const shard = new OneShard({
      catalog: catalogText({
        explorationProbability: 0,
        leaseMillis: 1_000,
        actions:
          '{ key: a, channels: [app], valueMinor: 1000, fatigue: { chargeMinor: 10000, halfLife: 1d } }, { key: b, channels: [app], valueMinor: 1 }',
      }),
    });
    const decide = (now: number): string | undefined =>
      shard.decide({ profile: 'ann', wantMask: WANT.action }, now).actions[0]?.action;
    expect(decide(NOON)).toBe('a');
    expect(decide(NOON + 500)).toBe('b');
    expect(decide(NOON + 5_000)).toBe('a');
  });
});
