/**
 * What is still to be sent, on disk: deliveries, those that were given up, and how far the journal has been read. Both go
 * into one transaction, so a transition is in the outbox exactly once however often the process dies; it leaves when the
 * endpoint has taken it, so it is sent at least once.
 *
 *   journal ─▸ take(positions, deliveries) ─▸ [one transaction] ─▸ pending ─▸ settled ─▸ removed, or kept as given up
 *
 * An LMDB environment of its own in the data folder, in no backup: a folder that was restored begins with what happens from
 * then on. Writes are made one after the other. It holds no key and no trait of anybody, only keyed hashes.
 */
import type { JournalPosition } from '../../actors/store.ts';
import { StoreEnvironment } from '../../workers/store/environment.ts';
import { sealedCopy } from '../../workers/store/sealed-value.ts';
import type { PersonAddress } from './transitions.ts';
import type { Told } from './webhook-plan.ts';

export interface Delivery extends PersonAddress {
  /** Place in the order in which it was taken. */
  readonly seq: number;
  /** `webhook-id`: the same at each try. */
  readonly id: string;
  readonly webhook: string;
  readonly told: Told;
  readonly atEpochMillis: number;
  readonly stateSeq: number;
  tries: number;
  /** Not before this instant. */
  nextAtEpochMillis: number;
}

export interface DeadDelivery {
  readonly delivery: Delivery;
  readonly reason: string;
  readonly diedAtEpochMillis: number;
}

interface Head {
  /** Tells this outbox's names from those of one that was there before. */
  readonly createdAtEpochMillis: number;
  readonly nextSeq: number;
  readonly positions: readonly JournalPosition[];
}

const HEAD = 'head';
const PENDING = 'pending:';
const DEAD = 'dead:';
/** Names that are read at once. */
const NAMES_A_READ = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

type Put = readonly [name: string, value: unknown];

export class WebhookOutbox {
  readonly pending = new Map<number, Delivery>();
  readonly dead = new Map<number, DeadDelivery>();
  readonly #environment: StoreEnvironment;
  #head: Head;
  #written: Promise<void> = Promise.resolve();

  /**
   * @param path its folder, made if absent
   * @param begin where to begin reading the journal, where there is no outbox yet
   * @throws StoreError
   */
  static async open(path: string, now: number, begin: () => readonly JournalPosition[]): Promise<WebhookOutbox> {
    const environment = StoreEnvironment.open({ path });
    const head = readJson<Head>(environment, HEAD);
    if (head !== undefined) return new WebhookOutbox(environment, head);
    const made = new WebhookOutbox(environment, { createdAtEpochMillis: now, nextSeq: 1, positions: begin() });
    await made.#write([[HEAD, made.#head]], []);
    return made;
  }

  private constructor(environment: StoreEnvironment, head: Head) {
    this.#environment = environment;
    this.#head = head;
    for (const name of namesFrom(environment, PENDING)) {
      const delivery = readJson<Delivery>(environment, name);
      if (delivery !== undefined) this.pending.set(delivery.seq, delivery);
    }
    for (const name of namesFrom(environment, DEAD)) {
      const dead = readJson<DeadDelivery>(environment, name);
      if (dead !== undefined) this.dead.set(dead.delivery.seq, dead);
    }
  }

  /** Up to where the journal has been read. */
  get positions(): readonly JournalPosition[] {
    return this.#head.positions;
  }
  get createdAtEpochMillis(): number {
    return this.#head.createdAtEpochMillis;
  }

  /**
   * Takes what was read up to `positions`; given up at once where a reason comes along. Resolves to the deliveries when
   * they are on disk, rejects when they are not: then nothing was taken, and the same is to be read again.
   */
  async take(
    positions: readonly JournalPosition[],
    taken: readonly { readonly delivery: Omit<Delivery, 'seq'>; readonly died: string | null }[],
    now: number,
  ): Promise<Delivery[]> {
    let { nextSeq } = this.#head;
    const pending: Delivery[] = [];
    const dead: DeadDelivery[] = [];
    for (const { delivery, died } of taken) {
      const numbered = { ...delivery, seq: nextSeq++ };
      if (died === null) pending.push(numbered);
      else dead.push({ delivery: numbered, reason: died, diedAtEpochMillis: now });
    }
    const head = { ...this.#head, nextSeq, positions };
    const puts: Put[] = [[HEAD, head], ...pending.map(putOf), ...dead.map(putOfDead)];
    await this.#write(puts, []);
    this.#head = head;
    for (const delivery of pending) this.pending.set(delivery.seq, delivery);
    for (const one of dead) this.dead.set(one.delivery.seq, one);
    return pending;
  }

  /** It is to be tried again. Rejects where that could not be written: after a restart it then counts a try less. */
  async keep(delivery: Delivery): Promise<void> {
    await this.#write([putOf(delivery)], []);
  }

  /** Nothing is left to be done for it. Rejects where that could not be written: after a restart it is sent again. */
  async remove(delivery: Delivery): Promise<void> {
    this.pending.delete(delivery.seq);
    await this.#write([], [PENDING + nameOf(delivery.seq)]);
  }

  /** It is given up, and kept to be looked at and sent again. */
  async bury(delivery: Delivery, reason: string, now: number): Promise<void> {
    const dead = { delivery, reason, diedAtEpochMillis: now };
    this.pending.delete(delivery.seq);
    this.dead.set(delivery.seq, dead);
    await this.#write([putOfDead(dead)], [PENDING + nameOf(delivery.seq)]);
  }

  /** Of one that was given up: to be sent again, from its first try on. Resolves when that is on disk. */
  async revive({ delivery }: DeadDelivery, now: number): Promise<Delivery> {
    const revived = { ...delivery, tries: 0, nextAtEpochMillis: now };
    this.dead.delete(delivery.seq);
    this.pending.set(delivery.seq, revived);
    await this.#write([putOf(revived)], [DEAD + nameOf(delivery.seq)]);
    return revived;
  }

  /** One that was given up is forgotten. */
  async forget({ delivery }: DeadDelivery): Promise<void> {
    this.dead.delete(delivery.seq);
    await this.#write([], [DEAD + nameOf(delivery.seq)]);
  }

  /** Resolves when nothing is being written. */
  settled(): Promise<void> {
    return this.#written;
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await this.#written;
    await this.#environment.close();
  }

  #write(puts: readonly Put[], removals: readonly string[]): Promise<void> {
    const written = this.#written.then(() => {
      const values = puts.map(([name, value]) => [
        encoder.encode(name),
        sealedCopy(encoder.encode(JSON.stringify(value))),
      ]) as [Uint8Array, Uint8Array][]; // pairs
      const bytes = values.reduce((sum, [, value]) => sum + value.length, 0);
      return this.#environment.write(values.length + removals.length, bytes, () => {
        for (const [name, value] of values) this.#environment.meta.put(name, value);
        for (const name of removals) this.#environment.meta.remove(encoder.encode(name));
      });
    });
    this.#written = written.catch(() => {});
    return written;
  }
}

/** Names sort as numbers do. */
function nameOf(seq: number): string {
  return String(seq).padStart(16, '0');
}
function putOf(delivery: Delivery): Put {
  return [PENDING + nameOf(delivery.seq), delivery];
}
function putOfDead(dead: DeadDelivery): Put {
  return [DEAD + nameOf(dead.delivery.seq), dead];
}

function readJson<T>(environment: StoreEnvironment, name: string): T | undefined {
  const bytes = environment.meta.get(encoder.encode(name));
  return bytes === undefined ? undefined : (JSON.parse(decoder.decode(bytes)) as T); // written by `#write` only, behind a checksum
}

function* namesFrom(environment: StoreEnvironment, prefix: string): Generator<string> {
  let from: Uint8Array = encoder.encode(prefix);
  // No name has this byte, so it is behind every name with the prefix.
  const end = Buffer.concat([from, Uint8Array.of(0xff)]);
  for (;;) {
    const keys = environment.meta.keys(from, end, NAMES_A_READ);
    for (const key of keys) yield decoder.decode(key);
    const last = keys.at(-1);
    if (last === undefined || keys.length < NAMES_A_READ) return;
    from = Buffer.concat([last, Uint8Array.of(0)]);
  }
}
