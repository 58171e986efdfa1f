/**
 * Devices as the checker understands them: from the entries of a device's record who used it, counted again by a rule of its
 * own; and whether those it was too many for were told, each as an event of theirs.
 *
 *   entry of a device ─▸ people present ─▸ told when, and only when, they are too many ─▸ event `shared_device` of the person
 *
 * A telling is no promise while workers die: it must come where nothing was in its way since.
 */
import { keyHash } from '../../actors/key-hash.ts';
import { FIELD, RECORD_FLAG, STANDING } from '../../actors/record-layout.ts';
import { deviceKey, personMark } from '../../decision/device.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import type { EventEntry, JournalEntry, JournalledBatch, StandingEntry } from './journal-entry.ts';
import { INVARIANT, type Report } from './model-profile.ts';
import { SIM_DEVICE } from './sim-catalog.ts';
import { SIM_SECRET, type SimNode, type SimWorker } from './sim-node.ts';

const SHARED_DEVICE = murmur3Text('shared_device', 0);
/** A telling takes a message between workers and one turn; workers may be held up. */
const TELLING_MILLIS = 2_500;

/** A person by the words of their hash. */
interface Hashed {
  readonly low: number;
  readonly high: number;
}
interface Use {
  readonly at: number;
  readonly isTold: boolean;
}
interface Device {
  readonly name: string;
  readonly partition: number;
  readonly low: number;
  readonly high: number;
  /** By mark, which the checker works out for everybody it knows. */
  readonly people: ReadonlyMap<number, readonly Hashed[]>;
  log: StandingEntry[];
  seq: number;
  latestAt: number;
  uses: Map<number, Use>;
}
interface Telling {
  readonly device: Device;
  readonly people: readonly Hashed[];
  readonly micros: number;
}

export class ModelDevices {
  readonly #report: Report;
  /** Whether anything is known of a person, by low word. */
  readonly #isKnown: (low: number) => boolean;
  readonly #devices: readonly Device[];
  /** Whoever was told of any device once, by low word, whatever was lost since. */
  readonly #toldEver = new Set<number>();
  #tellings: Telling[] = [];
  entriesChecked = 0;

  constructor(names: readonly string[], people: readonly Hashed[], isKnown: (low: number) => boolean, report: Report) {
    this.#report = report;
    this.#isKnown = isKnown;
    this.#devices = names.map((name) => deviceOf(name, people));
  }

  /** Takes an entry, if it is of a device. */
  appended(entry: JournalEntry, nowMicros: number): boolean {
    const device = this.#devices.find(({ low, high }) => low === entry.low && high === entry.high);
    if (device === undefined) return false;
    if (entry.type !== 'standing') {
      this.#report(INVARIANT.device, `${device.name}: an entry of type ${entry.type}`);
      return true;
    }
    this.entriesChecked++;
    const noted = entry.users.find(({ isSet }) => isSet);
    if (noted === undefined) this.#report(INVARIANT.device, `${device.name}: an entry at ${entry.seq} notes nobody`);
    else this.#check(device, entry, noted, nowMicros);
    device.log.push(entry);
    apply(device, entry, this.#report);
    return true;
  }

  #check(
    device: Device,
    { at: now, seq, users }: StandingEntry,
    noted: StandingEntry['users'][number],
    micros: number,
  ) {
    const { name, uses } = device;
    const people = device.people.get(noted.subject);
    if (people === undefined) {
      this.#report(INVARIANT.device, `${name}: ${noted.subject} at ${seq} is nobody`);
      return;
    }
    const since = now - SIM_DEVICE.perMillis;
    let present = 1;
    for (const [mark, { at }] of uses) if (mark !== noted.subject && at > since) present++;
    const isTold = noted.amount === 1;
    if (isTold !== present > SIM_DEVICE.personsMax)
      this.#report(INVARIANT.device, `${name}: of ${present} people one is told at ${seq}: ${isTold}`);
    for (const { subject, isSet } of users) {
      const use = uses.get(subject);
      if (!isSet && use !== undefined && use.at > since)
        this.#report(INVARIANT.device, `${name}: ${subject}, seen ${now - use.at} ms before, is gone at ${seq}`);
    }
    if (!isTold) return;
    for (const { low } of people) this.#toldEver.add(low);
    // The event that was counted may be lost by now, and with it all that was known of the person: nobody is told.
    if (people.some(({ low }) => this.#isKnown(low))) this.#tellings.push({ device, people, micros });
  }

  /** An event of a person, who is `parts` by now. */
  happened({ eventHash, seq }: EventEntry, parts: readonly { readonly key: string; readonly model: Hashed }[]): void {
    if (eventHash !== SHARED_DEVICE) return;
    const lows = new Set(parts.map(({ model }) => model.low));
    if (![...lows].some((low) => this.#toldEver.has(low)))
      this.#report(INVARIANT.device, `${parts[0]?.key}: told at ${seq} of a device that is not too many's`);
    // The newest: an older one may be of a time in which it was lost.
    const i = this.#tellings.findLastIndex(({ people }) => people.some(({ low }) => lows.has(low)));
    if (i >= 0) this.#tellings.splice(i, 1);
  }

  /** @param calmSinceMicros since when nothing has been in a telling's way */
  checkTold(nowMicros: number, calmSinceMicros: number): void {
    this.#tellings = this.#tellings.filter(({ micros }) => micros > calmSinceMicros);
    const late = this.#tellings.find(({ micros }) => nowMicros - micros > TELLING_MILLIS * 1000);
    if (late !== undefined)
      this.#report(INVARIANT.device, `${late.device.name}: somebody it is too many for was not told`);
  }

  forgetLost(isLost: (batch: JournalledBatch) => boolean): void {
    for (const device of this.#devices) device.log = device.log.filter(({ batch }) => batch.isLanded || !isLost(batch));
  }

  /** The worker's memory was read from disk. */
  readBack(worker: SimWorker, node: SimNode): void {
    for (const device of this.#devices) {
      if (node.owners[device.partition] !== worker.index) continue;
      device.seq = 0;
      device.latestAt = Number.NEGATIVE_INFINITY;
      device.uses = new Map();
      for (const entry of device.log) if (entry.batch.isLanded) apply(device, entry, () => {});
    }
  }

  compare({ index, shard: { runtime } }: SimWorker, node: SimNode): void {
    const { record } = runtime;
    for (const { name, partition, low, high, seq, latestAt, uses } of this.#devices) {
      if (node.owners[partition] !== index) continue;
      const isKnown = runtime.openKnown(partition, low, high);
      const differs = (what: string): void => this.#report(INVARIANT.recovered, `${name} at ${seq}: ${what}`);
      if ((isKnown ? record.stateSeq : 0) !== seq) differs(`memory is at ${isKnown ? record.stateSeq : 0}`);
      if (!isKnown || seq === 0) continue;
      if ((record.getU16(FIELD.flags) & RECORD_FLAG.device) === 0) differs('it counts as a person');
      const kept = new Map<number, Use>();
      for (let i = 0; i < record.momentCount; i++) {
        if (record.momentKind(i) !== STANDING.deviceUser) continue;
        kept.set(record.momentSubject(i), { at: record.momentAt(i), isTold: record.momentAmount(i) === 1 });
      }
      for (const [mark, { at, isTold }] of uses) {
        const use = kept.get(mark);
        // Whose time has passed may be gone from memory before an entry says so.
        if (use === undefined ? at > latestAt - SIM_DEVICE.perMillis : use.at !== at || use.isTold !== isTold)
          differs(`${mark} used it at ${at}, told ${isTold}; memory has ${use?.at}, ${use?.isTold}`);
      }
      for (const mark of kept.keys()) if (!uses.has(mark)) differs(`memory has ${mark}, whom nobody noted`);
    }
  }
}

function deviceOf(name: string, everybody: readonly Hashed[]): Device {
  const key = deviceKey(SIM_DEVICE, name);
  const hash = new Uint32Array(3);
  const bytes = new TextEncoder().encode(key);
  keyHash(bytes, 0, bytes.length, SIM_SECRET.hashSeeds, hash);
  const [low, high] = hash as unknown as [number, number]; // three words
  const people = new Map<number, Hashed[]>();
  for (const person of everybody) {
    const mark = personMark(person.low, person.high, high);
    people.set(mark, [...(people.get(mark) ?? []), person]);
  }
  const empty = { log: [], seq: 0, latestAt: Number.NEGATIVE_INFINITY, uses: new Map<number, Use>() };
  return { name, partition: partitionOfKey(key), low, high, people, ...empty };
}

function apply(device: Device, { seq, at, users }: StandingEntry, report: Report): void {
  if (seq !== device.seq + 1) report(INVARIANT.stateSeq, `${device.name}: an entry leads to ${seq} from ${device.seq}`);
  device.seq = seq;
  device.latestAt = Math.max(device.latestAt, at);
  for (const { subject, isSet, at: since, amount } of users) {
    if (isSet) device.uses.set(subject, { at: since, isTold: amount === 1 });
    else device.uses.delete(subject);
  }
}
