/** Suspicions: who holds such a tag is offered nothing and teaches nothing, says why, and is back when it ends. */
import { expect, it } from 'vitest';
import { EFFECT, Effect, EVENT, EVENT_FLAG } from '../../actors/effect.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const CATALOG = `version: 1
name: suspicion
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0 }
profile:
  tags:
    clickFlood: { family: behaviour, when: 'count("click", "1m") > 3', holdFor: 1h, suspicion: true }
    looking: { family: behaviour, when: 'count("view", "1m") > 0' }
channels: { app: {} }
slots: { home: { channels: [app] } }
products: [{ sku: coffee, listMinor: 1000, floorMinor: 900, ceilingMinor: 1100, costMinor: 500, stepMinor: 100 }]
actions: [{ key: offer, channels: [app], valueMinor: 10 }]
`;
const HOUR = 3_600_000;

it('a flood of clicks withholds offers and learning until it is over, whatever the person allows', () => {
  const shard = new OneShard({ catalog: CATALOG });
  const decide = (now: number): ReturnType<OneShard['decide']> =>
    shard.decide({ profile: 'bot', wantMask: 3, sku: 'coffee', isExplain: true }, now);
  const { decisionId, price: first } = decide(NOON);
  const standing = first?.priceMinor ?? 0;
  for (let i = 0; i < 3; i++) expect(shard.track({ profile: 'bot', event: 'click' }, NOON + i)).toBeNull();
  expect(decide(NOON + 5).actions).toHaveLength(1);
  expect(shard.track({ profile: 'bot', event: 'click' }, NOON + 6)).toBeNull();
  for (const purposes of [null, { personalisation: { granted: false } }]) {
    if (purposes !== null) expect(shard.consent('bot', purposes, NOON + 7)).toBeNull();
    const { actions, price, explain } = decide(NOON + 8);
    expect(actions).toEqual([]);
    expect(explain?.rejected[0]).toMatchObject({ stage: 'suspicion', rule: 'tag("clickFlood")' });
    // The list price, but for a quote that stands.
    expect(price?.priceMinor).toBe(Math.min(1000, standing));
  }
  expect(shard.runtime.stats.decisionsSuspected).toBe(2);
  expect(shard.track({ profile: 'bot', event: 'impression', decisionId: decisionId ?? '' }, NOON + 9)).toBeNull();
  const batch = shard.store.readJournal({ epoch: 1, stream: 0, batch: shard.store.openBatch }) ?? new Uint8Array(0);
  const entry = new Effect();
  let flags = -1;
  for (let offset = 0; offset < batch.length; ) {
    offset = entry.load(batch, offset);
    if (entry.type === EFFECT.event && entry.getU32(EVENT.decisionSeq) !== 0) flags = entry.getU32(EVENT.flags);
  }
  expect(flags & EVENT_FLAG.trial).toBe(0);
  expect(flags & EVENT_FLAG.confirms).not.toBe(0);
  // Somebody else is not concerned, and the person is back when the hold is over.
  expect(shard.decide({ profile: 'ann', wantMask: 1 }, NOON + 9).actions).toHaveLength(1);
  expect(shard.consent('bot', { personalisation: { granted: true } }, NOON + 2 * HOUR)).toBeNull();
  expect(decide(NOON + 2 * HOUR).actions).toHaveLength(1);
});
