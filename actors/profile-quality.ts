/**
 * How good what is known of one person is: shares, score, what is missing and what is flagged, from the cold record and
 * the person's newest entries in the journal. For the answer to `profile` and for the job that looks at a sample of
 * everybody; worked out when asked and never on the hot path. docs/CLEANING.md says what the figures mean.
 */
import type { Catalog } from '../decision/catalog.ts';
import { type QualityScore, qualityScore } from '../decision/cleaning/quality-score.ts';
import type { Plain } from '../proto/messages.ts';
import type { EntryPosition } from './apply-effect.ts';
import { EFFECT, EVENT, toldAtOf } from './effect.ts';
import { PersonChain } from './person-chain.ts';
import type { ColdRecord } from './ports.ts';
import type { Store } from './store.ts';

/** Entries looked at for the newest event or trait; behind them the person was only decided for. */
const ENTRIES_MAX = 50;

export interface ProfileQuality extends QualityScore {
  readonly newestEpochMillis: number | null;
  readonly missingTraits: readonly string[];
  /** Flags by what they are about: `trait.age`, `contradiction.ageAndBirth`, `event.purchase.revenueMinor`. */
  readonly flags: { readonly [about: string]: Plain };
}

export function qualityOf(
  catalog: Catalog,
  cold: ColdRecord,
  newestEpochMillis: number | null,
  now: number,
): ProfileQuality {
  const declared = catalog.traits.filter(({ isFact }) => !isFact);
  const traits = declared.map(({ name, index }) => ({
    weight: catalog.quality.weights[index] ?? 0,
    isKnown: Object.hasOwn(cold.traits, name),
  }));
  const flags = { ...cold.sections?.quality } as { readonly [about: string]: Plain }; // nothing in it is sealed
  const standing = Object.keys(flags).filter((about) => isStanding(about, catalog));
  const score = qualityScore(
    {
      traits,
      flagged: standing.length,
      contradictionRules: catalog.cleaning?.contradictions.length ?? 0,
      newestEpochMillis,
    },
    catalog.quality.freshnessHalfLifeMillis,
    now,
  );
  const missingTraits = declared
    .filter(({ name, index }) => !Object.hasOwn(cold.traits, name) && (catalog.quality.weights[index] ?? 0) > 0)
    .map(({ name }) => name);
  return { ...score, newestEpochMillis, missingTraits, flags };
}

/** Against what is known now; an event's flag is about something that has passed, a rule may have left the catalog. */
function isStanding(about: string, { cleaning, traitByName }: Catalog): boolean {
  const dot = about.indexOf('.');
  const name = about.slice(dot + 1);
  if (about.startsWith('trait.')) return traitByName.has(name);
  return about.startsWith('contradiction.') && (cleaning?.contradictions.some((rule) => rule.name === name) ?? false);
}

/** When the newest event happened or the newest traits were told; null where the journal's newest entries have none. */
export function newestTold(store: Pick<Store, 'readJournal'>, from: EntryPosition | null): number | null {
  const chain = new PersonChain(store, from);
  for (let i = 0; i < ENTRIES_MAX && chain.step() !== null; i++) {
    const { entry } = chain;
    if (entry.type === EFFECT.identify) return toldAtOf(entry);
    if (entry.type === EFFECT.event) return Math.min(entry.at, entry.getF64(EVENT.eventAt));
  }
  return null;
}

/**
 * Names of traits that were told of the person behind an instant, or null where so much was that it is not looked for:
 * then nothing is known to be older.
 */
export function traitsToldSince(
  store: Pick<Store, 'readJournal'>,
  from: EntryPosition | null,
  atEpochMillis: number,
  namesOf: (entry: PersonChain['entry']) => readonly string[],
): ReadonlySet<string> | null {
  const names = new Set<string>();
  const chain = new PersonChain(store, from);
  for (let i = 0; i < TOLD_SINCE_MAX; i++) {
    if (chain.step() === null || chain.entry.at <= atEpochMillis) return names;
    if (chain.entry.type !== EFFECT.identify || toldAtOf(chain.entry) <= atEpochMillis) continue;
    for (const name of namesOf(chain.entry)) names.add(name);
  }
  return null;
}

const TOLD_SINCE_MAX = 5_000;
