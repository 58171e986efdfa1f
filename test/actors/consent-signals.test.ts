/** Consent by TCF and GPP strings and GPC: which purposes they set, what a stored word makes of them, and what is kept. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Properties } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { CatalogError } from '../../workers/catalog/catalog-error.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { canada, gpp, NOTIFIED, tcf } from '../workers/privacy/made-consent-strings.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const catalog = (consent = ''): string => `version: 1
name: signals
currency: EUR
timeZone: Europe/Berlin
profile:
  traits:
    diet: { type: string, category: health }
${consent}
channels: { app: {} }
actions: [{ key: one, channels: [app], valueMinor: 10 }]
`;

let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: catalog() });
});

const say = (proof: Properties, at = NOON): ReturnType<OneShard['consent']> => shard.consent('ann', null, at, proof);
const purposes = (at = NOON, from = shard): Record<string, Properties> =>
  from.describe('ann', at).purposes as Record<string, Properties>;
/** Of purposes that were told: whether they are granted. */
const told = (from = shard): Properties =>
  Object.fromEntries(
    Object.entries(purposes(NOON, from)).flatMap(([name, { granted }]) =>
      granted === undefined ? [] : [[name, granted]],
    ),
  );
const optedOut = { usnat: { ...NOTIFIED, SaleOptOut: 1, SharingOptOut: 2, TargetedAdvertisingOptOut: 2 } };
const notOptedOut = { usnat: { ...NOTIFIED, SaleOptOut: 2, SharingOptOut: 2, TargetedAdvertisingOptOut: 2 } };

describe('what a string says becomes what is allowed', () => {
  it('TCF: all words of a purpose are needed, one no is enough', () => {
    expect(say({ tcf: tcf({ purposes: [1, 3, 4, 5, 6, 7, 8], features: [] }) })).toBeNull();
    expect(told()).toEqual({ personalisation: true, profiling: true, measurement: false, location: false });
    expect(shard.consentTurn.summary).toBe(
      'personalisation=granted profiling=granted measurement=withdrawn location=withdrawn',
    );
    expect(say({ tcf: tcf({ purposes: [3, 5, 6, 7, 8, 10], features: [1] }) })).toBeNull();
    expect(told()).toEqual({ personalisation: false, profiling: true, measurement: true, location: true });
    expect(purposes().personalisation).toMatchObject({ allowed: false });
  });

  it('the string is kept to the letter, once, with those before it; the same again changes nothing', () => {
    const strings = [tcf({ purposes: [3, 5] }), tcf({ purposes: [3, 4, 5, 6] })];
    for (const [i, string] of strings.entries()) expect(say({ tcf: string, source: 'banner' }, NOON + i)).toBeNull();
    const { personalisation } = purposes(NOON + 5);
    expect(personalisation).toMatchObject({
      granted: true,
      atEpochMillis: NOON + 1,
      proof: { tcf: strings[1], source: 'banner' },
    });
    expect(personalisation?.history).toMatchObject([
      { granted: false, atEpochMillis: NOON, proof: { tcf: strings[0] } },
    ]);
    const before = shard.runtime.record.stateSeq;
    expect(say({ tcf: strings[1] ?? '' }, NOON + 9)).toBeNull();
    expect([shard.runtime.record.stateSeq, shard.consentTurn.summary]).toEqual([before, '']);
  });

  it('an opt-out refuses; that one has not opted out takes only such a refusal back', () => {
    expect(say({ gpp: gpp(optedOut) })).toBeNull();
    expect(purposes().sharing).toMatchObject({ allowed: false, granted: false });
    expect(say({ gpp: gpp(notOptedOut) }, NOON + 1)).toBeNull();
    expect(purposes(NOON + 1).sharing).toMatchObject({ allowed: true, unset: true });
    expect(shard.consent('ann', { sharing: { granted: false } }, NOON + 2)).toBeNull();
    expect(say({ gpp: gpp(notOptedOut) }, NOON + 3)).toBeNull();
    expect(purposes(NOON + 3).sharing).toMatchObject({ allowed: false, granted: false });
  });

  it('GPC in a proof refuses sharing; without it nothing is said', () => {
    expect(say({ gpc: true })).toBeNull();
    expect(told()).toEqual({ sharing: false });
    expect(say({ gpc: false })).toBe(FAULT.invalidField);
  });

  it('sensitive data: the national section asks for consent, and gets it', () => {
    expect(say({ gpp: gpp({ usnat: { SensitiveDataProcessing: [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0] } }) })).toBeNull();
    expect(purposes()['category.health']).toMatchObject({ allowed: true, granted: true });
  });

  it("sensitive data of a state: a no withdraws what an earlier section granted, on that state's own place", () => {
    const utah = (health: number): string =>
      gpp({ usut: { SensitiveDataProcessingOptOutNotice: 1, SensitiveDataProcessing: [0, 0, 0, 0, health, 0, 0, 0] } });
    const texas = gpp({ ustx: { SensitiveDataProcessing: [0, 0, 2, 0, 0, 0, 0, 0] } });
    expect(say({ gpp: texas })).toBeNull();
    expect(purposes()['category.health']).toMatchObject({ allowed: true, granted: true, proof: { gpp: texas } });
    expect(say({ gpp: utah(1) }, NOON + 1)).toBeNull();
    expect(purposes(NOON + 1)['category.health']).toMatchObject({ allowed: false, granted: false });
    // Not to have opted out of it grants nothing: what holds is what holds for somebody who said nothing.
    expect(say({ gpp: utah(2) }, NOON + 2)).toBeNull();
    expect(purposes(NOON + 2)['category.health']).toMatchObject({ allowed: false, unset: true });
  });

  it('a known child without consent: all that is personal is refused, until there is one', () => {
    const child = (consent: number): string => gpp({ usva: { KnownChildSensitiveDataConsents: consent } });
    const all = ['personalisation', 'personalisedPrice', 'profiling', 'measurement', 'location', 'sharing'];
    expect(say({ gpp: child(1) })).toBeNull();
    expect(told()).toEqual(Object.fromEntries([...all, 'category.health'].map((name) => [name, false])));
    expect(say({ gpp: child(2) }, NOON + 1)).toBeNull();
    for (const name of all)
      expect([name, purposes(NOON + 1)[name]]).toEqual([name, expect.objectContaining({ allowed: true, unset: true })]);
    expect(purposes(NOON + 1)['category.health']).toMatchObject({ allowed: false });
  });

  it('Canada: express consent grants, implied consent for measuring and never for profiles', () => {
    const implied = canada({ implied: [2, 3, 4, 5, 6, 7, 8, 9, 10] });
    expect(say({ gpp: implied })).toBeNull();
    expect(told()).toEqual({ personalisation: false, profiling: false, measurement: true, location: false });
    const express = canada({ express: [3, 4, 5, 6], implied: [7, 8, 10], features: [1] });
    expect(say({ gpp: express }, NOON + 1)).toBeNull();
    expect(told()).toEqual({ personalisation: true, profiling: true, measurement: true, location: true });
    // An objection takes the implied consent away.
    expect(say({ gpp: canada({ express: [3, 4, 5, 6], implied: [7, 8] }) }, NOON + 2)).toBeNull();
    expect(told()).toMatchObject({ personalisation: true, measurement: false });
    expect(purposes(NOON + 2).measurement?.history).toMatchObject([{ granted: true, proof: { gpp: implied } }]);
  });

  it('purposes that are named are taken as named; one the string says no to is refused', () => {
    const proof = { tcf: tcf({ purposes: [3, 5] }) };
    expect(shard.consent('ann', { profiling: { granted: true } }, NOON, proof)).toBeNull();
    expect(told()).toEqual({ profiling: true });
    expect(purposes().profiling).toMatchObject({ proof });
    expect(shard.consent('ann', { personalisation: { granted: true } }, NOON, proof)).toBe(FAULT.invalidField);
    expect(shard.runtime.message).toMatch(
      /^consent\.purposes\.personalisation\.granted: the proof says no to it \(tcf\.4\)/,
    );
    expect(shard.consent('ann', { personalisation: { granted: false } }, NOON, proof)).toBeNull();
  });

  it('after a recovery it holds as before', () => {
    say({ tcf: tcf({ purposes: [3, 5] }), gpp: gpp(optedOut) });
    const before = purposes();
    shard.store.commitNow();
    expect(purposes(NOON, shard.recovered())).toEqual(before);
  });
});

describe('the catalog says which words stand for a purpose', () => {
  it('a purpose it maps, one it unmaps, and the rest by default', () => {
    shard = new OneShard({
      catalog: catalog(
        'consent: { signals: { personalisation: [tcf.5, tcf.6], measurement: [], personalisedPrice: [tcf.6] } }',
      ),
    });
    expect(say({ tcf: tcf({ purposes: [5, 6] }) })).toBeNull();
    expect(told()).toEqual({ personalisation: true, personalisedPrice: true, profiling: false, location: false });
  });

  it('a vendor needs consent of its own', () => {
    shard = new OneShard({ catalog: catalog('consent: { tcfVendor: 812 }') });
    const all = [3, 4, 5, 6, 7, 8, 10];
    say({ tcf: tcf({ purposes: all, vendors: [811], disclosed: [811, 812] }) });
    expect(told()).toMatchObject({ personalisation: false, measurement: false });
    say({ tcf: tcf({ purposes: all, vendors: [812], disclosed: [811, 812] }) });
    expect(told()).toMatchObject({ personalisation: true, measurement: true });
  });

  it.each([
    ['consent: { signals: { personalisation: [tcf.25] } }', /"tcf\.25" is no word of a consent string/],
    ['consent: { signals: { personalization: [tcf.4] } }', /"personalization" is no purpose/],
    ['consent: { signals: { location: [us.locations] } }', /us\.location/],
    ['consent: { tcfVendor: 0 }', /tcfVendor/],
    ['consent: { tcfVendor: 65536 }', /tcfVendor/],
  ])('%s is refused', (text, message) => {
    expect(() => compileCatalog(catalog(text), 'test.yaml')).toThrow(message);
    expect(() => compileCatalog(catalog(text), 'test.yaml')).toThrow(CatalogError);
  });
});

describe('strings that are not sound', () => {
  const good = tcf({ purposes: [3] });
  it.each<[string, Properties]>([
    ['truncated', { tcf: good.slice(0, 30) }],
    ['forged', { tcf: `${good.slice(0, -6)}______` }],
    ['of version 1', { tcf: `B${good.slice(1)}` }],
    ['no string of GPP', { gpp: good }],
    ['beside a sound one', { tcf: good, gpp: 'DBABMA~x' }],
    ["Canada's, truncated", { gpp: canada({ express: [3] }).slice(0, 40) }],
    ["a state's, truncated", { gpp: gpp({ usva: { SaleOptOut: 2 } }).slice(0, -2) }],
  ])('%s: 1008, and nothing is taken', (_, proof) => {
    expect(say({ gpc: true })).toBeNull();
    const before = shard.runtime.record.stateSeq;
    expect(say(proof)).toBe(FAULT.invalidConsentString);
    expect(shard.consent('ann', { sharing: { granted: true } }, NOON, proof)).toBe(FAULT.invalidConsentString);
    expect(shard.runtime.message).toMatch(/^consent\.proof\.(tcf|gpp): /);
    expect(shard.runtime.message).not.toContain(good.slice(0, 12));
    expect(shard.runtime.record.stateSeq).toBe(before);
    expect(told()).toEqual({ sharing: false });
  });

  it('of more than 4,096 characters: refused as any proof is', () => {
    expect(say({ tcf: 'C'.repeat(4097) })).toBe(FAULT.invalidField);
  });
});
