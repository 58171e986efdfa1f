/**
 * One shard: the actors of its partitions, what they have learnt, their store and their timers, put
 * together. Requests are run by its RequestRunner; what goes to disk, and what happens when it cannot, is
 * its ShardWriter's. Here are recovery, the exchange of what was learnt, and time.
 *
 *   requests ─▸ RequestRunner ─▸ turns ─▸ ActorRuntime ─▸ journal ─▸ ShardWriter ─▸ LMDB
 *                                  └─▸ ShardModels ◂─▸ other shards
 */
import { getHeapStatistics } from 'node:v8';
import { ActorRuntime, type RuntimeStats } from '../actors/actor-runtime.ts';
import { DecideTurn } from '../actors/decide-turn.ts';
import { EFFECT, Effect, EVENT, TEACHING } from '../actors/effect.ts';
import { EventTurn } from '../actors/event-turn.ts';
import { ExportTurn } from '../actors/export-turn.ts';
import type { FactRows } from '../actors/fact-turn.ts';
import { JournalMarks, MARK } from '../actors/journal-marks.ts';
import { ProfileTurn } from '../actors/profile-turn.ts';
import type { TraitSealer } from '../actors/sealed-trait.ts';
import { type JournalPosition, STORE_KEY_BYTES } from '../actors/store.ts';
import { advanceRipening } from '../actors/trial-ripening.ts';
import type { Catalog } from '../decision/catalog.ts';
import { CatalogIndex } from '../decision/catalog-index.ts';
import type { FeedPush } from '../decision/feed-table.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { PartKeys } from '../decision/part-register.ts';
import type { Request } from '../proto/request.ts';
import type { Fault } from '../proto/statuses.ts';
import { Devices } from './abuse/devices.ts';
import type { AuditOutlet } from './audit/audit-gate.ts';
import { epochMillis, eventLoopUtilisation, monotonicMicros } from './clock.ts';
import { coldCodec } from './cold-codec.ts';
import { type FactCounts, FactFeed } from './fact-feed.ts';
import { Joinings } from './identity/joinings.ts';
import type { ModelSnapshot } from './jobs/model-snapshot-file.ts';
import { LearningExchange, type LearningMemory } from './learning-exchange.ts';
import { LetterDesk } from './letter-desk.ts';
import { COUNTER, type CounterName, GAUGE, type MetricsWriter } from './metrics-layout.ts';
import type { NodeSecret } from './node-secret.ts';
import { lookAtPerson, type PersonAnswer, type PersonQuestion } from './person-look.ts';
import type { PriceTable } from './price-table.ts';
import { Erasures } from './privacy/erasures.ts';
import { SourceTallies } from './quality/source-tallies.ts';
import {
  basePositions,
  earlierOf,
  inheritedLedger,
  isAfter,
  ownPositions,
  readBase,
  writeBase,
  writeCatalogText,
} from './recovery.ts';
import { RequestRunner, type TraceSettings } from './request-runner.ts';
import type { Responder } from './responder.ts';
import type { MessageTaker, ShardMessage } from './shard-message.ts';
import { ShardModels } from './shard-models.ts';
import { ShardWriter } from './shard-writer.ts';
import { type LedgerSubject, moveOwn, type SharedLedger } from './shared-ledger.ts';
import type { ShardStore } from './store/shard-store.ts';
import { StoreError } from './store/store-error.ts';
import { TagFeed } from './tag-feed.ts';
import type { TraceRecord } from './trace-record.ts';

/** What is learnt is with all shards within three steps (see the rounds of the exchange) and one batch: 250 ms. */
const EXCHANGE_MILLIS = 75;
const TICK_MILLIS = 100;
/** Gauges that cost a system call are read every so many ticks. */
const SLOW_GAUGES_TICKS = 10;
/** What came from where is written down every so many ticks: ten seconds. */
const SOURCES_TICKS = 100;
/** Journal batches without anything learnt after which a snapshot is taken all the same. */
const SNAPSHOT_BATCHES_MAX = 64;
const TIMERS_A_TICK = 20_000;
/** Each may read a record and a decision: a millisecond in all. */
const RIPENING_A_TICK = 50;
/** Profiles visited in one go; while more are due and nobody waits, every so often. 5,000 a second. */
const WAKES_A_PASS = 32;
const WAKE_PASS_MILLIS = 6;
const STORED_LEASES_A_STEP = 256;

export interface ShardOptions {
  readonly shard: number;
  readonly shards: number;
  readonly epoch: number;
  readonly store: ShardStore;
  readonly catalog: Catalog;
  readonly catalogText: string;
  readonly secret: NodeSecret;
  readonly audit?: AuditOutlet;
  /** Keys of sensitive traits; without it none can be told or shown. */
  readonly sealer?: TraitSealer;
  readonly zones: ZoneTable;
  readonly ledger: SharedLedger;
  /** Where the shards publish what they learn. */
  readonly learningMemory: LearningMemory;
  readonly ledgerSubjects: readonly LedgerSubject[];
  /** Numbers of the response model's parts, the same on all shards; by default the snapshot's and the catalog's. */
  readonly parts?: PartKeys;
  readonly prices: PriceTable;
  readonly metrics: MetricsWriter;
  readonly memoryBytesMax: number;
  readonly idleMillis: number;
  readonly traces: TraceSettings;
  /** What stands of each context feed; none by default. */
  readonly feeds?: readonly FeedPush[];
  /** Models as of a snapshot, and where in the journal it stands. */
  readonly snapshot: ModelSnapshot | null;
  ownsPartition(partition: number): boolean;
  /** The other shards; absent where one has all partitions. */
  readonly peers?: ShardPeers;
  readonly events: ShardEvents;
}

/** The shards that own the partitions which this one does not. */
export interface ShardPeers {
  send(partition: number, message: ShardMessage): void;
  /** As `RequestRunnerOptions.sendOn`. */
  sendOn(request: Request, responder: Responder, slot: number, arrivedMicros: number): Fault | null;
}

/** What a shard tells its thread. */
export interface ShardEvents {
  readOnlyChanged(isReadOnly: boolean, problem: string | null): void;
  turnFailed(error: unknown, effectType: number, profileHash: string): void;
  traced(records: TraceRecord[]): void;
  /** Many answers follow until `false`: each connection's may leave together. */
  burst(isOn: boolean): void;
  /** A checkpoint is on disk. */
  checkpointed(): void;
  /** This shard's people have the facts of a fit. */
  factsTaken(counts: FactCounts): void;
  /** An erasure waits for a snapshot of the models to be on disk; told by `snapshotKept`. */
  snapshotWanted(): void;
}

export class Shard {
  readonly runtime: ActorRuntime;
  readonly models: ShardModels;
  readonly writer: ShardWriter;
  readonly requests: RequestRunner;
  readonly joinings: Joinings;
  /** Takes what other shards tell of this one's people and devices. */
  readonly people: MessageTaker;
  readonly letterDesk: LetterDesk;
  readonly sources: SourceTallies;
  readonly #options: ShardOptions;
  readonly #store: ShardStore;
  readonly #metrics: MetricsWriter;
  readonly #decideTurn: DecideTurn;
  readonly #exchange: LearningExchange;
  readonly #marks: JournalMarks;
  readonly #facts: FactFeed;
  readonly #erasures: Erasures;
  /** What memory is read back from when a write has failed. */
  #snapshot: ModelSnapshot | null;
  readonly #tags: TagFeed;
  #isExchangeDue = false;
  #timers: NodeJS.Timeout[] = [];
  #published = new Map<string, number>();
  #wakeTimer: NodeJS.Timeout | undefined;
  #isStopping = false;
  #ticks = 0;
  /** Sum of the batch numbers of all streams at the last snapshot. */
  #snapshotBatches = 0;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.#snapshot = options.snapshot;
    this.#store = options.store;
    this.#metrics = options.metrics;
    options.ledger.setSubjects(options.ledgerSubjects);
    const { zones } = options;
    this.models = new ShardModels(
      options.catalog,
      options.store,
      options.prices,
      options.secret.seedSecret,
      (zone) => zones.zoneName(zone),
      options.shards > 1,
      options.snapshot?.state,
      options.parts,
    );
    this.models.epoch = (options.snapshot?.modelEpoch ?? 0) + 1;
    this.#marks = new JournalMarks(options.store);
    this.models.onPrice = (seen) => this.#marks.price(seen);
    this.#exchange = new LearningExchange(options.learningMemory, options.shard, this.models, {
      published: (round) => this.#marks.publication(round, epochMillis()),
      merged: (round, shards) => this.#marks.merge(round, shards, epochMillis()),
    });
    this.runtime = new ActorRuntime(
      {
        store: options.store,
        epoch: options.epoch,
        stream: options.shard,
        hashSeeds: options.secret.hashSeeds,
        seedSecret: options.secret.seedSecret,
        zones,
        ledger: options.ledger,
        models: this.models,
        signer: options.secret.signer,
        coldCodec,
        ...(options.sealer === undefined ? {} : { sealer: options.sealer }),
        memoryBytesMax: options.memoryBytesMax,
        idleMillis: options.idleMillis,
        ownsPartition: options.ownsPartition,
      },
      new CatalogIndex(options.catalog),
    );
    for (const push of options.feeds ?? []) this.runtime.feeds.apply(push);
    this.runtime.onTurnFailure = options.events.turnFailed;
    this.#decideTurn = new DecideTurn(this.runtime);
    this.writer = new ShardWriter({
      store: options.store,
      runtime: this.runtime,
      ledger: options.ledger,
      metrics: options.metrics,
      epoch: options.epoch,
      shard: options.shard,
      onClosed: () => this.#onClosed(),
      onCheckpoint: options.events.checkpointed,
      burst: options.events.burst,
      reload: () => this.#reload(),
      onReadOnly: options.events.readOnlyChanged,
    });
    this.#erasures = new Erasures({
      runtime: this.runtime,
      models: this.models,
      store: options.store,
      marks: this.#marks,
      epoch: options.epoch,
      stream: options.shard,
      signer: options.secret.signer,
      sealer: options.sealer,
      writer: this.writer,
      eraseKey: (key, root) => this.joinings.eraseKey(key, root),
      askSnapshot: options.events.snapshotWanted,
    });
    const { peers } = options;
    const send = (partition: number, message: ShardMessage): void => {
      // Its own as well in a turn of its own: this may be the middle of another's.
      if (options.ownsPartition(partition)) setImmediate(() => this.people.take(message, epochMillis()));
      else peers?.send(partition, message);
    };
    const eventTurn = new EventTurn(this.runtime);
    const devices = new Devices({ runtime: this.runtime, eventTurn, writer: this.writer, send });
    this.people = {
      take: (message, now) => {
        if (message.kind === 'deviceUsed' || message.kind === 'deviceShared') devices.take(message, now);
        else this.joinings.take(message, now);
      },
    };
    this.joinings = new Joinings({
      runtime: this.runtime,
      writer: this.writer,
      send,
      eraseSignpost: (key, now) => this.#erasures.eraseSignpost(key, now),
      erased: (root, key) => this.#erasures.keyErased(root, key),
    });
    this.sources = new SourceTallies(epochMillis());
    this.sources.load(options.store, options.shard, options.shards);
    const profileTurn = new ProfileTurn(this.runtime);
    this.requests = new RequestRunner({
      shard: options.shard,
      runtime: this.runtime,
      models: this.models,
      writer: this.writer,
      metrics: options.metrics,
      traces: options.traces,
      decideTurn: this.#decideTurn,
      eventTurn,
      profileTurn,
      exportTurn: new ExportTurn(this.runtime, profileTurn),
      erasures: this.#erasures,
      joinings: this.joinings,
      devices,
      sources: this.sources,
      ownsPartition: options.ownsPartition,
      sendOn: (request, responder, slot, arrivedMicros) =>
        peers?.sendOn(request, responder, slot, arrivedMicros) ?? null,
      ...(options.audit === undefined ? {} : { audit: options.audit }),
      burst: options.events.burst,
    });
    this.letterDesk = new LetterDesk({
      runtime: this.runtime,
      requests: this.requests,
      writer: this.writer,
      ownsPartition: options.ownsPartition,
      ...(options.audit === undefined ? {} : { audit: options.audit }),
    });
    this.#facts = new FactFeed({
      runtime: this.runtime,
      ownsPartition: options.ownsPartition,
      isBusy: () => this.requests.mailboxDepth > 0 || this.writer.isOverloaded,
      isReadOnly: () => this.writer.isReadOnly,
      isWritten: () => this.writer.batchToWaitFor() < 0,
      done: options.events.factsTaken,
    });
    this.#tags = new TagFeed({
      runtime: this.runtime,
      store: options.store,
      ownsPartition: options.ownsPartition,
      isBusy: () => this.requests.mailboxDepth > 0 || this.writer.isOverloaded || this.writer.isReadOnly,
    });
  }

  /** Reads back what the journal holds beyond the records. Blocks; call before serving. Returns entries applied. */
  recover(): number {
    const { shard, shards, epoch, ledger } = this.#options;
    const snapshot = this.#snapshot;
    const base = readBase(this.#store);
    const recordPositions = basePositions(this.#store, base);
    const modelPositions = snapshot?.positions ?? [];
    // By subject, those of an action or product that has left the catalog as well: it may come back.
    const own = new Map<number, Float64Array>();
    const ownOf = (subjectHash: number): Float64Array => {
      let row = own.get(subjectHash);
      if (row === undefined) {
        row = new Float64Array(2);
        own.set(subjectHash, row);
      }
      return row;
    };
    for (const { subjectHash, held, spent } of inheritedLedger(this.#store, base, shard, shards)) {
      const row = ownOf(subjectHash);
      row[0] = (row[0] as number) + held;
      row[1] = (row[1] as number) + spent;
    }
    const from = earlierOf(ownPositions(recordPositions, base, shard, shards), modelPositions);
    this.#exchange.begin(snapshot?.round ?? 0, modelPositions, epoch);
    const { cuts } = this.#exchange;
    let teaches = false;
    const mayLack = (batch: JournalPosition): boolean => {
      // What is beyond the base comes by the exchange.
      const isForBase = batch.epoch !== epoch || batch.batch < (cuts[batch.stream] ?? Number.POSITIVE_INFINITY);
      teaches = isForBase && isAfter(modelPositions, batch);
      return isAfter(recordPositions, batch);
    };
    const applied = this.runtime.recoverFrom(from, mayLack, (effect, isForRecord) => {
      if (isForRecord) {
        for (let i = 0; i < effect.ledgerCount; i++) {
          moveOwn(ownOf(effect.ledgerSubject(i)), 0, effect.ledgerKind(i), effect.ledgerAmount(i));
        }
      }
      if (teaches) this.#learnAgain(effect);
    });
    // While nothing can be written, a write that failed may land yet: until that is known its holds stay.
    if (!this.writer.isReadOnly)
      ledger.setShare(
        [...own].map(([subjectHash, row]) => ({ subjectHash, held: row[0] as number, spent: row[1] as number })),
      );
    // What was learnt again is known to every shard: each reads the whole journal up to the base.
    this.models.settle();
    this.models.nameVersion();
    if (shards > 1) this.#learnOwnAgain();
    this.models.hasNews = applied > 0;
    this.#erasures.load(this.#options.ownsPartition);
    const { catalog } = this.runtime.index;
    const now = epochMillis();
    this.#marks.start(catalog.versionHash, shards, snapshot?.modelEpoch ?? 0, now);
    for (const table of this.runtime.feeds.tables) if (table.version > 0) this.#marks.feed(table.snapshot(now), now);
    return applied;
  }

  /** What this shard's stream holds beyond the base. What of it is not published yet will be. */
  #learnOwnAgain(): void {
    const { shard, shards, epoch } = this.#options;
    const from: JournalPosition[] = [];
    for (let stream = 0; stream < shards; stream++) {
      const cut = this.#exchange.cuts[stream] ?? 1;
      from.push({ epoch, stream, batch: stream === shard ? cut : Number.POSITIVE_INFINITY });
    }
    const { unpublishedFrom } = this.#exchange;
    const effect = new Effect();
    let isOpen = false;
    this.#store.scanJournal(from, ({ batch, bytes }) => {
      if (!isOpen && batch >= unpublishedFrom) {
        this.models.forgetOpen();
        isOpen = true;
      }
      for (let at = effect.load(bytes, 0); at >= 0; at = effect.load(bytes, at)) this.#learnAgain(effect);
    });
    if (!isOpen) this.models.forgetOpen();
  }

  #learnAgain(effect: Effect): void {
    if (effect.type === MARK.forget) this.#erasures.forgetAgain(effect);
    if (effect.type !== EFFECT.event) return;
    if (effect.getU32(EVENT.flags) & TEACHING) this.models.learn(effect);
  }

  /** Begins the timers: write-behind, leases, passivation, metrics. */
  start(): void {
    writeCatalogText(this.#store, this.#options.catalog.version, this.#options.catalogText);
    this.writer.start();
    this.#timers.push(setInterval(() => this.#tick(), TICK_MILLIS));
    if (this.#options.shards > 1) this.#timers.push(setInterval(() => this.#exchangeSoon(), EXCHANGE_MILLIS));
    this.#watchStoredLeases();
    if (this.runtime.index.tags.hash !== 0) this.#tags.begin();
  }

  // ── learning and snapshots ─────────────────────────────────────────────────────────────────────

  /** Right behind the close of a batch what was learnt and what is journalled agree. */
  #onClosed(): void {
    this.models.nameVersion();
    if (this.#isExchangeDue) this.#exchangeNow();
  }

  #exchangeSoon(): void {
    // With a batch open: when it closes, some milliseconds from now.
    if (this.#store.openBatchBytes > 0) this.#isExchangeDue = true;
    else this.#exchangeNow();
  }

  #exchangeNow(): void {
    this.#isExchangeDue = false;
    if (!this.writer.isReadOnly) this.#exchange.step(this.#store.openBatch);
  }

  /**
   * The base of the models and where in the journal it stands: as all shards have merged it; of a shard alone,
   * everything, right behind a closed batch. Null when nothing was learnt since the last one and the journal is
   * not much longer: a start reads it from there, learnt from or not.
   * @param isWanted also without news
   */
  takeSnapshot(isWanted = false): ModelSnapshot | null {
    if (this.writer.isReadOnly || this.#isStopping) return null;
    if (this.#store.openBatchBytes > 0) this.writer.commit();
    this.#exchangeNow();
    const { epoch, shards } = this.#options;
    const positions: JournalPosition[] = [];
    for (let stream = 0; stream < shards; stream++)
      positions.push({ epoch, stream, batch: this.#exchange.cuts[stream] ?? this.#store.openBatch });
    const batches = positions.reduce((sum, { batch }) => sum + batch, 0);
    if (!isWanted && !this.models.hasNews && batches - this.#snapshotBatches < SNAPSHOT_BATCHES_MAX) return null;
    this.models.hasNews = false;
    this.#snapshotBatches = batches;
    return { state: this.models.snapshot(), positions, modelEpoch: this.models.epoch, round: this.#exchange.round };
  }

  /** A snapshot is on disk: entries that taught what it holds can be erased, and are not learnt from it again. */
  snapshotKept(snapshot: ModelSnapshot): void {
    this.#snapshot = snapshot;
    this.#erasures.snapshotKept(snapshot.positions);
  }

  /** Drops the oldest part of the journal beyond `keepBytes`, as far as no recovery can need it. */
  async trimJournal(keepBytes: number): Promise<number> {
    if (this.#isStopping) return 0;
    const base = readBase(this.#store);
    if (base === undefined || this.writer.isReadOnly) return 0;
    const before = basePositions(this.#store, base);
    // Trimmed by a checkpoint that does not reach the disk, the journal would lack what the records there do.
    if (!(await this.writer.written()) || this.#isStopping) return 0;
    try {
      return await this.#store.trimJournal({ keepBytes, before });
    } catch (error) {
      // A full disk is met and told by the writer; the journal is trimmed another time.
      if (error instanceof StoreError && error.isRetryable) return 0;
      throw error;
    }
  }

  /** All shards of this epoch have a checkpoint: from now on a start begins there. Called on shard 0. */
  adoptBase(): void {
    // Who stops makes its own last checkpoint, and the store may be closed.
    if (this.#isStopping) return;
    writeBase(this.#store, { epoch: this.#options.epoch, streams: this.#options.shards });
    this.writer.commitSoon();
  }

  /** Memory may hold what never reached the disk: forget it all and read again. */
  #reload(): void {
    this.runtime.dropAll();
    this.models.load(this.#snapshot?.state, this.models.parts.keys);
    this.recover();
    // The wheel was emptied too, and the journal names the leases since the last checkpoint only.
    this.#watchStoredLeases();
    this.joinings.forget();
    this.requests.watches.askAll();
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const now = epochMillis();
    if (!this.writer.isReadOnly) {
      this.runtime.advanceTimers(now, TIMERS_A_TICK);
      advanceRipening(this.runtime, now, RIPENING_A_TICK);
      this.runtime.sweep(now);
      this.#erasures.tick(now);
      this.joinings.tick(monotonicMicros());
    }
    this.requests.watches.tick(monotonicMicros());
    this.#wakePass();
    if (this.#ticks % SOURCES_TICKS === SOURCES_TICKS - 1) this.#writeSources();
    this.#options.ledger.refreshHints();
    const traces = this.requests.takeTraces();
    if (traces.length > 0) this.#options.events.traced(traces);
    this.publishMetrics();
  }

  #writeSources(): void {
    if (!this.writer.isReadOnly && this.sources.write(this.#store, this.#options.shard)) this.writer.commitSoon();
  }

  /** A million people due at once are visited in many passes, and the requests go before them. */
  readonly #wakePass = (): void => {
    clearTimeout(this.#wakeTimer);
    this.#wakeTimer = undefined;
    if (this.writer.isReadOnly || this.#isStopping) return;
    const isBusy = this.requests.mailboxDepth > 0 || this.writer.isOverloaded;
    const hasMore = this.runtime.wakes.advance(epochMillis(), isBusy ? 1 : WAKES_A_PASS);
    if (hasMore && !isBusy) this.#wakeTimer = setTimeout(this.#wakePass, WAKE_PASS_MILLIS);
  };

  /** Leases and wakes of records that are only on disk: looked through a slice at a time, whenever memory was read from there. */
  #watchStoredLeases(): void {
    let from: Uint8Array | undefined = new Uint8Array(STORE_KEY_BYTES);
    const step = (): void => {
      if (this.#isStopping || from === undefined) return;
      from = this.#store.scanRecords(from, STORED_LEASES_A_STEP, (key, record) => {
        if (this.#options.ownsPartition(key[2] as number)) this.runtime.watchStored(record);
      });
      if (from === undefined) this.runtime.letters.isComplete = true;
      setTimeout(step, 2);
    };
    setTimeout(step, 100);
  }

  publishMetrics(): void {
    const metrics = this.#metrics;
    metrics.add(COUNTER.ticks, 1);
    const { stats, slab, profiles, wheel } = this.runtime;
    for (const name of STAT_NAMES) {
      const value = stats[name];
      const before = this.#published.get(name) ?? 0;
      if (value !== before) {
        metrics.add(COUNTER[name], value - before);
        this.#published.set(name, value);
      }
    }
    metrics.set(GAUGE.profilesResident, profiles.count);
    metrics.set(GAUGE.slabBytes, slab.reservedBytes + profiles.bytes);
    metrics.set(GAUGE.slabUsedBytes, slab.usedBytes);
    metrics.set(GAUGE.mailboxDepth, this.requests.mailboxDepth);
    metrics.set(GAUGE.subscriptions, this.requests.watches.count);
    metrics.set(GAUGE.gateDepth, this.writer.gateDepth);
    metrics.set(GAUGE.timersPending, wheel.pending + this.runtime.wakes.pending);
    metrics.set(GAUGE.modelEpoch, this.models.epoch);
    metrics.set(GAUGE.deadLetters, this.runtime.letters.total);
    metrics.set(GAUGE.storeReadOnly, this.writer.isReadOnly ? 1 : 0);
    metrics.set(
      GAUGE.leasesOpen,
      stats.leasesOpened - stats.leasesConfirmed - stats.leasesReleased - stats.leasesExpired,
    );
    if (++this.#ticks % SLOW_GAUGES_TICKS !== 0) return;
    // Not `process.memoryUsage`, which opens a file: without a descriptor left it would end this worker.
    metrics.set(GAUGE.heapUsedBytes, getHeapStatistics().used_heap_size);
    metrics.set(GAUGE.storeBytes, this.#options.shard === 0 ? this.#store.sizeBytes() : 0);
    metrics.set(GAUGE.eventLoopUtilisation, eventLoopUtilisation());
  }

  // ── changes from outside ───────────────────────────────────────────────────────────────────────

  /** @param feeds what stands of each feed, under the catalog's declaration */
  setCatalog(
    catalog: Catalog,
    text: string,
    subjects: readonly LedgerSubject[],
    parts?: PartKeys,
    feeds: readonly FeedPush[] = [],
  ): void {
    this.#options.ledger.setSubjects(subjects);
    this.models.setCatalog(catalog, parts);
    const isOtherTags = this.runtime.index.tags.hash !== catalog.tagsHash;
    this.runtime.setCatalog(new CatalogIndex(catalog));
    if (isOtherTags) this.#tags.begin();
    this.#decideTurn.useCatalog();
    this.requests.watches.askAll();
    this.#marks.catalog(catalog.versionHash, epochMillis());
    this.takeFeeds(feeds);
    writeCatalogText(this.#store, catalog.version, text);
    this.#metrics.add(COUNTER.catalogReloads, 1);
  }

  /** Between two turns: what is pushed is in the journal before any rule reads it. What is held already is passed over. */
  takeFeeds(pushes: readonly FeedPush[]): void {
    const now = epochMillis();
    for (const push of pushes) {
      if (!this.runtime.feeds.isNewer(push)) continue;
      // What stands when writing begins again is marked then.
      if (!this.writer.isReadOnly) this.#marks.feed(push, now);
      this.runtime.feeds.apply(push);
      this.writer.limitBatch();
    }
    if (pushes.length === 0) return;
    this.requests.watches.askAll();
    if (!this.writer.isReadOnly) this.writer.commitSoon();
  }

  /** What may be told of a person outside; null where it cannot be said. */
  look(question: PersonQuestion): PersonAnswer | null {
    if (this.#isStopping || this.writer.isReadOnly) return null;
    try {
      return lookAtPerson(this.runtime, question, epochMillis());
    } catch (error) {
      this.runtime.reportTurnFailure(error);
      return null;
    }
  }

  /** Brings what a fit says to this shard's people, slowly; told as `factsTaken` when they have it. */
  takeFacts(facts: FactRows): void {
    this.#facts.begin(facts);
  }

  /** Writes everything out and stops; whether it could. What waits in the gate is answered first. */
  stop(): Promise<boolean> {
    this.#isStopping = true;
    this.#facts.stop();
    this.#tags.stop();
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#wakeTimer);
    this.requests.watches.stop();
    this.requests.stop();
    this.#writeSources();
    return this.writer.stop();
  }
}

/** Stats that are counters of the same name. */
const STAT_NAMES = [
  'activations',
  'passivations',
  'profilesCreated',
  'turnFailures',
  'quarantines',
  'journalEntries',
  'duplicateEvents',
  'leasesOpened',
  'leasesConfirmed',
  'leasesReleased',
  'leasesExpired',
  'quotesIssued',
  'decisionsHeldOut',
  'decisionsSuspected',
  'decisionsExplored',
  'decisionsEmpty',
  'learnUpdates',
  'tripsTold',
  'devicesTold',
  'lettersKept',
  'lettersSettled',
  'lettersLostRing',
  'lettersLostFull',
  'lettersLostSize',
  'lettersLostKeys',
] as const satisfies readonly (keyof RuntimeStats & CounterName)[];
