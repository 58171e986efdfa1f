/**
 * Cleaning as the turns do it: the message's values against the catalog's declaration before anything changes, and
 * afterwards what is to be remembered of values that were kept and flagged. What comes out is what is journalled,
 * counted and learnt, so recovery and replay clean nothing again. Flags lie in the section `quality` of the cold record:
 *
 *     trait.NAME · contradiction.NAME · event.EVENT.PROPERTY  →  {flag, atEpochMillis, count}
 *
 * What is usual of a number is known a worker and in memory: after a start nothing is far until enough has come again.
 */
import type { Catalog, TraitSpec } from '../decision/catalog.ts';
import type { CatalogIndex } from '../decision/catalog-index.ts';
import { CleanedMap, cleanEntry, cleanEvent } from '../decision/cleaning/clean-map.ts';
import { RobustSpread } from '../decision/cleaning/robust-spread.ts';
import { type Cleaning, FLAG, FLAGS, REFUSAL, type ValueRules } from '../decision/cleaning/value-rules.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import { OP, type Plain, type Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import type { SectionEntries, SectionName } from './cold-sections.ts';
import { type Refusal, refusalOf } from './dead-letters.ts';
import type { ColdRecord } from './ports.ts';
import type { ProfileRecord } from './profile-record.ts';
import type { ProfileScope } from './profile-scope.ts';

/** Flags of events kept of one person; of more properties nothing new is remembered. */
const EVENT_FLAGS_MAX = 32;
const SECTION = 'quality';
/** Values of one message that are named when it is refused. */
export const REFUSED_MAX = 32;

/** What of the actors' runtime is needed here. */
export interface CleaningHost {
  readonly record: ProfileRecord;
  readonly scope: ProfileScope;
  readonly index: CatalogIndex;
  readonly defaultZone: number;
  readonly options: { readonly zones: ZoneTable };
  readCold(): ColdRecord;
  commitSection(section: SectionName, entries: SectionEntries, now: number): boolean;
}

export class Cleaner {
  readonly map = new CleanedMap();
  /** Why the last message was refused, one of `REFUSAL`; means something right behind a fault of that kind. */
  refusal = 0;
  /** Values of the last message that were kept and flagged, contradictions that it begins included. */
  flagged = 0;
  /** Whether some value of the last message became another. */
  hasChanged = false;
  readonly #runtime: CleaningHost;
  /** By event and property, or trait. */
  readonly #spreads = new Map<string, RobustSpread>();

  constructor(runtime: CleaningHost) {
    this.#runtime = runtime;
  }

  /** Cleans traits; false where one is refused, else `map.values` are to be taken. A null takes a trait back. */
  cleanTraits(cleaning: Cleaning, traits: Properties): boolean {
    const { map } = this;
    const { options, index, defaultZone } = this.#runtime;
    map.begin(traits);
    this.flagged = 0;
    this.hasChanged = false;
    for (const rules of cleaning.majorTraits.values()) {
      if (!cleanEntry(map, rules, 'identify.traits', options.zones, defaultZone)) return this.#refused();
    }
    for (const name of Object.keys(traits)) {
      const rules = rulesOf(cleaning, index.catalog.traitByName.get(name));
      if (rules === null || rules.major !== null) continue;
      if (!cleanEntry(map, rules, 'identify.traits', options.zones, defaultZone)) return this.#refused();
    }
    this.hasChanged = map.values !== traits;
    return true;
  }

  /** Flags what is far from usual in the traits that were just cleaned and will be taken. */
  weighTraits(cleaning: Cleaning): void {
    const { index } = this.#runtime;
    this.#lookForOutliers('', (name) => rulesOf(cleaning, index.catalog.traitByName.get(name)));
  }

  #refused(): false {
    this.refusal = this.map.refusal;
    return false;
  }

  /** Gives the bound person the declared value of what is not told and not known. */
  addFallbacks(cleaning: Cleaning): void {
    const { record, index } = this.#runtime;
    for (const { name, fallback } of cleaning.traitsWithFallback) {
      const spec = index.catalog.traitByName.get(name);
      if (spec === undefined || fallback === undefined) continue;
      const told = this.map.get(name);
      if (told === null || (told === undefined && Number.isNaN(record.trait(spec.index)))) this.map.set(name, fallback);
    }
  }

  /** Remembers what the traits that were just taken leave behind: flags that begin, flags that end. */
  afterTraits(cleaning: Cleaning, told: Properties, now: number): void {
    const runtime = this.#runtime;
    const before = runtime.readCold().sections?.[SECTION] ?? {};
    const changes: Record<string, Plain> = {};
    for (const name of Object.keys(told)) {
      const key = `trait.${name}`;
      const at = this.map.flaggedNames.indexOf(name);
      if (at >= 0) changes[key] = { flag: FLAGS[this.map.flags[at] ?? 0] ?? '', atEpochMillis: now };
      else if (Object.hasOwn(before, key)) changes[key] = null;
    }
    if (cleaning.contradictions.length > 0) {
      const { scope, record, index, defaultZone } = runtime;
      scope.bind(record, index, null, now, defaultZone);
      for (const { name, rule } of cleaning.contradictions) {
        const key = `contradiction.${name}`;
        const isKnown = Object.hasOwn(before, key);
        if (rule.evaluate(scope) === isKnown) continue;
        changes[key] = isKnown ? null : { flag: FLAGS[FLAG.contradiction] ?? '', atEpochMillis: now };
        if (!isKnown) this.flagged++;
      }
    }
    if (Object.keys(changes).length > 0) runtime.commitSection(SECTION, changes, now);
  }

  /** Cleans the event's properties in place of the request's; false where the event is refused. */
  cleanEvent(cleaning: Cleaning, request: Request): boolean {
    const rules = cleaning.events.get(request.event);
    const { map } = this;
    this.flagged = 0;
    this.hasChanged = false;
    if (rules === undefined) {
      map.begin(null);
      return true;
    }
    const { options, defaultZone } = this.#runtime;
    if (!cleanEvent(map, rules, request.properties, options.zones, defaultZone)) return this.#refused();
    this.hasChanged = map.values !== request.properties;
    if (this.hasChanged) {
      request.properties = map.values;
      // The frame still holds what came: what is journalled is packed anew.
      request.propertiesStart = 0;
      request.propertiesEnd = 0;
    }
    this.#lookForOutliers(rules.name, (name) => rules.byName.get(name) ?? null);
    return true;
  }

  /** Every property for which the event is refused; those that are named twice, as amounts are, by one name. */
  refusalsOf(cleaning: Cleaning, request: Request): Refusal[] {
    const { options, defaultZone } = this.#runtime;
    const { map } = this;
    const left: Record<string, Plain> = { ...request.properties };
    const refused: Refusal[] = [];
    let rules = cleaning.events.get(request.event);
    while (rules !== undefined && !cleanEvent(map, rules, left, options.zones, defaultZone)) {
      const { name } = map;
      refused.push(refusalOf(name, map.refusal, map.message));
      if (refused.length === REFUSED_MAX) break;
      // Looked at again without it, and without asking for it.
      delete left[name];
      const properties = rules.properties.filter((one) => one.name !== name && one.major?.name !== name);
      rules = { ...rules, properties };
    }
    return refused;
  }

  /** Remembers what of the event that was just taken in was flagged. */
  afterEvent(event: string, now: number): void {
    const { flaggedNames, flags } = this.map;
    if (flags.length === 0) return;
    const before = this.#runtime.readCold().sections?.[SECTION] ?? {};
    let room = EVENT_FLAGS_MAX - Object.keys(before).filter((key) => key.startsWith('event.')).length;
    const changes: Record<string, Plain> = {};
    for (const [i, name] of flaggedNames.entries()) {
      const key = `event.${event}.${name}`;
      const known = before[key] as { readonly count?: number } | undefined; // written here only
      if (known === undefined && room-- <= 0) continue;
      const flag = FLAGS[flags[i] ?? 0] ?? '';
      changes[key] = { flag, atEpochMillis: now, count: (known?.count ?? 0) + 1 };
    }
    if (Object.keys(changes).length > 0) this.#runtime.commitSection(SECTION, changes, now);
  }

  /** A fault about a value that has no rules of its own. */
  note(refusal: number): void {
    this.refusal = refusal;
  }

  #lookForOutliers(event: string, rulesFor: (name: string) => ValueRules | null): void {
    const { map } = this;
    const { values } = map;
    for (const name of Object.keys(values ?? {})) {
      const rules = rulesFor(name);
      const value = values?.[name];
      if (rules === null || rules.deviationsMax === 0 || typeof value !== 'number') continue;
      const key = `${event}\n${name}`;
      let spread = this.#spreads.get(key);
      if (spread === undefined) {
        spread = new RobustSpread();
        this.#spreads.set(key, spread);
      }
      if (spread.isFar(value, rules.deviationsMax) && !map.flaggedNames.includes(name)) map.flag(name, FLAG.outlier);
      spread.add(value);
    }
    this.flagged += map.flags.length;
  }
}

function rulesOf(cleaning: Cleaning, spec: TraitSpec | undefined): ValueRules | null {
  return spec === undefined ? null : (cleaning.traits[spec.index] ?? null);
}

/** The class of a refusal of a trait that has no more than its type. */
export function refusalOfTrait(spec: TraitSpec | undefined, value: Plain | undefined): number {
  if (spec === undefined || spec.isFact) return REFUSAL.undeclared;
  if (spec.type === 'enum' && typeof value === 'string') return REFUSAL.value;
  if (spec.type === 'timeZone' && typeof value === 'string') return REFUSAL.value;
  if (spec.type === 'string' && typeof value === 'string') return REFUSAL.size;
  return typeof value === 'number' && Number.isFinite(value) ? REFUSAL.range : REFUSAL.type;
}

/** Share of what the catalog declares of a message that it tells, 0 to 1; NaN where nothing is declared of it. */
export function toldShare({ cleaning, traits }: Catalog, request: Request): number {
  const isEvent = request.op === OP.track;
  const declared = isEvent ? cleaning?.events.get(request.event)?.properties : traits;
  const values = isEvent ? request.properties : request.traits;
  if (declared === undefined) return Number.NaN;
  let told = 0;
  let count = 0;
  for (const one of declared) {
    if ('isFact' in one && one.isFact) continue;
    count++;
    const value = values?.[one.name];
    const inMajor = 'major' in one && one.major !== null ? values?.[one.major.name] : null;
    if ((value ?? inMajor ?? null) !== null) told++;
  }
  return count === 0 ? Number.NaN : told / count;
}
