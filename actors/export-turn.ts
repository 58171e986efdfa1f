/**
 * Everything that is kept of a person, as plain data, for the person: the record as `profile` shows it, what that
 * leaves out (quotes, moments, what stands, sections of the cold record), and the whole timeline as far as the journal
 * reaches, a page a request. A page reads a bounded number of entries, so an export of any length delays nobody; it is
 * no snapshot: what happens between two pages is not in it. Not for the hot path.
 */
import { type Catalog, MOMENT } from '../decision/catalog.ts';
import { PURPOSE, PURPOSE_NAMES, type Purpose } from '../decision/consent.ts';
import { featureNamer, type NamedFeature } from '../decision/feature-names.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import type { EntryPosition } from './apply-effect.ts';
import { DECISION, DECISION_FLAG, EFFECT, type Effect, IDENTIFY, REFUSED_SHIFT } from './effect.ts';
import { describeEntry } from './journal-text.ts';
import { newestEntryOf, PersonChain } from './person-chain.ts';
import type { ProfileTurn } from './profile-turn.ts';
import { STANDING } from './record-layout.ts';
import { SealedTrait } from './sealed-trait.ts';

const ENTRIES_A_PAGE = 50;
const CURSOR = /^(\d{1,10})-(\d{1,5})-(\d{1,10})-(\d{1,10})$/;
const STANDING_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(STANDING).map(([name, kind]) => [kind, name]),
);
const MOMENT_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(MOMENT).map(([name, kind]) => [kind, name]));

export class ExportTurn {
  readonly #runtime: ActorRuntime;
  readonly #profileTurn: ProfileTurn;

  constructor(runtime: ActorRuntime, profileTurn: ProfileTurn) {
    this.#runtime = runtime;
    this.#profileTurn = profileTurn;
  }

  /**
   * Fills `out` with one page: `record` on the first, `timeline` (newest first) and `next`, which the request's
   * `context.cursor` takes; null at the end.
   */
  run(request: Request, now: number, out: Record<string, Plain>): Fault | null {
    const runtime = this.#runtime;
    const cursor = request.context?.cursor;
    const from = cursor === undefined || cursor === null ? null : readCursor(cursor);
    if (from === undefined)
      return runtime.fail(FAULT.invalidField, 'export.context.cursor: expected what `next` of the page before said');
    const record: Record<string, Plain> = {};
    const fault = this.#profileTurn.describe(request, now, record);
    if (fault !== null) return fault;
    if (from === null) {
      const { timeline: _short, ...shown } = record;
      out.record = { ...shown, ...this.#rest() };
    }
    const chain = new PersonChain(runtime.store, from ?? newestEntryOf(runtime.record));
    const timeline: Plain[] = [];
    while (timeline.length < ENTRIES_A_PAGE && chain.step() !== null) {
      // Of somebody else a cursor that was made up could tell.
      if (!this.#isOurs(chain.entry))
        return runtime.fail(FAULT.invalidField, 'export.context.cursor: names no entry about this profile');
      timeline.push(this.#row(chain.entry));
    }
    out.timeline = timeline;
    out.next = chain.next === null ? null : cursorOf(chain.next);
    return null;
  }

  #isOurs(entry: Effect): boolean {
    const { record } = this.#runtime;
    return (
      entry.partition === record.partition && entry.hashLow === record.hashLow && entry.hashHigh === record.hashHigh
    );
  }

  /** An entry in full: of an identify the values too, of a decision what was asked and the features it was made of. */
  #row(entry: Effect): Properties {
    const { index, options } = this.#runtime;
    const row = describeEntry(entry, index.catalog, options.coldCodec);
    if (entry.type === EFFECT.identify) {
      const end = IDENTIFY.traits + entry.getU32(IDENTIFY.traitBytes);
      return { ...row, traits: this.#opened(options.coldCodec.decodeProperties(entry.u8.slice(IDENTIFY.traits, end))) };
    }
    if (entry.type !== EFFECT.decision) return row;
    const inputs = decisionInputs(entry, (bytes) => options.coldCodec.decodeProperties(bytes));
    return { ...row, ...inputs, ...this.#used(entry, inputs.context as Properties) }; // a map, written there
  }

  /** Which groups of data the decision was made of, and the purposes that allowed it. */
  #used(entry: Effect, context: Properties): Properties {
    const { catalog } = this.#runtime.index;
    const cold = this.#runtime.readCold();
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
    const groups: Record<string, string[]> = {};
    const purposes = new Set<string>();
    for (let i = 0; i < entry.getU16(DECISION.featureCount); i++) {
      const found = nameOf(entry.featureHash(i));
      if (found === null) continue;
      const purpose = purposeOf(found, catalog);
      // What was refused is there as if it were not known: counts of nothing, the same for everybody.
      if (purpose !== undefined && purpose.index < PURPOSE_NAMES.length && (refused >>> purpose.index) & 1) continue;
      groups[found.group] ??= [];
      if (groups[found.group]?.includes(found.name) === false) groups[found.group]?.push(found.name);
      if (purpose !== undefined) purposes.add(purpose.name);
    }
    const flags = entry.u8[DECISION.flags] as number; // a byte of the entry
    if (flags & DECISION_FLAG.personalPrice) purposes.add('personalisedPrice');
    // Their own hours and buying rhythm, unless that was refused: then everybody's.
    if (flags & DECISION_FLAG.hasSendTime && ((refused >>> PURPOSE.personalisation) & 1) === 0)
      purposes.add('personalisation');
    return { featureGroups: groups, purposes: [...purposes] };
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
    for (const [name, entries] of Object.entries(cold.sections ?? {})) sections[name] = this.#opened(entries);
    return { quotes, standing, moments, sections, keyIds: cold.keyIds ?? [] };
  }

  /** Sealed values as the person told them; the reason where one cannot be opened. */
  #opened(values: { readonly [name: string]: Plain | SealedTrait }): Properties {
    const { options, record } = this.#runtime;
    const shown: Record<string, Plain> = {};
    for (const [name, value] of Object.entries(values)) {
      if (!(value instanceof SealedTrait)) {
        shown[name] = value;
        continue;
      }
      const opened = options.sealer?.open(value, name, record) ?? { problem: 'unavailable' as const };
      shown[name] = 'value' in opened ? opened.value : { unreadable: opened.problem };
    }
    return shown;
  }
}

/** Undefined for what needs none: what the caller asked, the time, and traits the catalog ties to nothing. */
function purposeOf({ group, trait }: NamedFeature, { consent }: Catalog): Purpose | undefined {
  if (group === 'traits' || group === 'facts') return consent.purposes[consent.ofTrait[trait] ?? -1];
  const isPersonal = group === 'tags' || group === 'behaviour' || group === 'unknown';
  return isPersonal ? consent.purposes[PURPOSE.personalisation] : undefined;
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

/** Undefined for what is no cursor of ours. */
function readCursor(cursor: Plain): EntryPosition | undefined {
  const match = typeof cursor === 'string' ? CURSOR.exec(cursor) : null;
  if (match === null) return undefined;
  const [epoch = 0, stream = 0, batch = 0, offset = 0] = match.slice(1).map(Number);
  return epoch === 0 ? undefined : { epoch, stream, batch, offset };
}

function cursorOf({ epoch, stream, batch, offset }: EntryPosition): string {
  return `${epoch}-${stream}-${batch}-${offset}`;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
