/**
 * Everything that is kept of a person, as plain data, for the person: the record as `profile` shows it, what that
 * leaves out (quotes, moments, what stands, sections of the cold record), and the whole timeline as far as the journal
 * reaches, a page a request; then the same of each key that was joined with the person, up to its joining.
 *
 *   cursor:  none ─▸ POSITION … ─▸ KEY ─▸ KEY:POSITION … ─▸ the next KEY in order of their names … ─▸ null
 *
 * Keys and journals of other shards are read from the store, where they are since before the joining was: nobody is asked.
 * A page reads a bounded number of entries, so an export of any length delays nobody, and a cursor is all that is kept
 * of it; it is no snapshot: what happens between two pages is not in it. Not for the hot path.
 */
import { type Action, type Catalog, MOMENT } from '../decision/catalog.ts';
import type { CatalogIndex } from '../decision/catalog-index.ts';
import { PURPOSE, PURPOSE_NAMES, type Purpose } from '../decision/consent.ts';
import { featureNamer, type NamedFeature } from '../decision/feature-names.ts';
import { WANT } from '../decision/pipeline.ts';
import type { Rule, RuleReading } from '../decision/rule.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import type { EntryPosition } from './apply-effect.ts';
import { DECISION, DECISION_FLAG, EFFECT, type Effect, IDENTIFY, REFUSED_SHIFT, REQUEST_FLAG } from './effect.ts';
import { describeKey, type JoinedKey, joinedHash, joinedKeys, joinedName } from './identity.ts';
import { describeEntry } from './journal-text.ts';
import { newestEntryOf, newestEntryOfStored, PersonChain, positionOf, positionText } from './person-chain.ts';
import type { ColdRecord } from './ports.ts';
import type { ProfileTurn } from './profile-turn.ts';
import { migrateRecord, STANDING } from './record-layout.ts';
import { type PersonHash, SealedTrait } from './sealed-trait.ts';

const ENTRIES_A_PAGE = 50;
const KEY_CURSOR = /^([0-9a-f]{2}-[0-9a-f]{16})(?::(.+))?$/;
const STANDING_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(STANDING).map(([name, kind]) => [kind, name]),
);
const MOMENT_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(MOMENT).map(([name, kind]) => [kind, name]));

/** Where a page begins: of the person's own entries (`key` null) or of those under a joined key; at the newest without `from`. */
interface Cursor {
  readonly key: string | null;
  readonly from: EntryPosition | null;
}
const BEGINNING: Cursor = { key: null, from: null };

/** Whose entries a page is of. `name` is null for the key that the person is found under. */
interface KeyOwner {
  readonly person: PersonHash;
  readonly name: string | null;
  readonly cold: ColdRecord;
}

export class ExportTurn {
  readonly #runtime: ActorRuntime;
  readonly #profileTurn: ProfileTurn;

  constructor(runtime: ActorRuntime, profileTurn: ProfileTurn) {
    this.#runtime = runtime;
    this.#profileTurn = profileTurn;
  }

  /**
   * Fills `out` with one page: `record` on the first, `key` on the first of each joined key, `timeline` (newest first, all
   * of one key) and `next`, which the request's `context.cursor` takes; null at the end.
   */
  run(request: Request, now: number, out: Record<string, Plain>): Fault | null {
    const runtime = this.#runtime;
    const told = request.context?.cursor;
    const cursor = told === undefined || told === null ? BEGINNING : readCursor(told);
    if (cursor === null)
      return runtime.fail(FAULT.invalidField, 'export.context.cursor: expected what `next` of the page before said');
    const record: Record<string, Plain> = {};
    const fault = this.#profileTurn.describe(request, now, record);
    if (fault !== null) return fault;
    const keys = joinedKeys(runtime.readCold());
    if (cursor.key === null) {
      if (cursor.from === null) {
        const { timeline: _short, ...shown } = record;
        out.record = { ...shown, ...this.#rest() };
      }
      const from = cursor.from ?? newestEntryOf(runtime.record);
      return this.#page({ person: runtime.record, name: null, cold: runtime.readCold() }, from, keys, out);
    }
    // One that has been taken out since the page before is not this person's any more.
    const name = keys.has(cursor.key) ? cursor.key : this.#keyAfter(cursor.key, keys);
    const key = keys.get(name ?? '');
    if (name === null || key === undefined) {
      out.timeline = [];
      out.next = null;
      return null;
    }
    const isBegun = name === cursor.key && cursor.from !== null;
    const person = joinedHash(name, key.check);
    const owner = { person, name, cold: this.#coldOf(person) };
    if (!isBegun) out.key = this.#keptUnder(owner, key);
    return this.#page(owner, isBegun ? cursor.from : this.#headOf(person, key), keys, out);
  }

  /** Entries of one key from there on back, and where the next page begins. */
  #page(
    owner: KeyOwner,
    from: EntryPosition | null,
    keys: ReadonlyMap<string, JoinedKey>,
    out: Record<string, Plain>,
  ): Fault | null {
    const chain = new PersonChain(this.#runtime.store, from);
    const timeline: Plain[] = [];
    while (timeline.length < ENTRIES_A_PAGE && chain.step() !== null) {
      // Of somebody else a cursor that was made up could tell.
      if (!isAbout(chain.entry, owner.person))
        return this.#runtime.fail(FAULT.invalidField, 'export.context.cursor: names no entry about this profile');
      const row = this.#row(chain.entry, owner);
      timeline.push(owner.name === null ? row : { ...row, under: owner.name });
    }
    out.timeline = timeline;
    if (chain.next === null) out.next = this.#keyAfter(owner.name ?? '', keys);
    else out.next = `${owner.name === null ? '' : `${owner.name}:`}${positionText(chain.next)}`;
    return null;
  }

  /** The first behind `name` in order of names; null where there is none. Stable, whatever comes or goes between pages. */
  #keyAfter(name: string, keys: ReadonlyMap<string, JoinedKey>): string | null {
    const own = joinedName(this.#runtime.record);
    let first: string | null = null;
    for (const other of keys.keys()) if (other > name && other !== own && other < (first ?? '~')) first = other;
    return first;
  }

  #coldOf({ partition, hashLow, hashHigh }: PersonHash): ColdRecord {
    const { store, options } = this.#runtime;
    const bytes = store.getCold(this.#runtime.storeKey(partition, hashLow, hashHigh));
    return bytes === undefined ? { traits: {} } : options.coldCodec.decode(bytes);
  }

  /** The newest entry of a joined key: its departure. Of one that was joined by an older build, as its record has it. */
  #headOf({ partition, hashLow, hashHigh }: PersonHash, { head }: JoinedKey): EntryPosition | null {
    if (head !== undefined) return positionOf(head);
    const stored = this.#runtime.store.getRecord(this.#runtime.storeKey(partition, hashLow, hashHigh));
    return stored === undefined ? null : newestEntryOfStored(migrateRecord(stored));
  }

  /** What lies under a joined key itself: as it was when it was joined, and the dead letters that are left there. */
  #keptUnder({ person, name, cold }: KeyOwner, key: JoinedKey): Properties {
    const sections: Record<string, Plain> = {};
    for (const [section, entries] of Object.entries(cold.sections ?? {}))
      if (section !== 'ids') sections[section] = this.#opened(entries, person);
    const traits = this.#opened(cold.traits, person);
    return { ...describeKey(name ?? '', key), traits, sections, keyIds: cold.keyIds ?? [] };
  }

  /** An entry in full: of an identify the values too, of a decision what was asked and the features it was made of. */
  #row(entry: Effect, { person, cold }: KeyOwner): Properties {
    const { index, options } = this.#runtime;
    const row = describeEntry(entry, index.catalog, options.coldCodec);
    if (entry.type === EFFECT.identify) {
      const end = IDENTIFY.traits + entry.getU32(IDENTIFY.traitBytes);
      const traits = options.coldCodec.decodeProperties(entry.u8.slice(IDENTIFY.traits, end));
      return { ...row, traits: this.#opened(traits, person) };
    }
    if (entry.type !== EFFECT.decision) return row;
    const inputs = decisionInputs(entry, (bytes) => options.coldCodec.decodeProperties(bytes));
    return { ...row, ...inputs, ...this.#used(entry, inputs.context as Properties, cold) }; // a map, written there
  }

  /** Which groups of data the decision was made of, by features and by rules, and the purposes that allowed it. */
  #used(entry: Effect, context: Properties, cold: ColdRecord): Properties {
    const { catalog } = this.#runtime.index;
    const nameOf = featureNamer(catalog, {
      slotHash: entry.getU32(DECISION.slotHash),
      skuHash: entry.getU32(DECISION.skuHash),
      context,
      textOf: (trait) => {
        const value = cold.traits[trait];
        return typeof value === 'string' ? value : undefined;
      },
    });
    const refused = entry.getU32(DECISION.requestFlags) >>> REFUSED_SHIFT;
    const purposes = new Set<string>();
    const note = (groups: Record<string, string[]>, found: NamedFeature | RuleReading): void => {
      const purpose = purposeOf(found, catalog);
      // What was refused is there as if it were not known: counts of nothing, the same for everybody.
      if (purpose !== undefined && purpose.index < PURPOSE_NAMES.length && (refused >>> purpose.index) & 1) return;
      groups[found.group] ??= [];
      if (groups[found.group]?.includes(found.name) === false) groups[found.group]?.push(found.name);
      if (purpose !== undefined) purposes.add(purpose.name);
    };
    const groups: Record<string, string[]> = {};
    for (let i = 0; i < entry.getU16(DECISION.featureCount); i++) {
      const found = nameOf(entry.featureHash(i));
      if (found !== null) note(groups, found);
    }
    const readings = rulesAsked(entry, this.#runtime.index);
    const ruleGroups: Record<string, string[]> = {};
    for (const reading of readings ?? []) note(ruleGroups, reading);
    const flags = entry.u8[DECISION.flags] as number; // a byte of the entry
    if (flags & DECISION_FLAG.personalPrice) purposes.add('personalisedPrice');
    // Their own hours and buying rhythm, unless that was refused: then everybody's.
    if (flags & DECISION_FLAG.hasSendTime && ((refused >>> PURPOSE.personalisation) & 1) === 0)
      purposes.add('personalisation');
    return { featureGroups: groups, ruleGroups: readings === null ? null : ruleGroups, purposes: [...purposes] };
  }

  /** What `profile` leaves out. */
  #rest(): Record<string, Plain> {
    const { record, index } = this.#runtime;
    const { catalog } = index;
    const quotes: Plain[] = [];
    for (let i = 0; i < record.quoteCount; i++) {
      const skuHash = record.quoteSku(i);
      quotes.push({
        sku: catalog.productByHash.get(skuHash)?.sku ?? hex(skuHash),
        priceMinor: record.quotePriceMinor(i),
        expiresAtEpochMillis: record.quoteExpiresAt(i),
        personal: record.quoteIsPersonal(i),
      });
    }
    const standing: Plain[] = [];
    const moments: Plain[] = [];
    for (let i = 0; i < record.momentCount; i++) {
      const kind = record.momentKind(i);
      const subject = record.momentSubject(i);
      const row = {
        subject: catalog.actionByHash.get(subject)?.key ?? catalog.channelByHash.get(subject)?.key ?? hex(subject),
        atEpochMillis: record.momentAt(i),
        amount: record.momentAmount(i),
      };
      const stands = STANDING_NAMES.get(kind);
      if (stands !== undefined) standing.push({ kind: stands, ...row });
      else moments.push({ kind: MOMENT_NAMES.get(kind) ?? `kind ${kind}`, ...row, times: record.momentTimes(i) });
    }
    const sections: Record<string, Plain> = {};
    const cold = this.#runtime.readCold();
    for (const [name, entries] of Object.entries(cold.sections ?? {})) sections[name] = this.#opened(entries, record);
    return { quotes, standing, moments, sections, keyIds: cold.keyIds ?? [] };
  }

  /** Sealed values as the person told them; the reason where one cannot be opened. */
  #opened(values: { readonly [name: string]: Plain | SealedTrait }, person: PersonHash): Properties {
    const { options } = this.#runtime;
    const shown: Record<string, Plain> = {};
    for (const [name, value] of Object.entries(values)) {
      if (!(value instanceof SealedTrait)) {
        shown[name] = value;
        continue;
      }
      const opened = options.sealer?.open(value, name, person) ?? { problem: 'unavailable' as const };
      shown[name] = 'value' in opened ? opened.value : { unreadable: opened.problem };
    }
    return shown;
  }
}

/** Undefined for what needs none: what the caller asked, the time, and traits the catalog ties to nothing. */
function purposeOf({ group, trait }: NamedFeature | RuleReading, { consent }: Catalog): Purpose | undefined {
  if (group === 'traits' || group === 'facts') return consent.purposes[consent.ofTrait[trait] ?? -1];
  const isPersonal = ['tags', 'stages', 'behaviour', 'unknown'].includes(group);
  return isPersonal ? consent.purposes[PURPOSE.personalisation] : undefined;
}

/**
 * What the rules asked of a decision read: whether its actions may be offered, how they weigh, what its price is for one
 * person. Null where another catalog than that of the decision is in force.
 */
function rulesAsked(entry: Effect, index: CatalogIndex): Iterable<RuleReading> | null {
  const { catalog } = index;
  if (entry.getU32(DECISION.catalogVersion) !== catalog.versionHash) return null;
  const slot = catalog.slots.findIndex(({ hash }) => hash === entry.getU32(DECISION.slotHash));
  if ((entry.u8[DECISION.flags] as number) & DECISION_FLAG.heldOut) return [];
  const flags = entry.getU32(DECISION.requestFlags);
  const subset = entry.subsetStart() >>> 2;
  const rules = new Set<Rule>();
  for (const a of index.candidates(slot)) {
    const { eligibility, contextWeights } = catalog.actions[a] as Action; // one of its own
    const isAsked =
      (flags & REQUEST_FLAG.hasSubset) === 0 || ((entry.u32[subset + (a >>> 5)] as number) >>> (a & 31)) & 1;
    if (!isAsked) continue;
    if (eligibility !== null) rules.add(eligibility);
    for (const { when } of contextWeights) rules.add(when);
  }
  const product = catalog.productByHash.get(entry.getU32(DECISION.skuHash));
  if (flags & WANT.price) for (const { when } of product?.personalDiscounts ?? []) rules.add(when);
  return [...rules].flatMap(({ reads }) => reads);
}

/** What a decision was made of, as its entry has it. Features are told apart by hash: the log keeps no names. */
export function decisionInputs(entry: Effect, decode: (bytes: Uint8Array) => Properties): Properties {
  const count = entry.getU16(DECISION.featureCount);
  const features = Array.from({ length: count }, (_, i) => ({
    feature: hex(entry.featureHash(i)),
    value: entry.featureValue(i),
  }));
  const start = entry.contextStart();
  const bytes = entry.getU32(DECISION.contextBytes);
  return { features, context: bytes === 0 ? {} : decode(entry.u8.slice(start, start + bytes)) };
}

/** Null for what is no cursor of ours. */
function readCursor(told: Plain): Cursor | null {
  const match = typeof told === 'string' ? KEY_CURSOR.exec(told) : null;
  const [, key = null, text = match === null ? told : undefined] = match ?? [];
  if (key !== null && text === undefined) return { key, from: null };
  const from = typeof text === 'string' ? positionOf(text) : null;
  return from === null ? null : { key, from };
}

function isAbout(entry: Effect, { partition, hashLow, hashHigh }: PersonHash): boolean {
  return entry.partition === partition && entry.hashLow === hashLow && entry.hashHigh === hashHigh;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
