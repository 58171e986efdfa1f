/**
 * What the features of a logged decision were: the log keeps hashes, and the catalog says what can hash so. Named are
 * a group of data, what in it, and the trait whose purpose allowed it. A feature of a text that is no longer known (a
 * trait's earlier value, a trait the catalog no longer has) stays without a name, and is counted as such.
 *
 * For what is shown to a person, never for the hot path: the table of a catalog is made with the first question,
 * some thousand hashes, and kept with the catalog.
 */
import type { Properties } from '../proto/messages.ts';
import { textHash } from '../proto/murmur3.ts';
import type { Catalog } from './catalog.ts';
import { contextFeatures, FEATURE_KIND, featurePlan, mixHash, octaveBuckets, textFeature } from './features.ts';

/** What a feature is made of; `request`, `time` and `feeds` are of nobody. */
export type FeatureGroup =
  | 'request'
  | 'time'
  | 'traits'
  | 'facts'
  | 'tags'
  | 'behaviour'
  | 'feeds'
  | 'context'
  | 'unknown';

export interface NamedFeature {
  readonly group: FeatureGroup;
  readonly name: string;
  /** Index of the trait, or -1. */
  readonly trait: number;
}

export interface FeatureSource {
  readonly slotHash: number;
  readonly skuHash: number;
  readonly context: Properties | null;
  /** The text that a string trait has now, or undefined. */
  textOf(trait: string): string | undefined;
}

const HOURS = 24;
const WEEKDAYS = 7;
const COUNT_BUCKETS = 16;
const UNKNOWN: NamedFeature = { group: 'unknown', name: 'a text no longer known', trait: -1 };
const tables = new WeakMap<Catalog, ReadonlyMap<number, NamedFeature>>();

/** Names of features by hash, for one decision of one person. @returns null for the bias, which everybody has */
export function featureNamer(catalog: Catalog, source: FeatureSource): (hash: number) => NamedFeature | null {
  const own = new Map<number, NamedFeature>();
  own.set(mixHash(FEATURE_KIND.slot, source.slotHash), { group: 'request', name: 'slot', trait: -1 });
  own.set(mixHash(FEATURE_KIND.sku, source.skuHash), { group: 'request', name: 'sku', trait: -1 });
  for (const { spec, hash } of featurePlan(catalog).traits) {
    if (spec.type !== 'string' && spec.type !== 'timeZone') continue;
    const text = source.textOf(spec.name);
    if (text !== undefined) own.set(textFeature(hash, textHash(text)), named(spec.name, spec.index, spec.isFact));
  }
  contextFeatures(catalog, source.context, (hash, key) => own.set(hash, { group: 'context', name: key, trait: -1 }));
  const table = tableOf(catalog);
  const bias = mixHash(FEATURE_KIND.bias, 0);
  return (hash) => (hash === bias ? null : (own.get(hash) ?? table.get(hash) ?? UNKNOWN));
}

function named(name: string, trait: number, isFact: boolean): NamedFeature {
  return { group: isFact ? 'facts' : 'traits', name, trait };
}

function tableOf(catalog: Catalog): ReadonlyMap<number, NamedFeature> {
  const made = tables.get(catalog);
  if (made !== undefined) return made;
  const table = new Map<number, NamedFeature>();
  const time = (kind: number, count: number, name: string): void => {
    for (let i = 0; i < count; i++) table.set(mixHash(kind, i), { group: 'time', name, trait: -1 });
  };
  time(FEATURE_KIND.hour, HOURS, 'hour');
  time(FEATURE_KIND.weekday, WEEKDAYS, 'weekday');
  const { traits, feeds, tags, counters } = featurePlan(catalog);
  for (const { spec, hash, linearHash, valueHashes } of traits) {
    const name = named(spec.name, spec.index, spec.isFact);
    table.set(linearHash, name);
    for (const value of valueHashes) table.set(value, name);
    const isOpen = (spec.type === 'number' || spec.type === 'integer') && (spec.min === null || spec.max === null);
    if (isOpen) for (const bucket of octaveBuckets()) table.set(mixHash(hash, bucket), name);
  }
  for (const { type, name, number, ofText } of feeds) {
    const named: NamedFeature = { group: 'feeds', name, trait: -1 };
    table.set(number.linearHash, named);
    for (const value of [...number.valueHashes, ...ofText.values()]) table.set(value, named);
    if (type === 'number') for (const bucket of octaveBuckets()) table.set(mixHash(number.hash, bucket), named);
  }
  for (const { key, hash } of tags) table.set(hash, { group: 'tags', name: key, trait: -1 });
  for (const { spec, countHash, recencyHash } of counters) {
    const name: NamedFeature = { group: 'behaviour', name: spec.event, trait: -1 };
    for (let bucket = 0; bucket < COUNT_BUCKETS; bucket++) {
      if (countHash !== 0) table.set(mixHash(countHash, bucket), name);
      if (recencyHash !== 0) table.set(mixHash(recencyHash, bucket), name);
    }
    if (spec.property !== null) for (const bucket of octaveBuckets()) table.set(mixHash(countHash, bucket), name);
  }
  tables.set(catalog, table);
  return table;
}
