/** What an export says each decision was made of: every feature named by its group, and the purposes that allowed it. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ExportTurn } from '../../actors/export-turn.ts';
import { takeFacts } from '../../actors/fact-turn.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Plain, Properties } from '../../proto/messages.ts';
import { AskerNames } from '../../workers/asker-names.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const CATALOG = `version: 1
name: use
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0, personalPrice: true }
profile:
  traits:
    age: { type: integer, min: 0, max: 130 }
    points: { type: integer }
    balance: { type: number }
    loyalty: { type: enum, values: [none, gold] }
    member: { type: boolean }
    town: { type: string, purpose: location }
  facts: [churnProbability]
  tags: { keen: { family: behaviour, when: 'count("view", "7d") > 0', feature: true } }
channels: { app: {} }
slots: { home: { channels: [app] } }
products:
  - { sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1500, costMinor: 650, stepMinor: 10,
      groupGapBasisPointsMax: 1000, personalDiscounts: [{ when: 'profile.loyalty == "gold"', basisPoints: 1000 }] }
actions:
  - { key: one, channels: [app], valueMinor: 10 }
  - { key: two, channels: [app], valueMinor: 1, eligibility: 'count("view", "30d") > 100 || sum("buy", "price", "7d") > 1000' }
`;
/** Rules of every kind of reading, two of them about actions that are not asked for below. */
const RULES = CATALOG.replace('slots: { home:', 'slots: { away: { channels: [app] }, home:').concat(
  [
    `eligibility: 'profile.age > 18 && tag("keen") && profile.churnProbability < 0.9 && distinct("buy", "brand", "7d") < 9'`,
    `contextWeights: [{ when: 'context.page == "cups" && now.hour > 3 && feed("rates", "up", "EUR") && stage("life", "begun")', weight: 2 }]`,
    `eligibility: 'profile.town == "Ulm" && consent("location")'`,
    `slots: [away], eligibility: 'profile.balance > 1.0'`,
    `eligibility: 'profile.points > 1'`,
  ]
    .map((rule, i) => `  - { key: more${i}, channels: [app], valueMinor: 1, ${rule} }\n`)
    .join(''),
  `feeds: { rates: { ttl: 1h, fields: { up: { type: boolean } } } }
journeys: { life: { stages: { begun: { when: 'tag("keen")' } } } }
`,
);
let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
});

/** The newest decision, as an export has it. */
function used(now: number): Properties {
  const out: Record<string, Plain> = {};
  expect(new ExportTurn(shard.runtime, shard.profileTurn).run(requestOf({ profile: 'ann' }), now, out)).toBeNull();
  const row = (out.timeline as Properties[]).find(({ type }) => type === 'decision');
  if (row === undefined) throw new Error('no decision in the timeline');
  return row;
}
const decide = (fields: Properties = {}, now = NOON): void => {
  shard.decide({ profile: 'ann', slot: 'home', sku: 'coffee', wantMask: WANT.action, ...fields }, now);
};

describe('what a decision was made of', () => {
  it('every group by name, with the purposes that each is tied to', () => {
    shard.identify('ann', { age: 30, points: 90, loyalty: 'gold', member: true, town: 'Ulm' }, NOON);
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    const { record } = shard.runtime;
    const keys = Uint32Array.of(record.partition, record.hashLow, record.hashHigh, record.hashCheck);
    const columns = new Map([['churnProbability', Float64Array.of(0.5)]] as const);
    expect(takeFacts(shard.runtime, { keys, columns, fit: 1 }, 0, NOON)).toBe('changed');
    decide({ context: { page: 'cups', depth: 3 }, wantMask: WANT.action | WANT.price | WANT.sendTime });
    expect(used(NOON)).toMatchObject({
      featureGroups: {
        request: ['slot', 'sku'],
        time: ['hour', 'weekday'],
        traits: ['age', 'points', 'loyalty', 'member', 'town'],
        facts: ['churnProbability'],
        tags: ['keen'],
        behaviour: expect.arrayContaining(['view']),
        context: ['page', 'depth'],
      },
      purposes: ['personalisation', 'location', 'profiling', 'personalisedPrice'],
    });
    expect(used(NOON)).not.toHaveProperty('featureGroups.unknown');
    expect(used(NOON)).not.toHaveProperty('refusedPurposes');
  });

  it('what was refused is named, and was not used', () => {
    shard.identify('ann', { age: 30, loyalty: 'gold', town: 'Ulm' }, NOON);
    expect(
      shard.consent('ann', { personalisation: { granted: false }, profiling: { granted: false } }, NOON),
    ).toBeNull();
    decide({ wantMask: WANT.action | WANT.price | WANT.sendTime });
    const row = used(NOON);
    expect(row.refusedPurposes).toEqual(['personalisation', 'profiling']);
    expect(row.purposes).toEqual(['location']);
    expect(row.featureGroups).toEqual({ request: ['slot', 'sku'], time: ['hour', 'weekday'], traits: ['town'] });
    expect(shard.consent('ann', { personalisation: { granted: true } }, NOON)).toBeNull();
    decide({}, NOON + 1);
    expect(used(NOON + 1)).toMatchObject({
      refusedPurposes: ['profiling'],
      purposes: expect.arrayContaining(['personalisation']),
    });
  });

  it('what rules read is named as well: of the actions that were asked for, and of the price, unless it was refused', () => {
    shard = new OneShard({ catalog: RULES });
    shard.identify('ann', { age: 30, points: 90, loyalty: 'gold', town: 'Ulm' }, NOON);
    decide({ actions: ['one', 'two', 'more0', 'more1', 'more2'], wantMask: WANT.action | WANT.price });
    expect(used(NOON)).toMatchObject({
      ruleGroups: {
        behaviour: ['view', 'buy'],
        traits: ['age', 'town', 'loyalty'],
        tags: ['keen'],
        facts: ['churnProbability'],
        context: ['page'],
        time: ['hour'],
        feeds: ['rates'],
        stages: ['life'],
        consent: ['location'],
      },
    });
    shard.consent('ann', { personalisation: { granted: false }, location: { granted: false } }, NOON);
    decide({ actions: ['one', 'two', 'more0', 'more2'] }, NOON + 1);
    const { ruleGroups, purposes } = used(NOON + 1);
    expect(ruleGroups).toEqual({ facts: ['churnProbability'], consent: ['location'] });
    expect(purposes).toEqual(['profiling']);
  });

  it('of a decision by another catalog the rules are not known', () => {
    shard.identify('ann', { age: 30 }, NOON);
    decide();
    shard.reload(RULES);
    expect(used(NOON + 1).ruleGroups).toBeNull();
  });

  it('who asked is named, however long their name; nobody where anybody may', () => {
    shard.identify('ann', { age: 30 }, NOON);
    decide();
    expect(used(NOON)).not.toHaveProperty('askedBy');
    const names = new AskerNames();
    for (const [n, actor] of ['key:a1b2', 'jwt:日本', `jwt:${'é'.repeat(300)}`, ''].entries()) {
      shard.runtime.asker = names.nameOf(actor);
      decide({ context: { page: 'x'.repeat(n) } }, NOON + n);
      expect(used(NOON + n)).toMatchObject({ askedBy: actor.slice(0, 4 + 125), context: { page: 'x'.repeat(n) } });
    }
    expect(names.nameOf('anonymous')).toBeNull();
  });

  it('a text that has changed since stays without a name, and is not passed over', () => {
    shard.identify('ann', { town: 'Ulm' }, NOON);
    decide();
    shard.identify('ann', { town: 'Bonn' }, NOON + 1);
    expect(used(NOON + 2).featureGroups).toMatchObject({ unknown: ['a text no longer known'] });
  });

  it('whatever a person is, no feature is without a name', () => {
    const money = fc.double({ min: -1e12, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 130 }),
        fc.integer({ min: -1e9, max: 1e9 }),
        money,
        fc.string({ minLength: 1, maxLength: 20 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof(fc.string(), fc.boolean(), money)),
        fc.integer({ min: 0, max: 30 }),
        (age, points, balance, town, context, views) => {
          shard = new OneShard({ catalog: CATALOG });
          expect(shard.identify('ann', { age, points, balance, town }, NOON)).toBeNull();
          for (let n = 0; n < views; n++)
            shard.track({ profile: 'ann', event: n % 2 === 0 ? 'view' : 'buy', properties: { price: n * 100 } }, NOON);
          decide({ context });
          const groups = used(NOON).featureGroups as Record<string, string[]>;
          expect(groups).not.toHaveProperty('unknown');
          expect(groups.traits?.slice(0, 4)).toEqual(['age', 'points', 'balance', 'town']);
        },
      ),
      { numRuns: 30, seed: 63 },
    );
  });
});
