/**
 * Dead letters: what the cleaner refused of a person, kept so that it can be told again when the catalog, or the
 * sender, is mended. A letter is two entries of the person's cold section `letters`, changed by effects as anything
 * else: so it is on disk when the refusal is answered, in backups and exports, and gone with the person.
 *
 *     NUMBER        {at, lastAt, times, op, event, door, by, reasons, mark, bytes}
 *     NUMBER.body   {refused: [{field, reason, message}], message}, the request itself, as JSON, sealed under the person's
 *                   own key: a mistake may have put anything into any field, and into its name
 *
 * NUMBER is the `stateSeq` the letter led to, and with the person's hash the letter's id. The same message refused again
 * (its message id, or of an identify its traits) is the same letter. One that was told without a message id is given
 * one, so that it is counted once however often it is told again; an event that is taken in settles its letter in the
 * same batch. Bounded a person and a worker; what finds no room is lost and counted by why.
 */
import { REFUSALS, type RefusalName } from '../decision/cleaning/value-rules.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import type { SectionEntries, SectionName } from './cold-sections.ts';
import { formatDecisionId } from './decision-id.ts';
import type { ColdCodec, ColdRecord } from './ports.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG } from './record-layout.ts';
import { type PersonHash, SealedTrait, type SealProblem, type TraitSealer, usableKey } from './sealed-trait.ts';
import type { Store } from './store.ts';

/** Ways by which a message comes in; positions travel between workers, so append only. */
export const DOORS = ['ws', 'json', 'segment', 'cloudevents', 'redrive', 'import'] as const;
export type Door = (typeof DOORS)[number];

export const LETTER_LIMITS = {
  /** Of one person; the oldest give way. */
  lettersMax: 8,
  /** Sealed bodies of one person together; the oldest give way. */
  bytesMax: 32 * 1024,
  /** One message as JSON; a larger one is not kept. */
  bodyBytesMax: 16 * 1024,
  /** Of one worker's people; what comes then is not kept. */
  totalMax: 10_000,
} as const;

const SECTION = 'letters';
const BODY = '.body';
const ENCODER = new TextEncoder();

export interface Refusal {
  readonly field: string;
  readonly reason: RefusalName;
  /** What was expected; never the value. */
  readonly message: string;
}

/** A letter without what it says. */
export interface Letter {
  readonly at: number;
  readonly lastAt: number;
  readonly times: number;
  readonly op: 'track' | 'identify';
  readonly event?: string;
  readonly door: Door;
  /** Name of the token it came with. */
  readonly by: string;
  readonly reasons: readonly RefusalName[];
  readonly mark: string;
  readonly bytes: number;
  /** It came with `Sec-GPC: 1`, and is told again so. */
  readonly optOut?: true;
}

export interface NumberedLetter extends Letter {
  readonly number: number;
}

/** What is sealed of a letter: why it was refused, and the request as docs/PROTOCOL.md has it. */
export interface LetterBody {
  readonly refused: readonly Refusal[];
  readonly message: Properties;
}

/** Somebody who has letters. */
export interface Addressee extends PersonHash {
  /** Rises with each that is met: where a page of them begins. */
  readonly serial: number;
  readonly count: number;
}

/** Counts since start, see `RuntimeStats`. */
interface LetterStats {
  lettersKept: number;
  lettersSettled: number;
  lettersLostRing: number;
  lettersLostFull: number;
  lettersLostSize: number;
  lettersLostKeys: number;
}

/** What of the actors' runtime is needed here. */
export interface LetterHost {
  readonly record: ProfileRecord;
  readonly stats: LetterStats;
  readonly consent: { readonly hasOptOut: boolean };
  readonly store: Pick<Store, 'getCold'>;
  readonly options: { readonly sealer?: TraitSealer; readonly coldCodec: Pick<ColdCodec, 'decode'> };
  readCold(): ColdRecord;
  storeKey(partition: number, low: number, high: number): Uint8Array;
  hashOf(key: string): PersonHash;
  commitSection(section: SectionName, entries: SectionEntries, now: number): boolean;
}

export class DeadLetters {
  /** By which door, and of whom, the message of this turn came; set by who runs it. */
  door: Door = 'ws';
  by = '';
  /** Whether the last refusal was kept: its answer then waits for the disk. */
  hasKept = false;
  /** Whether everybody who has letters is known: not before the stored records have been looked through. */
  isComplete = false;
  readonly #host: LetterHost;
  readonly #people = new Map<string, Addressee>();
  #serial = 0;
  #total = 0;

  constructor(host: LetterHost) {
    this.#host = host;
  }

  /** Letters of this worker's people. */
  get total(): number {
    return this.#total;
  }

  // ── keeping ────────────────────────────────────────────────────────────────────────────────────

  /** Keeps the bound person's event, which was refused. */
  keepEvent(request: Request, refused: readonly Refusal[], now: number): void {
    const { messageId, event, decisionId, quoteId, properties } = request;
    const at = Number.isNaN(request.atEpochMillis) ? now : request.atEpochMillis;
    const id = messageId === '' ? `letter:${this.#idOf(this.#host.record.stateSeq + 1)}` : messageId;
    const body = {
      op: 'track',
      profile: request.profileKey(),
      event,
      messageId: id,
      atEpochMillis: at,
      ...(decisionId === '' ? {} : { decisionId }),
      ...(quoteId === '' ? {} : { quoteId }),
      ...(properties === null ? {} : { properties }),
    };
    this.#keep({ op: 'track', event, mark: this.#markOf(id) }, { refused, message: body }, now);
  }

  /** Keeps what was refused of the bound person's traits. */
  keepTraits(request: Request, traits: Properties, refused: readonly Refusal[], now: number): void {
    const at = Number.isNaN(request.atEpochMillis) ? now : Math.min(request.atEpochMillis, now);
    const body = { op: 'identify', profile: request.profileKey(), atEpochMillis: at, traits };
    // Told every night, it is one letter all the same.
    const mark = this.#markOf(`identify ${JSON.stringify(traits)}`);
    this.#keep({ op: 'identify', mark }, { refused, message: body }, now);
  }

  #keep(told: Pick<Letter, 'op' | 'event' | 'mark'>, body: LetterBody, now: number): void {
    const { record, stats, options } = this.#host;
    const text = JSON.stringify(body);
    const bytes = ENCODER.encode(text).length;
    if (bytes > LETTER_LIMITS.bodyBytesMax) {
      stats.lettersLostSize++;
      return;
    }
    const cold = this.#host.readCold();
    const kept = lettersOf(cold);
    const before = kept.find(({ mark }) => mark === told.mark);
    if (before === undefined && this.#total >= LETTER_LIMITS.totalMax) {
      stats.lettersLostFull++;
      return;
    }
    const number = before?.number ?? record.stateSeq + 1;
    const keyId = options.sealer === undefined ? null : usableKey(options.sealer, cold);
    const sealed = keyId === null ? null : (options.sealer?.seal(text, bodyName(number), record, keyId) ?? null);
    if (sealed === null) {
      stats.lettersLostKeys++;
      return;
    }
    const isRedriven = this.door === 'redrive' && before !== undefined;
    const letter: Letter = {
      at: before?.at ?? now,
      lastAt: now,
      times: (before?.times ?? 0) + 1,
      reasons: [...new Set(body.refused.map(({ reason }) => reason))],
      ...told,
      door: isRedriven ? before.door : this.door,
      by: isRedriven ? before.by : this.by,
      bytes: sealed.bytes.length,
      ...(this.#host.consent.hasOptOut ? { optOut: true } : {}),
    };
    const entries: Record<string, Plain | SealedTrait> = {};
    const others = kept.filter((one) => one !== before);
    let sum = others.reduce((total, one) => total + one.bytes, letter.bytes);
    while (others.length >= LETTER_LIMITS.lettersMax || sum > LETTER_LIMITS.bytesMax) {
      const oldest = others.shift();
      if (oldest === undefined) break;
      sum -= oldest.bytes;
      dropFrom(entries, oldest.number);
      stats.lettersLostRing++;
    }
    entries[String(number)] = letter as unknown as Properties; // plain values, written here and read by `lettersOf`
    entries[bodyName(number)] = sealed;
    this.hasKept = this.#host.commitSection(SECTION, entries, now);
    if (this.hasKept) stats.lettersKept++;
  }

  /** The bound person's event was taken in: if it was refused before, its letter is settled. */
  settle(messageId: string, now: number): void {
    const { record, stats } = this.#host;
    if ((record.getU16(FIELD.flags) & RECORD_FLAG.letters) === 0) return;
    const mark = this.#markOf(messageId);
    const letter = lettersOf(this.#host.readCold()).find((one) => one.mark === mark);
    if (letter !== undefined && this.drop(letter.number, now)) stats.lettersSettled++;
  }

  /** Takes a letter of the bound person out; false where there is none of this number, or the turn failed. */
  drop(number: number, now: number): boolean {
    if (this.find(number) === null) return false;
    const entries: Record<string, null> = {};
    dropFrom(entries, number);
    return this.#host.commitSection(SECTION, entries, now);
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  /** Of the bound person; null where there is none of this number. */
  find(number: number): NumberedLetter | null {
    return lettersOf(this.#host.readCold()).find((one) => one.number === number) ?? null;
  }

  /** What a letter says; or why that cannot be read. */
  bodyOf(person: PersonHash, number: number): LetterBody | { readonly problem: SealProblem | 'missing' } {
    const { options } = this.#host;
    const name = bodyName(number);
    const sealed = this.#coldOf(person).sections?.[SECTION]?.[name];
    if (!(sealed instanceof SealedTrait)) return { problem: 'missing' };
    const opened = options.sealer?.open(sealed, name, person) ?? { problem: 'unavailable' };
    return 'value' in opened ? (JSON.parse(String(opened.value)) as LetterBody) : opened; // sealed as it was written
  }

  /** People behind `after` (0: from the first), in the order they were met, some at a time. */
  people(after: number, limit: number): Addressee[] {
    const found: Addressee[] = [];
    for (const one of this.#people.values()) {
      if (one.serial <= after) continue;
      if (found.length === limit) break;
      found.push(one);
    }
    return found;
  }

  /** Letters of somebody, bound or not, the oldest first. */
  lettersOf(person: PersonHash): NumberedLetter[] {
    return lettersOf(this.#coldOf(person));
  }

  #coldOf({ partition, hashLow, hashHigh }: PersonHash): ColdRecord {
    const bytes = this.#host.store.getCold(this.#host.storeKey(partition, hashLow, hashHigh));
    return bytes === undefined ? { traits: {} } : this.#host.options.coldCodec.decode(bytes);
  }

  // ── who has letters ────────────────────────────────────────────────────────────────────────────

  /** Looks again at how many letters somebody has: after a change, and when a stored record says that there are some. */
  note(person: PersonHash): void {
    const { partition, hashLow, hashHigh, hashCheck } = person;
    const name = nameOf(person);
    const known = this.#people.get(name);
    const count = this.lettersOf(person).length;
    this.#total += count - (known?.count ?? 0);
    if (count === 0) this.#people.delete(name);
    else
      this.#people.set(name, {
        partition,
        hashLow,
        hashHigh,
        hashCheck,
        serial: known?.serial ?? ++this.#serial,
        count,
      });
  }

  /** After a change of the bound record: costs a look at a flag where there are no letters and were none. */
  noteBound(): void {
    const { record } = this.#host;
    const hasLetters = (record.getU16(FIELD.flags) & RECORD_FLAG.letters) !== 0;
    if (hasLetters || (this.#people.size > 0 && this.#people.has(nameOf(record)))) this.note(record);
  }

  forget(person: PersonHash): void {
    const name = nameOf(person);
    this.#total -= this.#people.get(name)?.count ?? 0;
    this.#people.delete(name);
  }

  forgetAll(): void {
    this.#people.clear();
    this.#total = 0;
    this.isComplete = false;
  }

  #idOf(number: number): string {
    const { partition, hashLow, hashHigh } = this.#host.record;
    return formatDecisionId(partition, hashLow, hashHigh, number);
  }

  /** Keyed, so that it tells nothing of what it was made from. */
  #markOf(text: string): string {
    const { hashHigh, hashLow } = this.#host.hashOf(text);
    return hashHigh.toString(16).padStart(8, '0') + hashLow.toString(16).padStart(8, '0');
  }
}

/** The oldest first: numbers rise. */
function lettersOf(cold: ColdRecord): NumberedLetter[] {
  const letters: NumberedLetter[] = [];
  for (const [name, value] of Object.entries(cold.sections?.[SECTION] ?? {})) {
    if (name.endsWith(BODY)) continue;
    letters.push({ ...(value as unknown as Letter), number: Number(name) }); // written by `#keep` only
  }
  return letters.sort((a, b) => a.number - b.number);
}

function bodyName(number: number): string {
  return `${number}${BODY}`;
}

function dropFrom(entries: Record<string, Plain | SealedTrait>, number: number): void {
  entries[String(number)] = null;
  entries[bodyName(number)] = null;
}

function nameOf({ partition, hashHigh, hashLow }: PersonHash): string {
  return `${partition} ${hashHigh} ${hashLow}`;
}

/** A refusal by its number in `REFUSAL`. */
export function refusalOf(field: string, reason: number, message: string): Refusal {
  return { field, reason: REFUSALS[reason] ?? 'none', message };
}
