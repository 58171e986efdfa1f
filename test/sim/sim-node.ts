/**
 * A whole node on one thread: workers made of the production shard, sessions and links, on the simulated disk,
 * network and time. It does what `server/node.ts` does with threads: starts and links the workers, replaces one
 * that dies, makes the epoch the base when all have a checkpoint, keeps a snapshot of the models, trims the
 * journal, stops in order, and starts again with another number of workers.
 */
import { textHash } from '../../proto/murmur3.ts';
import { ANONYMOUS, DEFAULT_TENANT } from '../../server/access/principal.ts';
import { Session, SessionHost } from '../../server/session.ts';
import { ShardLink } from '../../server/shard-link.ts';
import { ownersOf } from '../../server/shard-map.ts';
import { peersOf } from '../../server/shard-peers.ts';
import type { ModelSnapshot } from '../../workers/jobs/model-snapshot-file.ts';
import { batchAfterPublished, createLearningMemory, type LearningMemory } from '../../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../../workers/metrics-layout.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, type PriceMemory, PriceTable } from '../../workers/price-table.ts';
import { writeBase } from '../../workers/recovery.ts';
import { Shard } from '../../workers/shard.ts';
import { createLedgerMemory, type LedgerMemory, SharedLedger } from '../../workers/shared-ledger.ts';
import { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { SIM_CATALOG, SIM_CATALOG_TEXT, SIM_SUBJECTS } from './sim-catalog.ts';
import type { SimDisk } from './sim-disk.ts';
import { type SimConnection, type SimListener, type SimNetwork, SimPort } from './sim-network.ts';
import { EVENT_KIND, NOBODY, type SimRandom, type SimTime } from './sim-time.ts';
import { WatchedStore } from './watched-store.ts';

export const SIM_SECRET = deriveSecret(new Uint8Array(32).fill(7));
/** One table for all worlds: filling a zone takes milliseconds. */
const ZONES = createZoneTable(textHash);
/** A profile nobody asks for leaves memory after this long, so that coming back is common. */
const IDLE_MILLIS = 1_500;
const MEMORY_BYTES_MAX = 64 * 1024 * 1024;
const NO_LIMITS = { perToken: null, perAddress: null };
const NO_TRACES = { isEnabled: false, sampleRatio: 0, slowMicros: 1_000_000 };
/** Owners below are clients. */
const FIRST_WORKER_OWNER = 1_000;

export interface SimNodeEvents {
  appended(epoch: number, stream: number, batch: number, bytes: Uint8Array, start: number, length: number): void;
  /** The worker's memory is now what the disk says: after a start, and after a write that failed. */
  readBack(worker: SimWorker): void;
  /** What this stream had not on disk when its worker died is gone. */
  workerDied(epoch: number, stream: number): void;
  turnFailed(error: unknown): void;
}

export interface SimWorker {
  readonly index: number;
  readonly owner: number;
  readonly shard: Shard;
  readonly ledger: SharedLedger;
  readonly host: SessionHost;
  readonly connections: Set<SimConnection>;
  readonly listener: SimListener;
  isReadOnly: boolean;
  hasCheckpoint: boolean;
}

export class SimNode {
  /** By index; undefined while one is away. */
  workers: (SimWorker | undefined)[] = [];
  shards = 0;
  epoch = 0;
  owners: Uint8Array = new Uint8Array(0);
  isStopping = false;
  /** From a power loss to the next start. */
  #isDown = false;
  ledgerMemory: LedgerMemory = createLedgerMemory(1);
  readonly #time: SimTime;
  readonly #random: SimRandom;
  readonly #disk: SimDisk;
  readonly #network: SimNetwork;
  readonly #events: SimNodeEvents;
  #learningMemory: LearningMemory = createLearningMemory(1);
  #priceMemory: PriceMemory = createPriceMemory();
  #snapshot: ModelSnapshot | null = null;
  #nextOwner = FIRST_WORKER_OWNER;
  readonly #metrics: MetricsWriter[] = [];

  constructor(time: SimTime, random: SimRandom, disk: SimDisk, network: SimNetwork, events: SimNodeEvents) {
    this.#time = time;
    this.#random = random;
    this.#disk = disk;
    this.#network = network;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.workers.length > 0 && this.workers.every((worker) => worker !== undefined);
  }

  /** A start of the whole node on what is on disk. Throws what recovery throws; then nothing of it runs. */
  start(shards: number): void {
    this.isStopping = false;
    this.#isDown = false;
    this.epoch++;
    this.shards = shards;
    this.owners = ownersOf(shards);
    this.ledgerMemory = createLedgerMemory(shards);
    this.#learningMemory = createLearningMemory(shards);
    this.#priceMemory = createPriceMemory();
    this.workers = new Array<SimWorker | undefined>(shards).fill(undefined);
    // Model snapshots are files: now and then the last one did not get written, or none is left.
    if (this.#random.chance(0.2)) this.#snapshot = null;
    for (let index = 0; index < shards; index++) this.#startWorker(index);
    for (let a = 0; a < shards; a++) for (let b = a + 1; b < shards; b++) this.#link(a, b);
  }

  #startWorker(index: number): void {
    const owner = this.#nextOwner++;
    this.#time.owner = owner;
    const { epoch, shards } = this;
    const openBatchMin = batchAfterPublished(this.#learningMemory, index);
    const lmdb = LmdbStore.on(this.#disk.open(), { epoch, stream: index, openBatchMin });
    const store = new WatchedStore(
      lmdb,
      (bytes, start, length, batch) => this.#events.appended(epoch, index, batch, bytes, start, length),
      () => {
        this.#time.hasPromises = true;
      },
    );
    this.#metrics[index] ??= new MetricsWriter(createMetricsBuffer());
    const metrics = this.#metrics[index];
    metrics.clearGauges();
    const ledger = new SharedLedger(this.ledgerMemory, index);
    const shard = new Shard({
      shard: index,
      shards,
      epoch,
      store,
      catalog: SIM_CATALOG,
      catalogText: SIM_CATALOG_TEXT,
      secret: SIM_SECRET,
      zones: ZONES,
      ledger,
      learningMemory: this.#learningMemory,
      ledgerSubjects: SIM_SUBJECTS,
      prices: new PriceTable(this.#priceMemory),
      metrics,
      memoryBytesMax: MEMORY_BYTES_MAX,
      idleMillis: IDLE_MILLIS,
      traces: NO_TRACES,
      snapshot: this.#snapshot,
      ownsPartition: (partition) => this.owners[partition] === index,
      peers: peersOf(() => host, 0),
      events: {
        readOnlyChanged: (isReadOnly) => {
          worker.isReadOnly = isReadOnly;
          this.#events.readBack(worker);
        },
        turnFailed: (error) => this.#events.turnFailed(error),
        burst: (isOn) => host.burst(isOn),
        traced: () => {},
        checkpointed: () => this.#checkpointed(worker),
        factsTaken: () => {},
        snapshotWanted: () => {},
      },
    });
    const host = new SessionHost(
      [{ name: DEFAULT_TENANT, requests: shard.requests, people: shard.people, metrics }],
      index,
      this.owners,
      metrics,
      'simulation',
    );
    const connections = new Set<SimConnection>();
    const worker: SimWorker = {
      index,
      owner,
      shard,
      ledger,
      host,
      connections,
      isReadOnly: false,
      hasCheckpoint: false,
      listener: {
        onOpen: (connection) => {
          connections.add(connection);
          connection.session = new Session(host, connection, { login: ANONYMOUS, hasOptOut: false }, NO_LIMITS);
        },
        // The session was made when the connection was opened.
        onMessage: (connection, bytes, isBinary) => (connection.session as Session).onFrame(bytes, isBinary),
      },
    };
    shard.recover();
    shard.start();
    host.mapEpoch = epoch;
    this.workers[index] = worker;
    this.#events.readBack(worker);
  }

  #link(a: number, b: number): void {
    const first = this.workers[a];
    const second = this.workers[b];
    if (first === undefined || second === undefined) return;
    const [portA, portB] = SimPort.pair(this.#network, first.owner, second.owner);
    this.#time.owner = first.owner;
    first.host.links[b] = new ShardLink(portA, first.host);
    this.#time.owner = second.owner;
    second.host.links[a] = new ShardLink(portB, second.host);
  }

  #checkpointed(worker: SimWorker): void {
    worker.hasCheckpoint = true;
    const [first] = this.workers;
    if (first !== undefined && this.workers.every((other) => other?.hasCheckpoint === true)) {
      this.#asOwner(first.owner, () => first.shard.adoptBase());
    }
  }

  #asOwner(owner: number, work: () => void): void {
    const { time } = this.#network;
    time.at(time.nowMicros + this.#random.between(1, 200), owner, EVENT_KIND.link, work);
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────────

  /** One worker dies at this point; the others learn of it, and another takes its place. */
  crashWorker(index: number): void {
    const worker = this.workers[index];
    if (worker === undefined || this.isStopping) return;
    this.#end(worker);
    this.#disk.crash((owner) => owner === worker.owner);
    this.#events.workerDied(this.epoch, index);
    for (const other of this.workers) {
      if (other === undefined) continue;
      const link = other.host.links[index];
      // One that is held up learns of it late, and has the link to the next one by then.
      this.#asOwner(other.owner, () => {
        link?.fail();
        if (other.host.links[index] === link) other.host.links[index] = undefined;
      });
    }
    const { epoch } = this;
    this.#time.at(this.#time.nowMicros + this.#random.between(1_000, 400_000), NOBODY, EVENT_KIND.action, () => {
      if (this.epoch !== epoch || this.isStopping || this.#isDown || this.workers[index] !== undefined) return;
      const teacher = this.workers.find((other) => other !== undefined && !other.isReadOnly);
      if (teacher !== undefined) this.takeSnapshot(teacher.index);
      this.#startWorker(index);
      for (let other = 0; other < this.shards; other++) if (other !== index) this.#link(index, other);
    });
  }

  /** The power goes: every worker dies, and of what was on its way to disk only a first part is there. */
  crash(): void {
    this.#isDown = true;
    const owners = new Set<number>();
    for (const worker of this.workers) {
      if (worker === undefined) continue;
      owners.add(worker.owner);
      this.#end(worker);
    }
    this.#disk.crash((owner) => owners.has(owner));
    for (let stream = 0; stream < this.shards; stream++) this.#events.workerDied(this.epoch, stream);
  }

  #end(worker: SimWorker): void {
    this.#time.kill(worker.owner);
    this.workers[worker.index] = undefined;
    for (const connection of worker.connections) connection.workerDied();
    worker.connections.clear();
  }

  /** Stops in order; `then` runs when all is written. Something may crash before that, and then it never does. */
  stop(then: () => void): void {
    this.isStopping = true;
    const { epoch, shards } = this;
    let left = shards;
    let isWritten = true;
    for (const worker of this.workers) {
      if (worker === undefined) {
        left--;
        isWritten = false;
        continue;
      }
      this.#asOwner(worker.owner, () => {
        for (const connection of worker.connections) connection.close(1012, 'the server has stopped');
        for (const link of worker.host.links) link?.fail();
        void worker.shard.stop().then((isDone) => {
          isWritten &&= isDone;
          if (--left > 0 || this.epoch !== epoch) return;
          this.#time.owner = NOBODY;
          if (isWritten) this.#adoptStopped(epoch, shards, then);
          else then();
        });
      });
    }
    if (left === 0) then();
  }

  /** As `adoptStopped` of `workers/recovery.ts`, on this disk. */
  #adoptStopped(epoch: number, streams: number, then: () => void): void {
    const store = LmdbStore.on(this.#disk.open(), { epoch, stream: streams });
    writeBase(store, { epoch, streams });
    this.#time.hasPromises = true;
    void store.commit().then(then, then);
  }

  /** After `stop`: nothing of the old workers may happen any more. */
  forget(): void {
    const owners = new Set<number>();
    for (const worker of this.workers) {
      if (worker === undefined) continue;
      owners.add(worker.owner);
      this.#end(worker);
    }
    // A write that was never confirmed may be under way still: it ends with the process, one way or the other.
    this.#disk.crash((owner) => owners.has(owner));
  }

  // ── what the main thread asks for now and then ─────────────────────────────────────────────────

  takeSnapshot(index: number): void {
    const worker = this.workers[index];
    if (worker === undefined || this.isStopping) return;
    this.#time.owner = worker.owner;
    this.#snapshot = worker.shard.takeSnapshot() ?? this.#snapshot;
  }

  trimJournal(keepBytes: number): void {
    const [first] = this.workers;
    if (first === undefined || this.isStopping || first.isReadOnly) return;
    this.#time.owner = first.owner;
    void first.shard.trimJournal(keepBytes);
  }
}
