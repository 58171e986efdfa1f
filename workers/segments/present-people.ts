/**
 * Everybody in a store as of now, for who counts people beside a node that writes it: the stored records, and over them
 * what the journal says beyond the last checkpoint, applied by the function that recovery uses. So whatever was
 * acknowledged before the pass began is in it; what is written meanwhile may be.
 *
 *   journal behind the checkpoints ─▸ records of those it is about, in memory ─▸ visited
 *   stored records of all others ──────────────────────────────────────────────▸ visited, and let go
 *
 * Reads only, and holds no snapshot. Memory: the records of who had a turn since the checkpoint. Runs in a thread of the
 * job pool or in a command, never in a shard.
 */
import { dirname, join } from 'node:path';
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import type { Effect } from '../../actors/effect.ts';
import type { Ledger, Models, Signer } from '../../actors/ports.ts';
import { NO_HANDLE } from '../../actors/slab.ts';
import { type JournalBatch, type JournalPosition, STORE_KEY_BYTES } from '../../actors/store.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import { USUAL_FEED, usualFeed } from '../../decision/usual-feed.ts';
import { PARTITION_COUNT } from '../../proto/limits.ts';
import { textHash } from '../../proto/murmur3.ts';
import { coldCodec } from '../cold-codec.ts';
import { feedPath, readFeedFile } from '../feed-file.ts';
import { basePositions, isAfter, readBase } from '../recovery.ts';
import { JournalReader } from '../store/journal-reader.ts';
import { nameOfKey, UnwrittenStore } from '../store/unwritten-store.ts';
import { createZoneTable } from '../zone-table.ts';

const HASHES = 2 ** 32;

/** A part of all people, chosen by their keyed hash alone: so many of 2^32 in each partition, from `start` on, around the end. */
export interface HashRange {
  readonly start: number;
  readonly width: number;
}
export const EVERYBODY: HashRange = { start: 0, width: HASHES };

/** Nobody decides, learns or signs here: a use would be a defect, and says so. */
function unused<Port extends object>(name: string): Port {
  const refuse = (): never => {
    throw new RangeError(`${name}: nobody is decided for while people are counted`);
  };
  return new Proxy({}, { get: refuse }) as Port; // has every member, and each refuses
}

export class PresentPeople {
  /** Its `record` is bound to the person visited. */
  readonly runtime: ActorRuntime;
  readonly #reader: JournalReader;
  /** Who has had a turn since the checkpoint, by store key. */
  readonly #recent = new Map<string, { readonly partition: number; readonly low: number; readonly high: number }>();

  /**
   * Opens a store, and closes it behind `use`.
   * @param storePath the store's folder, `<data>/store`; what is usual is read from beside it
   * @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT` at what is damaged
   */
  static async read<Result>(
    storePath: string,
    catalog: Catalog,
    use: (present: PresentPeople) => Result,
  ): Promise<Result> {
    const reader = JournalReader.open(storePath);
    try {
      const present = new PresentPeople(reader, catalog);
      const usual = catalog.usualFeed < 0 ? null : readFeedFile(usualPath(storePath), usualFeed());
      if (usual !== null) present.runtime.feeds.apply(usual);
      return use(present);
    } finally {
      await reader.close();
    }
  }

  private constructor(reader: JournalReader, catalog: Catalog) {
    this.#reader = reader;
    this.runtime = new ActorRuntime(
      {
        store: new ReadStore(reader),
        epoch: 0,
        stream: 0,
        hashSeeds: new Uint32Array(4), // no key is hashed
        seedSecret: new Uint32Array(2),
        zones: createZoneTable(textHash),
        ledger: unused<Ledger>('ledger'),
        models: unused<Models>('models'),
        signer: unused<Signer>('signer'),
        coldCodec,
        memoryBytesMax: Number.POSITIVE_INFINITY,
        idleMillis: Number.POSITIVE_INFINITY,
        ownsPartition: () => true,
      },
      new CatalogIndex(catalog),
    );
    this.#readJournal();
  }

  /** As many as `visit` will be told of, nearly: people come and go meanwhile, and a range holds its share of them. */
  expected({ width }: HashRange): number {
    return Math.round((this.#reader.recordCount() * width) / HASHES);
  }

  /** Calls `visit` for each with `runtime.record` bound. @throws StoreError `CORRUPT` */
  forEach({ start, width }: HashRange, visit: () => void): void {
    const { runtime } = this;
    for (const { partition, low, high } of this.#recent.values()) {
      // Erased since the checkpoint, or another part of all.
      if ((high - start) >>> 0 >= width || runtime.profiles.find(partition, low, high) === NO_HANDLE) continue;
      if (runtime.openKnown(partition, low, high)) visit();
    }
    const end = start + width;
    for (let partition = 0; partition < PARTITION_COUNT; partition++) {
      this.#visitStored(partition, start, Math.min(end, HASHES), visit);
      if (end > HASHES) this.#visitStored(partition, 0, end - HASHES, visit);
    }
  }

  #visitStored(partition: number, from: number, to: number, visit: () => void): void {
    const { runtime } = this;
    for (const bytes of this.#reader.recordKeys(keyAt(partition, from), keyAt(partition, to))) {
      if (this.#recent.has(nameOfKey(bytes))) continue;
      const [, high, low] = partsOf(bytes);
      if (!runtime.openKnown(partition, low, high)) continue;
      visit();
      runtime.record.drop();
    }
  }

  #readJournal(): void {
    const positions = basePositions(this.#reader, readBase(this.#reader));
    const note = (effect: Effect, isForRecord: boolean): void => {
      if (!isForRecord) return;
      const { partition, hashLow: low, hashHigh: high } = effect;
      const name = nameOfKey(this.runtime.storeKey(partition, low, high));
      if (!this.#recent.has(name)) this.#recent.set(name, { partition, low, high });
    };
    this.runtime.recoverFrom(positions, (batch) => isAfter(positions, batch), note);
  }
}

function usualPath(storePath: string): string {
  return feedPath(join(dirname(storePath), 'feeds'), USUAL_FEED);
}

/** The store key at, or in place of, a hash; behind the last hash it is the next partition's first. */
function keyAt(partition: number, high: number): Uint8Array {
  const key = Buffer.alloc(STORE_KEY_BYTES); // tenant 0, as `ActorRuntime.storeKey` has it
  if (high < HASHES) {
    key[2] = partition;
    key.writeUInt32BE(high, 3);
  } else key.writeUInt16BE(partition + 1, 1); // partitions are bytes, and 255 + 1 carries into the tenant's
  return key;
}

/** A store on disk that is read, with what changes in memory over it. */
class ReadStore extends UnwrittenStore {
  readonly #reader: JournalReader;
  readonly #cold = new Map<string, Uint8Array>();
  readonly #removed = new Set<string>();

  constructor(reader: JournalReader) {
    super();
    this.#reader = reader;
  }

  override getRecord(key: Uint8Array): Uint8Array | undefined {
    return this.#removed.has(nameOfKey(key)) ? undefined : this.#reader.getRecord(...partsOf(key));
  }
  override getCold(key: Uint8Array): Uint8Array | undefined {
    const name = nameOfKey(key);
    return this.#cold.get(name) ?? (this.#removed.has(name) ? undefined : this.#reader.getCold(...partsOf(key)));
  }
  override putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#cold.set(nameOfKey(key), bytes);
  }
  override removeProfile(key: Uint8Array): void {
    this.#removed.add(nameOfKey(key));
    this.#cold.delete(nameOfKey(key));
  }
  override readJournal(position: JournalPosition): Uint8Array | undefined {
    return this.#reader.batch(position);
  }
  override scanJournal(from: readonly JournalPosition[], visit: (batch: JournalBatch) => void): void {
    for (const batch of this.#reader.read(from)) visit(batch);
  }
}

/** Partition, upper and lower half of the hash. */
function partsOf(key: Uint8Array): [partition: number, hashHigh: number, hashLow: number] {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return [view.getUint8(2), view.getUint32(3), view.getUint32(7)];
}
