/** `profile.tags` of a catalog: what is refused and why, and what a sound one compiles to. */
import { describe, expect, it } from 'vitest';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { CATALOG_LIMITS } from '../../../workers/catalog/catalog-limits.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { catalogText } from '../../actors/test-catalog.ts';

const ACTION = '{ key: a, channels: [app], valueMinor: 9 }';
function problemsOf(tags: string, actions = ACTION): string[] {
  try {
    compileCatalog(catalogText({ actions, traits: 'age: { type: integer }', tags }), 'test.yaml');
    return [];
  } catch (error) {
    if (error instanceof CatalogError) return error.problems.map(({ path, reason }) => `${path}: ${reason}`);
    throw error;
  }
}
const tag = (rest: string): string => `t: { family: social, ${rest} }`;

describe('profile.tags', () => {
  it.each([
    ['a family there is not', 't: { family: luck, when: "true" }', 'profile.tags.t.family:'],
    ['nobody can hold it', 't: { family: social }', 'has neither when nor a tag below it'],
    ['an unknown parent', tag('when: "true", parent: u'), '"u" is not a declared tag'],
    ['its own parent', tag('when: "true", parent: t'), 'leads back to the tag itself'],
    ['a rule that needs a request', tag('when: "context.x == 1"'), 'has no request'],
    ['a rule that reads tags', tag('when: \'tag("t")\''), 'cannot read tags'],
    ['a weight that reads tags', tag("when: 'true', weight: 'tagWeight(\"t\")'"), 'cannot read tags'],
    ['a silence in a sum', tag('when: \'lastSeen("v") + 1.0 > 2\''), 'can only be compared with a number'],
    ['a clock in a sum', tag('when: "now.epochMillis % 2 == 0"'), 'can only be compared with a number'],
    ['a rule that is a number', tag('when: \'count("v", "1d")\''), 'must be true or false'],
    ['a weight that is none', tag('when: "true", weight: "profile.age > 3"'), 'a weight must be a number'],
    ['a weight out of bounds', tag('when: "true", weight: 1000000001'), 'profile.tags.t.weight'],
    ['an unknown trait', tag('when: "profile.agee > 3"'), '"agee" is not a declared trait'],
    ['ten years and more', tag('when: "true", halfLife: 9999w'), 'is longer than ten years'],
    ['no months', tag('when: \'streak("v", "b", 0) > 0\''), 'a whole number from 1 to 24'],
    ['too many months', tag('when: \'streak("v", "b", 25) > 0\''), 'a whole number from 1 to 24'],
    ['a value that is no text', tag('when: \'countWhere("v", "b", 3, "1d") > 0\''), 'needs "value" as quoted text'],
    ['no duration', tag('when: \'distinct("v", "b", "long") > 0\''), '"long" is not a duration'],
  ])('is refused: %s', (_, tags, expected) => {
    const problems = problemsOf(tags);
    expect(problems.join('; ')).toContain(expected);
  });

  it('a circle of three is told of each', () => {
    const problems = problemsOf(
      'a: { family: social, when: "true", parent: b }, b: { family: social, parent: c }, c: { family: social, parent: a }',
    );
    expect(problems.map((problem) => problem.slice(0, 21))).toEqual([
      'profile.tags.a.parent',
      'profile.tags.b.parent',
      'profile.tags.c.parent',
    ]);
  });

  it('as many as the limits say and no more, features apart', () => {
    const many = (count: number, more: string): string =>
      Array.from({ length: count }, (_, i) => `t${i}: { family: social, when: "true"${more} }`).join(', ');
    expect(problemsOf(many(CATALOG_LIMITS.tagFeaturesMax, ', feature: true'))).toEqual([]);
    expect(problemsOf(many(CATALOG_LIMITS.tagFeaturesMax + 1, ', feature: true')).join()).toContain('at most 32 tags');
    expect(problemsOf(many(CATALOG_LIMITS.tagsMax + 1, '')).join()).toContain('must have at most 1000 entries');
  });

  it('an unknown tag in another rule is named with the nearest', () => {
    const actions = `{ key: a, channels: [app], valueMinor: 9, eligibility: 'tag("loyel")' }`;
    expect(problemsOf('loyal: { family: social, when: "true" }', actions)).toEqual([
      'actions[0].eligibility: "loyel" is not a declared tag',
    ]);
  });

  it('what only tags count is no feature; what others count as well is', () => {
    const actions = `{ key: a, channels: [app], valueMinor: 9, eligibility: 'count("view", "7d") > 0' }`;
    const tags = `t: { family: social, when: 'count("view", "7d") > 1 && count("buy", "1d") > 0' }`;
    const catalog = compileCatalog(catalogText({ actions, tags }), 'test.yaml');
    expect(catalog.counters.map(({ event }) => event)).toEqual(['view', 'buy']);
    expect(catalog.featureCounters).toBe(1);
  });

  it('what a rule depends on is found wherever it stands', () => {
    const tags = `t: { family: social, holdFor: 1d, halfLife: 2d,
      when: '!(count("view", "7d") > 1) || (profile.age > 3 ? 5.5 < lastSeen("buy") : streak("buy", "b", 2) > 1)' }`;
    const [spec] = compileCatalog(catalogText({ actions: ACTION, traits: 'age: { type: integer }', tags }), 'x').tags;
    expect(spec).toMatchObject({ holdForMillis: 86_400_000, halfLifeMillis: 2 * 86_400_000 });
    expect(spec?.dependsOn).toMatchObject({
      readsTraits: true,
      windows: [{ counter: 0, least: 2 }],
      silences: [{ counter: 1, seconds: 5.5 }],
      valueReadings: [0],
      readsClock: false,
    });
    expect(spec?.dependsOn.events).toHaveLength(2);
  });
});
