/**
 * The traits and facts that a catalog declares, read from the raw values before anything else is checked, because
 * rules name them. What is wrong with a declaration is told by the shape check and `catalog-check.ts`; here it only
 * makes the trait's type unknown.
 */
import type { TraitSpec, TraitType } from '../../decision/catalog.ts';
import { FACTS, type FactName, isFactName, SEGMENT_NAMES } from '../../decision/facts.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { TRAIT_TYPES } from './catalog-check.ts';
import { listOf, mapOf, numberOf, textOf } from './raw-values.ts';
import type { TraitTable } from './rule-check.ts';

/** Declared traits in file order; null where the type is missing or wrong (the shape check says so). */
export function readTraits(root: unknown): TraitTable {
  const traits = new Map<string, TraitSpec | null>();
  for (const [name, raw] of Object.entries(mapOf(mapOf(mapOf(root).profile).traits))) {
    const { type, min, max, values, unit, ...flags } = mapOf(raw);
    if (typeof type !== 'string' || !TRAIT_TYPES.includes(type)) {
      traits.set(name, null);
      continue;
    }
    traits.set(name, {
      index: traits.size,
      name,
      hash: murmur3Text(name, 0),
      type: type as TraitType, // one of TRAIT_TYPES
      min: numberOf(min),
      max: numberOf(max),
      values: listOf(values).filter((value) => typeof value === 'string'),
      unit: textOf(unit),
      isProtected: flags.protected === true,
      isSensitive: flags.sensitive === true,
      isFact: false,
    });
  }
  for (const name of listOf(mapOf(mapOf(root).profile).facts)) {
    if (typeof name === 'string' && isFactName(name) && !traits.has(name))
      traits.set(name, factTrait(name, traits.size));
  }
  return traits;
}

function factTrait(name: FactName, index: number): TraitSpec {
  const { type, min, max, unit } = FACTS[name];
  const isEnum = type === 'enum';
  return {
    index,
    name,
    hash: murmur3Text(name, 0),
    type,
    min: isEnum ? null : min,
    max: isEnum ? null : max,
    values: isEnum ? SEGMENT_NAMES : [],
    unit,
    isProtected: false,
    isSensitive: false,
    isFact: true,
  };
}
