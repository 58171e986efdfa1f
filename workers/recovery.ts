/**
 * What a shard needs from disk to begin where the node stopped: checkpoints, ledgers, model snapshot
 * positions; and the arithmetic of which journal entries come after which. A checkpoint of a stream says
 * "every record holds what the journal says before batch n"; entries from n on are applied again.
 *
 *   base epoch  ──[checkpoint 0 … checkpoint W]── journal … crash … next start applies the rest
 *
 * A new epoch becomes the base once all its shards have made a checkpoint; until then the older base and
 * its journal stay in force, so a crash during start-up or soon after loses nothing.
 */

import type { JournalPosition, Store } from '../actors/store.ts';
import type { LedgerShare } from './shared-ledger.ts';
import { LmdbStore } from './store/lmdb-store.ts';
import type { WritersGate } from './store/writers-gate.ts';

export interface Checkpoint {
  /** First batch whose entries may not be in the records. */
  readonly batch: number;
  readonly ledger: LedgerShare;
}

export interface Base {
  readonly epoch: number;
  readonly streams: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What reading checkpoints takes of a store: a reader in another process has it too. */
export type NamedValues = Pick<Store, 'getMeta'>;

function readJson<T>(store: NamedValues, name: string): T | undefined {
  const bytes = store.getMeta(name);
  return bytes === undefined ? undefined : (JSON.parse(decoder.decode(bytes)) as T); // written by `writeJson` only, behind a checksum
}
function writeJson(store: Store, name: string, value: unknown): void {
  store.putMeta(name, encoder.encode(JSON.stringify(value)));
}

export function readBase(store: NamedValues): Base | undefined {
  return readJson<Base>(store, 'base');
}
export function writeBase(store: Store, base: Base): void {
  writeJson(store, 'base', base);
}
export function readCheckpoint(store: NamedValues, epoch: number, stream: number): Checkpoint | undefined {
  return readJson<Checkpoint>(store, `checkpoint:${epoch}:${stream}`);
}
export function writeCheckpoint(store: Store, epoch: number, stream: number, checkpoint: Checkpoint): void {
  writeJson(store, `checkpoint:${epoch}:${stream}`, checkpoint);
}
/** The catalog's text under its version, so that old log entries can be named. */
export function writeCatalogText(store: Store, version: string, text: string): void {
  const name = `catalog:${version}`;
  if (store.getMeta(name) === undefined) store.putMeta(name, encoder.encode(text));
}

/**
 * Makes the epoch of a node that stopped in order the base: each worker has written all its records and a last
 * checkpoint, so the next start need not read its journal. For the main thread, when the workers have closed
 * their stores. Never rejects: not done, it costs the next start that reading.
 */
export async function adoptStopped(storePath: string, base: Base, gate: WritersGate): Promise<void> {
  try {
    // A stream of its own: those of the workers end where their last batch does.
    const store = LmdbStore.open({ path: storePath, epoch: base.epoch, stream: base.streams, gate });
    try {
      writeBase(store, base);
      await store.commit();
    } finally {
      await store.close();
    }
  } catch {
    // The base before stands, with its journal.
  }
}

/** Checkpoints of every stream of the base, as positions in the journal. */
export function basePositions(store: NamedValues, base: Base | undefined): JournalPosition[] {
  const positions: JournalPosition[] = [];
  if (base === undefined) return positions;
  for (let stream = 0; stream < base.streams; stream++) {
    positions.push({ epoch: base.epoch, stream, batch: readCheckpoint(store, base.epoch, stream)?.batch ?? 1 });
  }
  return positions;
}

/**
 * Where `shard` of `shards` begins to read for the records of its own partitions: at the base's positions,
 * but for streams that cannot hold any. With the base's number of workers each stream has the partitions of
 * one shard, and those of the others need not be read for records at all.
 */
export function ownPositions(
  positions: readonly JournalPosition[],
  base: Base | undefined,
  shard: number,
  shards: number,
): readonly JournalPosition[] {
  if (base?.streams !== shards) return positions;
  return positions.map((position) =>
    position.stream === shard ? position : { ...position, batch: Number.POSITIVE_INFINITY },
  );
}

/**
 * The ledger shares of the base that `shard` of `shards` takes over: with the same number of workers its
 * own, with another number every stream still has exactly one heir.
 */
export function inheritedLedger(store: Store, base: Base | undefined, shard: number, shards: number): LedgerShare {
  if (base === undefined) return [];
  const rows: { subjectHash: number; held: number; spent: number }[] = [];
  for (let stream = shard; stream < base.streams; stream += shards) {
    rows.push(...(readCheckpoint(store, base.epoch, stream)?.ledger ?? []));
  }
  return rows;
}

/**
 * Whether an entry comes after the given positions: at or behind its stream's position, or in a stream
 * that is not listed and not older than the oldest listed epoch.
 */
export function isAfter(positions: readonly JournalPosition[], entry: JournalPosition): boolean {
  let oldest = Number.POSITIVE_INFINITY;
  for (const position of positions) {
    if (position.epoch === entry.epoch && position.stream === entry.stream) return entry.batch >= position.batch;
    oldest = Math.min(oldest, position.epoch);
  }
  return positions.length === 0 || entry.epoch >= oldest;
}

/**
 * Where a scan must begin so that it misses nothing that is after either list. A stream that only one of
 * them names may be after the other from its first batch on: a snapshot of the models is often younger
 * than the checkpoints in force.
 */
export function earlierOf(a: readonly JournalPosition[], b: readonly JournalPosition[]): JournalPosition[] {
  if (a.length === 0 || b.length === 0) return [];
  const merged = new Map<string, JournalPosition>();
  for (const [list, other] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const position of list) {
      const name = `${position.epoch}:${position.stream}`;
      const first = { ...position, batch: 1 };
      const earliest = isAfter(other, first) ? first : position;
      const known = merged.get(name);
      if (known === undefined || earliest.batch < known.batch) merged.set(name, earliest);
    }
  }
  return [...merged.values()];
}
