/** `journeys` of a catalog: what is refused and why, and what a sound one compiles to. */
import { describe, expect, it } from 'vitest';
import { LEFT } from '../../../decision/journey.ts';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { CATALOG_LIMITS } from '../../../workers/catalog/catalog-limits.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { catalogText } from '../../actors/test-catalog.ts';

const ACTION = '{ key: a, channels: [app], valueMinor: 9 }';
const TAGS = `up: { family: social }, low: { family: social, parent: up, when: 'count("low", "1d") > profile.age' }`;

function textOf(journeys: string, actions = ACTION, tags = TAGS): string {
  return catalogText({ actions, traits: 'age: { type: integer }', tags, more: `journeys: { ${journeys} }` });
}
function problemsOf(journeys: string, actions = ACTION, tags = TAGS): string[] {
  try {
    compileCatalog(textOf(journeys, actions, tags), 'test.yaml');
    return [];
  } catch (error) {
    if (error instanceof CatalogError) return error.problems.map(({ path, reason }) => `${path}: ${reason}`);
    throw error;
  }
}
const stage = (rest: string): string => `j: { stages: { first: {}, s: { ${rest} } } }`;
const rule = (text: string): string => stage(`when: '${text}'`);

describe('journeys', () => {
  it.each([
    ['no stage', 'j: { stages: {} }', 'journeys.j.stages: must have a stage at least'],
    ['nobody can come to it', stage(''), 'journeys.j.stages.s: has no when, and no timer leads to it'],
    ['a stage called exit', 'j: { stages: { exit: {} } }', 'journeys.j.stages.exit: is where timers lead'],
    [
      'from a stage there is not',
      stage('when: "true", from: [frist]'),
      '"frist" is not a declared stage of this journey',
    ],
    ['from itself', stage('when: "true", from: [s]'), 'is not come to from itself'],
    [
      'from without when',
      'j: { stages: { a: { timer: { after: 1d, to: b } }, b: { from: [a] } } }',
      'has no meaning without',
    ],
    ['a timer to nowhere', stage('when: "true", timer: { after: 1d, to: t }'), '"t" is not a declared stage'],
    ['a timer to itself', stage('when: "true", timer: { after: 1d, to: s }'), 'leads to the stage itself'],
    ['a timer of ten years', stage('when: "true", timer: { after: 9999w, to: exit }'), 'is longer than ten years'],
    ['again without an end', 'j: { again: 1d, stages: { a: {} } }', 'has no meaning: nothing ends this journey'],
    ['an unknown action', stage('when: "true", weights: { actions: { b: 2 } }'), '"b" is not a declared action'],
    ['an unknown channel', stage('when: "true", weights: { channels: { ap: 2 } }'), '"ap" is not a declared channel'],
    ['a negative weight', stage('when: "true", weights: { channels: { app: -1 } }'), 'weights.channels.app'],
    ['a rule that needs a request', rule('context.x == 1'), 'the rule of a stage has no request'],
    ['a rule over stages', rule('stage("j", "first")'), 'of a stage cannot read stages'],
    ['a rule over weights', rule('tagWeight("up") > 1'), 'can read tag(…) and no weights'],
    ['an exit that is a number', 'j: { exit: "1", stages: { a: {} } }', 'must be true or false'],
    ['a silence in a sum', rule('lastSeen("v") + 1.0 > 2'), 'in a stage lastSeen(…) can only be compared'],
  ])('is refused: %s', (_, journeys, expected) => {
    const problems = problemsOf(journeys);
    expect(problems.join('\n')).toContain(expected);
    expect(problems).toHaveLength(1);
  });

  it('so many, and no more', () => {
    const many = (count: number, of: (i: number) => string): string =>
      Array.from({ length: count }, (_, i) => of(i)).join(', ');
    const journeys = (count: number): string => many(count, (i) => `j${i}: { stages: { a: {} } }`);
    const stages = (count: number): string => `j: { stages: { ${many(count, (i) => `s${i}: { when: "true" }`)} } }`;
    const { journeysMax, stagesMax } = CATALOG_LIMITS;
    expect(problemsOf(journeys(journeysMax))).toEqual([]);
    expect(problemsOf(journeys(journeysMax + 1))).toEqual(['journeys: must have at most 16 entries, has 17']);
    expect(problemsOf(stages(stagesMax))).toEqual([]);
    expect(problemsOf(stages(stagesMax + 1))).toEqual(['journeys.j.stages: must have at most 31 entries, has 32']);
  });

  it('other rules are told of an unknown journey or stage with the nearest, and tags that they cannot read any', () => {
    const asking = (text: string): string => `{ key: a, channels: [app], valueMinor: 9, eligibility: '${text}' }`;
    const journeys = 'life: { stages: { aware: {} } }';
    expect(problemsOf(journeys, asking('stage("lief", "aware")'))).toEqual([
      'actions[0].eligibility: "lief" is not a declared journey',
    ]);
    expect(problemsOf(journeys, asking('stage("life", "awere")'))).toEqual([
      'actions[0].eligibility: "awere" is not a stage of the journey "life"',
    ]);
    expect(problemsOf(journeys, asking('stage("life")'))).toEqual([
      'actions[0].eligibility: stage(journey, stage) takes 2 arguments, got 1',
    ]);
    const tags = `t: { family: social, when: 'stage("life", "aware")' }`;
    expect(problemsOf(journeys, ACTION, tags)).toEqual(['profile.tags.t.when: the rule of a tag cannot read stages']);
  });

  it('compiles ways in the order in which they are tried, and what may change each', () => {
    const journeys = `j: { exit: 'count("bye", "1d") > 0', stages: { a: {}, b: { when: 'tag("up")' },
      c: { when: 'count("view", "1d") > 1', from: [a], timer: { after: 2d, to: exit }, weights: { channels: { app: 3 } } } } }`;
    const catalog = compileCatalog(textOf(journeys), 'test.yaml');
    const [journey] = catalog.journeys;
    const low = catalog.tags[1]?.dependsOn.events;
    expect(journey?.stages.map(({ steps }) => steps.map(({ to }) => to))).toEqual([[2, 1], [], []]);
    // A tag above changes with what those below it read.
    expect(journey?.stages[0]?.steps[1]?.dependsOn).toMatchObject({ events: low, readsTraits: true, windows: [] });
    expect(journey?.stages[2]).toMatchObject({ timer: { afterMillis: 172_800_000, to: LEFT }, actionWeights: null });
    expect([...(journey?.stages[2]?.channelWeights ?? [])]).toEqual([3]);
    expect(catalog.featureCounters).toBe(0);
    expect(compileCatalog(catalogText({ actions: ACTION }), 'test.yaml').tagsHash).toBe(0);
  });
});
