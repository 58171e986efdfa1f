/** `abuse.usual` of a catalog and `unusual(…)` in its rules: what compiles, what it comes to, how each mistake is named. */
import { describe, expect, it } from 'vitest';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { ProfileScope, type ProfileState } from './profile-scope.ts';

interface Parts {
  readonly usual?: string;
  readonly rule?: string;
  readonly tag?: string;
  readonly more?: string;
}
const compile = ({ usual = '{}', rule, tag, more = '' }: Parts) =>
  compileCatalog(
    `version: 1
name: unusual
currency: EUR
timeZone: UTC
${tag === undefined ? '' : `profile: { tags: { flood: { family: behaviour, when: '${tag}', suspicion: true } } }`}
${usual === '' ? '' : `abuse: { usual: ${usual} }`}
${more}
channels: { app: {} }
actions: [{ key: one, channels: [app], valueMinor: 1${rule === undefined ? '' : `, eligibility: '${rule}'`} }]
`,
    'unusual.yaml',
  );
/** The middle one clicks 4 times in an hour. */
const USUAL = new Map([['click 3600 s', [Math.log(5), 0.5]]]);
const clicks = (count: number, feed: ProfileState['feed'] = USUAL): ProfileState => ({
  events: { click: { count } },
  feed,
});

describe('unusual', () => {
  it.each([
    [4, 'unusual("click", "1h") == 0.0', true],
    [90, 'unusual("click", "1h") > 5.8 && unusual("click", "60m") < 5.81', true],
    [0, 'unusual("click", "1h") < -3.2', true],
    [90, 'unusual("click", "1h") > 6', false],
    [90, 'unusual("click", "2h") > 0', false],
    [90, '!(unusual("click", "2h") > 0)', false],
    [90, '(unusual("click", "1h") > 5 ? 2 : 1) == 2', true],
    [90, 'unusual("click", "1h") * 2.0 > 11', true],
  ])('of %i clicks: %s is %s', (count, rule, truth) => {
    const catalog = compile({ rule });
    const scope = new ProfileScope(catalog.traits, catalog.counters, clicks(count));
    expect(catalog.actions[0]?.eligibility?.evaluate(scope)).toBe(truth);
  });

  it('a refusal shows the score; it is null where what is usual is not known', () => {
    const catalog = compile({ rule: 'unusual("click", "1h") > 6' });
    const [clause] = catalog.actions[0]?.eligibility?.clauses ?? [];
    const shown = (state: ProfileState) => clause?.explain(new ProfileScope(catalog.traits, catalog.counters, state));
    const { value, threshold, eligibleAgainAtEpochMillis } = shown(clicks(90)) ?? {};
    expect([threshold, eligibleAgainAtEpochMillis]).toEqual([6, null]);
    expect(value).toBeCloseTo((Math.log(91) - Math.log(5)) / 0.5, 12);
    expect(shown(clicks(90, new Map()))).toMatchObject({ value: null });
  });

  it('a tag may read it: looked at when the count rises, and when it falls from above the bound', () => {
    const { tags, counters, suspicions, usualFeed, usualEveryMillis, feeds } = compile({
      tag: 'unusual("click", "1h") > 6',
      more: 'feeds: { weather: { ttl: 1h, fields: { celsius: { type: number } } } }',
    });
    expect(suspicions).toEqual([0]);
    const score = { counter: 0, feed: 1, key: 'click 3600 s', bound: 6 };
    expect(tags[0]?.dependsOn).toMatchObject({ windows: [], scores: [score], events: [counters[0]?.eventHash] });
    const doubled = compile({ tag: 'unusual("click", "1h") * 2.0 > 6' }).tags[0]?.dependsOn;
    expect(doubled).toMatchObject({
      windows: [{ counter: 0, least: 0 }],
      scores: [],
      events: [counters[0]?.eventHash],
    });
    expect(feeds.map(({ name }) => name)).toEqual(['weather', '_usual']);
    expect([usualFeed, usualEveryMillis]).toEqual([1, 3_600_000]);
  });

  it('without abuse.usual there is no such feed; with it the feeds are bound anew, however often it is measured', () => {
    expect(compile({ usual: '' })).toMatchObject({ usualFeed: -1, usualEveryMillis: 0, feeds: [], feedsHash: 0 });
    const [hourly, daily] = ['{}', '{ every: 1d }'].map((usual) => compile({ usual }));
    expect(hourly?.feedsHash).not.toBe(0);
    expect(daily).toMatchObject({ feedsHash: hourly?.feedsHash, usualEveryMillis: 86_400_000 });
  });

  it.each<[string, Parts, string]>([
    ['not measured', { usual: '', rule: 'unusual("click", "1h") > 1' }, 'declare abuse.usual'],
    ['one argument', { rule: 'unusual("click") > 1' }, 'unusual(event, window) takes 2 arguments, got 1'],
    ['no duration', { rule: 'unusual("click", "often") > 1' }, '"often" is not a duration'],
    ['a computed event', { rule: 'unusual(context.event, "1h") > 1' }, 'needs "event" as quoted text'],
    ['a long name', { rule: `unusual("${'e'.repeat(101)}", "1h") > 1` }, 'names of events up to 100 characters'],
    ['a score as a rule', { rule: 'unusual("click", "1h")' }, 'must be true or false, got number'],
    ['measured all the time', { usual: '{ every: 30s }' }, 'what is usual is measured every 1m to 7d'],
    ['measured hardly ever', { usual: '{ every: 8d }' }, 'what is usual is measured every 1m to 7d'],
    ['a feed of its name', { more: 'feeds: { _usual: { ttl: 1h, fields: { middle: { type: number } } } }' }, '_usual'],
  ])('%s: is refused', (_, parts, reason) => {
    expect(() => compile(parts)).toThrow(reason);
  });
});
