/** Facts taken into records: as a change like any other, once, only where declared, and the same after a recovery. */
import { describe, expect, it } from 'vitest';
import { FACT_KEY_WORDS, type FactRows, takeFacts } from '../../actors/fact-turn.ts';
import type { FactName } from '../../decision/facts.ts';
import { OneShard } from './one-shard.ts';
import { catalogText } from './test-catalog.ts';

const NOW = Date.UTC(2026, 10, 2, 12);
const NONE = Number.NaN;
const ACTION = `{ key: keep, channels: [app], slots: [home], valueMinor: 100, eligibility: 'profile.churnProbability > 0.5 && profile.segment == "s2"' }`;
const CATALOG = catalogText({ actions: ACTION }).replace(
  'additionalTraits: refuse,',
  'additionalTraits: refuse, facts: [segment, churnProbability, lifetimeValueMinor],',
);

function knownShard(): OneShard {
  const shard = new OneShard({ catalog: CATALOG });
  shard.track({ profile: 'ann', event: 'view' }, NOW);
  return shard;
}

/** Facts of the person whose record is bound. */
function factsOf(shard: OneShard, columns: Partial<Record<FactName, number>>, fit = 7): FactRows {
  const { record } = shard.runtime;
  return {
    fit,
    keys: Uint32Array.from([record.partition, record.hashLow, record.hashHigh, record.hashCheck]),
    columns: new Map(
      Object.entries(columns).map(([name, value]) => [name as FactName, Float64Array.of(value)]), // its own keys
    ),
  };
}
const decide = (shard: OneShard): number =>
  shard.decide({ profile: 'ann', slot: 'home', isDryRun: true }, NOW).actions.length;

describe('fact turn', () => {
  it('fact turn: a rule sees facts at the next decision, and a missing one is a missing trait', () => {
    const shard = knownShard();
    expect(decide(shard)).toBe(0);
    shard.describe('ann', NOW);
    const facts = factsOf(shard, { segment: 1, churnProbability: 0.75, expectedPurchases: 3 });
    expect(takeFacts(shard.runtime, facts, 0, NOW)).toBe('changed');
    expect(decide(shard)).toBe(1);
    const record = shard.describe('ann', NOW);
    // Not declared, not kept.
    expect(record.facts).toEqual({ segment: 's2', churnProbability: 0.75 });
    expect(record.timeline).toMatchObject([{ type: 'identify', fit: 7, traits: ['segment', 'churnProbability'] }, {}]);
  });

  it('fact turn: the same facts, or such as hardly moved, write nothing; NaN takes one away', () => {
    const shard = knownShard();
    takeFacts(shard.runtime, factsOf(shard, { segment: 1, churnProbability: 0.75 }), 0, NOW);
    const { stateSeq } = shard.describe('ann', NOW);
    const near = factsOf(shard, { segment: 1, churnProbability: 0.752, lifetimeValueMinor: NONE });
    expect(takeFacts(shard.runtime, near, 0, NOW)).toBe('same');
    expect(shard.describe('ann', NOW).stateSeq).toBe(stateSeq);
    expect(takeFacts(shard.runtime, factsOf(shard, { segment: NONE }), 0, NOW)).toBe('changed');
    expect(shard.describe('ann', NOW).facts).toEqual({ churnProbability: 0.75 });
    expect(decide(shard)).toBe(0);
  });

  it('fact turn: recovery from the journal gives the same bytes', () => {
    const shard = knownShard();
    takeFacts(shard.runtime, factsOf(shard, { segment: 1, churnProbability: 0.75 }), 0, NOW);
    shard.store.commitNow();
    const bytes = shard.recordBytes('ann');
    const again = shard.recovered();
    expect(again.recordBytes('ann')).toEqual(bytes);
    expect(decide(again)).toBe(1);
  });

  it('fact turn: a catalog that no longer declares a fact hides it; one that does again has it', () => {
    const shard = knownShard();
    takeFacts(shard.runtime, factsOf(shard, { segment: 1, churnProbability: 0.75 }), 0, NOW);
    shard.reload(catalogText({ actions: '{ key: keep, channels: [app], slots: [home], valueMinor: 100 }' }));
    expect(shard.describe('ann', NOW).facts).toBeUndefined();
    shard.reload(CATALOG);
    expect(decide(shard)).toBe(1);
  });

  it('fact turn: nobody known, or another key of the same hash, is refused and nothing is made', () => {
    const shard = knownShard();
    const facts = factsOf(shard, { segment: 1 });
    const other = { ...facts, keys: facts.keys.map((word, i) => (i === 3 ? word ^ 1 : word)) };
    expect(takeFacts(shard.runtime, other, 0, NOW)).toBe('refused');
    const nobody = { ...facts, keys: facts.keys.map((word, i) => (i === 1 ? word ^ 1 : word)) };
    expect(takeFacts(shard.runtime, nobody, 0, NOW)).toBe('refused');
    expect(shard.describe('ann', NOW).facts).toBeUndefined();
    expect(facts.keys.length).toBe(FACT_KEY_WORDS);
  });

  it('fact turn: a person who was not in memory is not there afterwards', () => {
    const shard = knownShard();
    const facts = factsOf(shard, { segment: 1 });
    shard.runtime.passivateBound();
    expect(shard.runtime.profiles.count).toBe(0);
    expect(takeFacts(shard.runtime, facts, 0, NOW)).toBe('changed');
    expect(shard.runtime.profiles.count).toBe(0);
    expect(shard.describe('ann', NOW).facts).toEqual({ segment: 's2' });
  });
});
