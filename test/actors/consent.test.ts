/** What a person allows: seen by the very next turn, over every feature group, to the millisecond, and after a recovery. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { EFFECT, Effect, EVENT, EVENT_FLAG } from '../../actors/effect.ts';
import { PURPOSE, PURPOSE_NAMES, PURPOSES_MAX } from '../../decision/consent.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Properties } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const DAY = 86_400_000;
function catalog(consent = ''): string {
  return `version: 1
name: consent
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0, leaseMillis: 60000, personalPrice: true }
profile:
  traits:
    age: { type: integer, min: 0, max: 130 }
    loyalty: { type: enum, values: [none, gold] }
    place: { type: string, purpose: location }
    diet: { type: string, category: health }
    timeZone: { type: timeZone }
  facts: [churnProbability]
${consent}
channels: { app: {}, push: {} }
slots: { home: { channels: [app, push] } }
products:
  - { sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1500, costMinor: 650, stepMinor: 10,
      groupGapBasisPointsMax: 1000, personalDiscounts: [{ when: 'profile.loyalty == "gold"', basisPoints: 1000 }] }
actions:
  - { key: everybody, channels: [app], valueMinor: 10 }
  - { key: gold, channels: [app], valueMinor: 900, eligibility: 'profile.loyalty == "gold"' }
  - { key: viewers, channels: [app], valueMinor: 900, eligibility: 'count("view", "30d") > 0' }
  - { key: here, channels: [app], valueMinor: 900, eligibility: 'profile.place == "Ulm"' }
  - { key: vegan, channels: [app], valueMinor: 900, eligibility: 'profile.diet == "vegan"' }
  - { key: pushed, channels: [push], valueMinor: 900 }
`;
}

let shard: OneShard;
function begin(consent = ''): void {
  shard = new OneShard({ catalog: catalog(consent) });
  expect(shard.identify('ann', { age: 30, loyalty: 'gold', place: 'Ulm', diet: 'vegan' }, NOON)).toBeNull();
  expect(shard.track({ profile: 'ann', event: 'view' }, NOON)).toBeNull();
}
beforeEach(() => begin());

/** Keys that may be offered, in the catalog's order. */
function offered(now = NOON, from = shard): string[] {
  const { actions } = from.decide({ profile: 'ann', count: 6, wantMask: WANT.action, isDryRun: true }, now);
  const keys = actions.map(({ action }) => action);
  return ['everybody', 'gold', 'viewers', 'here', 'vegan', 'pushed'].filter((key) => keys.includes(key));
}
const set = (purposes: Properties, now = NOON): void => expect(shard.consent('ann', purposes, now)).toBeNull();
const ACTION = '{ key: x, channels: [app], valueMinor: 9 }';
const no = { granted: false };
const yes = { granted: true };

describe('an answer degrades to what is allowed', () => {
  it.each<[string, readonly string[]]>([
    ['personalisation', ['everybody', 'here', 'pushed']],
    ['location', ['everybody', 'gold', 'viewers', 'pushed']],
    ['contact.push', ['everybody', 'gold', 'viewers', 'here']],
    ['profiling', ['everybody', 'gold', 'viewers', 'here', 'pushed']],
    ['sharing', ['everybody', 'gold', 'viewers', 'here', 'pushed']],
  ])('without %s: %o', (purpose, keys) => {
    expect(offered()).toEqual(['everybody', 'gold', 'viewers', 'here', 'pushed']);
    set({ [purpose]: no });
    expect(offered()).toEqual(keys);
    set({ [purpose]: yes });
    expect(offered()).toEqual(['everybody', 'gold', 'viewers', 'here', 'pushed']);
  });

  it('a sensitive category is used only once the person has said so', () => {
    set({ 'category.health': yes });
    expect(offered()).toContain('vegan');
    set({ 'category.health': no });
    expect(offered()).not.toContain('vegan');
  });

  it.each(['personalisedPrice', 'personalisation'])('without %s the price is everybody’s', (purpose) => {
    const price = (): Properties => ({
      ...shard.decide({ profile: 'ann', wantMask: WANT.price, sku: 'coffee', isDryRun: true }, NOON).price,
    });
    expect(price()).toMatchObject({ personalised: true });
    set({ [purpose]: no });
    const { priceMinor, maskedPriceMinor, personalised } = price();
    expect([personalised, priceMinor]).toEqual([false, maskedPriceMinor]);
  });

  it('without measurement nothing the person does teaches, and caps still count it', () => {
    set({ measurement: no });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 3, sku: 'coffee' }, NOON);
    for (const event of ['impression', 'click', 'purchase'])
      expect(shard.track({ profile: 'ann', event, decisionId: decisionId ?? '' }, NOON)).toBeNull();
    const teaching =
      EVENT_FLAG.trial |
      EVENT_FLAG.response |
      EVENT_FLAG.trialWithResponse |
      EVENT_FLAG.quote |
      EVENT_FLAG.purchase |
      EVENT_FLAG.sendTime |
      EVENT_FLAG.occasion;
    const batch = shard.store.readJournal({ epoch: 1, stream: 0, batch: shard.store.openBatch }) ?? new Uint8Array(0);
    const entry = new Effect();
    let events = 0;
    for (let offset = 0; offset < batch.length; ) {
      offset = entry.load(batch, offset);
      if (entry.type !== EFFECT.event || entry.getU32(EVENT.decisionSeq) === 0) continue;
      events++;
      expect(entry.getU32(EVENT.flags) & teaching).toBe(0);
      if (events === 1) expect(entry.getU32(EVENT.flags) & EVENT_FLAG.confirms).not.toBe(0);
    }
    expect(events).toBeGreaterThanOrEqual(3);
  });
});

describe('time, defaults and age', () => {
  it('a consent for a time ends at its instant, and needs nobody to say so', () => {
    begin('consent: { purposes: { personalisation: { default: denied } } }');
    expect(offered()).toEqual(['everybody', 'here', 'pushed']);
    set({ personalisation: { granted: true, expiresAtEpochMillis: NOON + 30 * DAY } });
    expect(offered(NOON + 30 * DAY - 1)).toContain('gold');
    expect(offered(NOON + 30 * DAY)).not.toContain('gold');
  });

  it('minors: personal purposes take their own word', () => {
    begin('consent: { minorAge: 16 }');
    expect(offered()).toContain('gold');
    expect(shard.identify('ann', { age: 15 }, NOON)).toBeNull();
    expect(offered()).toEqual(['everybody', 'here', 'pushed']);
    set({ personalisation: yes });
    expect(offered()).toContain('gold');
  });

  it('an own purpose of the catalog can be given and is shown', () => {
    begin('consent: { purposes: { study: { default: denied } } }');
    set({ study: { granted: true, basis: 'consent' } }, NOON + 5);
    expect((shard.describe('ann', NOON + 6).purposes as Properties).study).toMatchObject({
      allowed: true,
      granted: true,
      basis: 'consent',
      atEpochMillis: NOON + 5,
    });
  });

  it('as many purposes as there may be, in one call, by somebody who had refused both channels', () => {
    const builtIn = PURPOSE_NAMES.length + 2 + 1; // contact on two channels, a category
    const own = Array.from({ length: PURPOSES_MAX - builtIn }, (_, i) => `study${i}`);
    begin(`consent: { purposes: { ${own.map((name) => `${name}: { default: denied }`).join(', ')} } }`);
    const { purposes } = shard.runtime.index.catalog.consent;
    expect(purposes).toHaveLength(PURPOSES_MAX);
    for (const channel of ['app', 'push'])
      expect(shard.track({ profile: 'ann', event: 'unsubscribe', properties: { channel } }, NOON)).toBeNull();
    expect(offered()).toEqual([]);
    set(Object.fromEntries(purposes.map(({ name }) => [name, { granted: true }])));
    expect(offered()).toEqual(['everybody', 'gold', 'viewers', 'here', 'vegan', 'pushed']);
    const told = shard.describe('ann', NOON).purposes as Record<string, { allowed: boolean }>;
    expect(Object.values(told).every(({ allowed }) => allowed)).toBe(true);
  });

  it('who allows a channel has taken back that they refused it', () => {
    expect(
      shard.track({ profile: 'ann', event: 'unsubscribe', channel: 'push', properties: { channel: 'push' } }, NOON),
    ).toBeNull();
    expect(offered()).not.toContain('pushed');
    set({ 'contact.push': yes });
    expect(offered()).toContain('pushed');
  });
});

describe('proof, recovery, bad input', () => {
  it('the newest proof is kept with those before it, as they came', () => {
    set({ location: yes });
    expect(
      shard.consent('ann', { location: no }, NOON + 1, { source: 'settings page', version: '7', gpc: true }),
    ).toBeNull();
    const { location } = shard.describe('ann', NOON + 2).purposes as { location: Properties };
    expect(location).toMatchObject({
      allowed: false,
      granted: false,
      proof: { source: 'settings page', version: '7', gpc: true },
    });
    expect(location.history).toMatchObject([{ granted: true, atEpochMillis: NOON }]);
  });

  it('after a recovery it holds as before', () => {
    set({ personalisation: no, 'contact.push': no });
    const before = [offered(), shard.describe('ann', NOON).purposes];
    shard.store.commitNow();
    const after = shard.recovered();
    expect([offered(NOON, after), after.describe('ann', NOON).purposes]).toEqual(before);
  });

  it.each<[Properties, RegExp]>([
    [{}, /at least one purpose/],
    [{ nonsense: yes }, /purposes\.nonsense: no such purpose; there are personalisation/],
    [{ __proto__x: yes }, /no such purpose/],
    [{ location: true }, /expected a map/],
    [{ location: {} }, /granted: expected a boolean/],
    [{ location: { granted: true, until: 5 } }, /location\.until: not known here/],
    [{ location: { granted: true, basis: 'because' } }, /basis: expected one of consent/],
    [{ location: { granted: true, expiresAtEpochMillis: NOON } }, /expiresAtEpochMillis/],
    [{ location: { granted: true, expiresAtEpochMillis: NOON + 4000 * DAY } }, /expiresAtEpochMillis/],
    [{ location: { granted: false, expiresAtEpochMillis: NOON + DAY } }, /what is withdrawn has no end/],
  ])('%o is refused, and nothing is taken', (purposes, message) => {
    const before = shard.runtime.record.stateSeq;
    expect(
      shard.consent('ann', { sharing: no, ...purposes, ...(Object.keys(purposes).length === 0 ? {} : {}) }, NOON)
        ?.code ?? 0,
    ).toBe(Object.keys(purposes).length === 0 ? 0 : FAULT.invalidField.code);
    if (Object.keys(purposes).length === 0) {
      expect(shard.consent('ann', {}, NOON)).toBe(FAULT.invalidField);
    } else expect(shard.runtime.record.stateSeq).toBe(before);
    expect(shard.runtime.message).toMatch(message);
  });

  it.each<[Properties]>([
    [{ tcf: '' }],
    [{ source: 'x'.repeat(257) }],
    [{ gpc: 'yes' }],
    [{ atEpochMillis: -1 }],
    [{ other: 1 }],
  ])('a proof of %o is refused', (proof) => {
    expect(shard.consent('ann', { location: no }, NOON, proof)).toBe(FAULT.invalidField);
    expect(shard.runtime.message).toMatch(/^consent\.proof\./);
  });

  it('whatever is refused, in whatever order: nothing is offered that was not before, and granting all brings all back', () => {
    const all = compileCatalog(catalog(), 'test.yaml').consent.purposes.map(({ name }) => name);
    expect(all.slice(0, PURPOSE_NAMES.length)).toEqual(Object.keys(PURPOSE));
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...all), { maxLength: 8 }), (refused) => {
        begin();
        set({ 'category.health': yes });
        let before = offered();
        for (const name of refused) {
          set({ [name]: no });
          const after = offered();
          expect(before).toEqual(expect.arrayContaining(after));
          before = after;
        }
        set(Object.fromEntries(all.map((name) => [name, yes])));
        expect(offered()).toEqual(['everybody', 'gold', 'viewers', 'here', 'vegan', 'pushed']);
      }),
      { numRuns: 40 },
    );
  });
});

describe('consent(purpose) in rules', () => {
  const asking = (rule: string, more = ''): string =>
    catalogText({ actions: `{ key: a, channels: [app], valueMinor: 9, eligibility: '${rule}' }`, more });
  const isOffered = (one: OneShard, now: number, fields = {}): boolean =>
    one.decide({ profile: 'ann', slot: 'home', isDryRun: true, ...fields }, now).actions.length > 0;

  it('says what binds this decision: defaults, an end, a withdrawal, an opt-out of the request, purposes of your own', () => {
    const more = 'consent: { purposes: { study: { default: denied } } }';
    const one = new OneShard({ catalog: asking('consent("study") && consent("sharing")', more) });
    expect(isOffered(one, NOON)).toBe(false);
    expect(one.consent('ann', { study: { granted: true, expiresAtEpochMillis: NOON + DAY } }, NOON)).toBeNull();
    expect([isOffered(one, NOON + DAY - 1), isOffered(one, NOON + DAY)]).toEqual([true, false]);
    one.runtime.consent.hasOptOut = true;
    expect(isOffered(one, NOON)).toBe(false);
    one.runtime.consent.hasOptOut = false;
    expect(isOffered(one, NOON)).toBe(true);
    expect(one.consent('ann', { sharing: no }, NOON)).toBeNull();
    expect(isOffered(one, NOON)).toBe(false);
  });

  it('is true where nothing limits anybody, and explained', () => {
    const one = new OneShard({ catalog: asking('!consent("contact.app")') });
    const { explain } = one.decide({ profile: 'ann', slot: 'home', isDryRun: true, isExplain: true }, NOON);
    expect(explain?.rejected).toMatchObject([{ action: 'a', stage: 'eligibility', rule: '!consent("contact.app")' }]);
  });

  it.each([
    [
      'an unknown purpose',
      asking('consent("personalization")'),
      '"personalization" is no purpose; nearest is "personalisation"',
    ],
    [
      'of a tag',
      catalogText({ actions: ACTION, tags: `t: { family: social, when: 'consent("sharing")' }` }),
      'cannot read consent',
    ],
    [
      'of a stage',
      catalogText({ actions: ACTION, more: `journeys: { j: { stages: { s: { when: 'consent("sharing")' } } } }` }),
      'cannot read consent',
    ],
  ])('is refused: %s', (_, text, problem) => {
    expect(() => new OneShard({ catalog: text })).toThrow(problem);
  });
});
