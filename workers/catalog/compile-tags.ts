/** The tags of a checked catalog as the actors see them: rules as functions, durations in milliseconds, who is above whom. */
import type { EventCounter, ValueReading } from '../../decision/catalog.ts';
import type { Rule, RuleScope } from '../../decision/rule.ts';
import type { Tag } from '../../decision/tag.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CatalogFile, TagFile } from './catalog-schema.ts';
import { parseDurationMillis } from './durations.ts';
import { compileNumber } from './rule-function.ts';
import type { Expression } from './rule-syntax.ts';
import { tagDependencies } from './tag-dependencies.ts';

export interface TagParts {
  readonly file: CatalogFile;
  readonly rules: ReadonlyMap<string, Expression>;
  readonly counters: readonly EventCounter[];
  readonly valueReadings: readonly ValueReading[];
  ruleOf(text: string): Rule;
}

export function compileTags(parts: TagParts): Tag[] {
  const declared = Object.entries(parts.file.profile?.tags ?? {});
  const keys = declared.map(([key]) => key);
  const parents = declared.map(([, { parent }]) => (parent === undefined ? -1 : keys.indexOf(parent)));
  return declared.map(([key, tag], index) => {
    const children = parents.flatMap((parent, child) => (parent === index ? [child] : []));
    return compileTag(key, tag, index, parents[index] ?? -1, children, parts);
  });
}

/** Changes when any tag or journey does, or what their rules read means something else; 0 where there are none. */
export function tagsHash({ file }: Pick<TagParts, 'file'>): number {
  const { tags = {}, traits, facts } = file.profile ?? {};
  const journeys = Object.entries(file.journeys ?? {});
  if (Object.keys(tags).length + journeys.length === 0) return 0;
  const followed = journeys.length === 0 ? [tags] : [tags, journeys];
  return murmur3Text(JSON.stringify([...followed, traits, facts, file.timeZone]), 0) || 1;
}

function compileTag(
  key: string,
  tag: TagFile,
  index: number,
  parent: number,
  children: readonly number[],
  { rules, counters, valueReadings, ruleOf }: TagParts,
): Tag {
  const { when, weight = 1, halfLife, holdFor } = tag;
  const expression = when === undefined ? null : (rules.get(when) ?? null);
  const weightExpression = typeof weight === 'number' ? null : (rules.get(weight) ?? null);
  return {
    index,
    key,
    hash: murmur3Text(key, 0),
    family: tag.family,
    parent,
    children,
    when: when === undefined ? null : ruleOf(when),
    dependsOn: tagDependencies(expression, weightExpression, counters, valueReadings).dependsOn,
    weightOf: weightExpression === null ? constant(Number(weight)) : compileNumber(weightExpression),
    halfLifeMillis: halfLife === undefined ? Number.POSITIVE_INFINITY : (parseDurationMillis(halfLife) ?? Infinity),
    holdForMillis: holdFor === undefined ? 0 : (parseDurationMillis(holdFor) ?? 0),
    isFeature: tag.feature ?? false,
    isSuspicion: tag.suspicion ?? false,
  };
}

function constant(value: number): (scope: RuleScope) => number {
  return () => value;
}
