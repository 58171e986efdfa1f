/**
 * Computes logged decisions again, bit for bit, from the journal, the model snapshots the starts began from and
 * the catalogs the store keeps by version; compares each with what was logged.
 *
 *   journal of one start      worker 0 ─ entries and marks ─▸ record, models ─▸ decision ⇄ logged decision
 *   (all workers at once)     worker 1 ─ …                     │ publication for round n
 *                                                              └──────────▸ merge of round n, in each worker
 *
 * A decision depends on the person's record (all entries about the person, from the first), on the worker's
 * models (the snapshot its start began from, what the worker learnt, and what the others had learnt, added at
 * the very places the marks name), on the catalog, and on what the entry itself tells: instant, request, seeds,
 * and what the shared ledger and the shared price of the hour were. The price is computed again where it was
 * drawn. Each entry is applied as it was logged, so one difference does not bring another.
 *
 * What cannot be computed again is counted by its reason and never passed over: the beginning of a journal that
 * was trimmed, a worker that was replaced while the node ran, additions of a worker that died before they were
 * on disk. Reads only, also beside a running node; memory: the records of all persons, and a model a worker.
 */
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { formatDecisionId } from '../../actors/decision-id.ts';
import { DECISION, EFFECT, Effect, follows, MARK_TYPE_MIN } from '../../actors/effect.ts';
import {
  CATALOG_MARK,
  FeedMarks,
  hasPublished,
  MARK,
  MERGE_MARK,
  markedCeiling,
  markedInputs,
  PRICE_MARK,
  PUBLICATION_MARK,
  START_MARK,
} from '../../actors/journal-marks.ts';
import type { JournalPosition } from '../../actors/store.ts';
import type { Catalog } from '../../decision/catalog.ts';
import type { ZoneTable } from '../../decision/local-time.ts';
import { Request } from '../../proto/request.ts';
import { coldCodec } from '../cold-codec.ts';
import { createLearningMemory, LearningBox, type PublishedLearning } from '../learning-exchange.ts';
import type { NodeSecret } from '../node-secret.ts';
import { ERASED } from '../store/journal-blanking.ts';
import { BATCH_MAX } from '../store/journal-key.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import { StreamCursor, streamsOf } from '../store/journal-streams.ts';
import { describeDifference, type FieldDifference, isSameDecision } from './decision-difference.ts';
import { catalogName, KeptCatalogs } from './kept-catalogs.ts';
import { hadOptOut, LoggedLedger, readLoggedRequest } from './logged-request.ts';
import { type RecomputeModels, UnknownPriceError } from './recompute-models.ts';
import { RecomputeStore } from './recompute-store.ts';
import { type DecisionDifference, newTotals, type RecomputeTotals } from './recompute-totals.ts';
import { endsLessons, LESSON_ERASED, LESSON_LEFT, type StartBase, StartModels } from './start-models.ts';

export interface RecomputeOptions {
  readonly reader: JournalReader;
  /** The node's model file; the snapshots of its starts lie beside it. */
  readonly modelPath: string;
  readonly secret: NodeSecret;
  readonly zones: ZoneTable;
  /** Only this decision; all when left out. */
  readonly only?: {
    readonly partition: number;
    readonly hashLow: number;
    readonly hashHigh: number;
    readonly decisionSeq: number;
  };
  readonly onDifference: (difference: DecisionDifference) => void;
  /** Told of each decision that was computed again, before it is compared. */
  readonly onDecision?: (logged: Effect, catalog: Catalog) => void;
  readonly onProgress?: (totals: RecomputeTotals) => void;
}

const EXAMPLES_MAX = 5;
const PROGRESS_DECISIONS = 20_000;

/** @throws StoreError `CORRUPT` at a damaged batch of the journal. */
export function recomputeDecisions(options: RecomputeOptions): RecomputeTotals {
  return new Recomputation(options).run();
}

/** One worker of one start. */
interface Stream {
  readonly number: number;
  readonly cursor: StreamCursor;
  readonly runtime: ActorRuntime;
  readonly decideTurn: DecideTurn;
  readonly ledger: LoggedLedger;
  readonly models: RecomputeModels;
  readonly feeds: FeedMarks;
  /** Workers of this start. */
  readonly streams: number;
  catalogHash: number;
  /** Why its models cannot be known (any more). */
  lost: string | null;
  /** The last round it merged. */
  merged: number;
  /** The round it waits for. */
  waiting: number | null;
  isDone: boolean;
}

class Recomputation {
  readonly #options: RecomputeOptions;
  readonly #store: RecomputeStore;
  readonly #catalogs: KeptCatalogs;
  readonly #starts: StartModels;
  readonly #request = new Request();
  readonly #totals = newTotals();
  /** Of the start that is read: round → stream → what it published. */
  readonly #rounds = new Map<number, Map<number, PublishedLearning>>();
  readonly #box = new LearningBox(createLearningMemory(2).boxes[0] as SharedArrayBuffer, 0); // one of two
  #streams: Stream[] = [];
  #epoch = 0;
  #isFound = false;
  /** Whether models are needed in the start that is read: not in those before the one decision wanted. */
  #needsModels = true;

  constructor(options: RecomputeOptions) {
    this.#options = options;
    this.#store = new RecomputeStore(options.reader);
    this.#catalogs = new KeptCatalogs(options.reader);
    this.#starts = new StartModels(options, this.#store);
  }

  run(): RecomputeTotals {
    const { reader, only } = this.#options;
    const wantedEpoch = only === undefined ? 0 : this.#find();
    if (wantedEpoch === null) return this.#totals;
    let from: readonly JournalPosition[] = [];
    for (;;) {
      const found = streamsOf(reader, from);
      const epoch = found[0]?.epoch;
      if (epoch === undefined) break;
      this.#needsModels = only === undefined || epoch === wantedEpoch;
      const passed = found.map((position) => ({ ...position, batch: BATCH_MAX }));
      this.#runEpoch(epoch, found, passed);
      if (this.#isFound) break;
      from = passed;
    }
    this.#options.onProgress?.(this.#totals);
    return this.#totals;
  }

  /** The start that made the decision wanted, or null when the journal does not have it. */
  #find(): number | null {
    const entry = new Effect();
    for (const { bytes, epoch } of this.#options.reader.read()) {
      for (let offset = 0; ; ) {
        const next = entry.load(bytes, offset);
        if (next < 0) break;
        offset = next;
        if (entry.type === EFFECT.decision && this.#isWanted(entry)) return epoch;
      }
    }
    return null;
  }

  #isAbout(entry: Effect): boolean {
    const { only } = this.#options;
    if (only === undefined) return true;
    return entry.partition === only.partition && entry.hashLow === only.hashLow && entry.hashHigh === only.hashHigh;
  }

  #isWanted(entry: Effect): boolean {
    const { only } = this.#options;
    return only === undefined || (this.#isAbout(entry) && entry.getU32(DECISION.decisionSeq) === only.decisionSeq);
  }

  // ── one start of the node ──────────────────────────────────────────────────────────────────────

  #runEpoch(epoch: number, found: readonly JournalPosition[], passed: readonly JournalPosition[]): void {
    this.#epoch = epoch;
    this.#rounds.clear();
    this.#streams = [];
    const streams = this.#streams;
    for (const position of found) {
      const cursor = new StreamCursor(this.#options.reader, position, passed);
      if (!cursor.advance()) continue;
      const stream = this.#begin(position.stream, cursor);
      if (stream !== null) streams.push(stream);
    }
    while (!this.#isFound) {
      const next = earliest(streams.filter(({ isDone, waiting }) => !isDone && waiting === null));
      if (next !== undefined) {
        this.#step(next);
        continue;
      }
      const stuck = earliest(streams.filter(({ isDone }) => !isDone));
      if (stuck === undefined) break;
      // Nobody is left who could hand these out.
      this.#lose(stuck, `a worker never wrote what it published (round ${stuck.waiting} of start ${epoch}) to disk`);
      stuck.waiting = null;
    }
    // The next start may have dealt the partitions to other workers.
    for (const { runtime } of streams) {
      runtime.beginCycle();
      while (!runtime.isCycleDone) runtime.writeRecords(4096);
      runtime.dropAll();
    }
  }

  /** Null when nothing can be said of its entries: then they have been counted. */
  #begin(number: number, cursor: StreamCursor): Stream | null {
    const { entry } = cursor;
    const { secret, zones } = this.#options;
    const isWhole = entry.type === MARK.start && cursor.batch === 1;
    const catalogHash = isWhole ? entry.getU32(START_MARK.catalogVersion) : this.#catalogs.anyHash();
    const index = this.#catalogs.find(catalogHash);
    if (index === null) {
      this.#skip(cursor, `the text of catalog ${catalogName(catalogHash)} is not in the store`);
      return null;
    }
    let lost = isWhole ? null : `the beginning of start ${this.#epoch}, worker ${number}, has left the journal`;
    const streams = isWhole ? entry.getU32(START_MARK.streams) : 1;
    const modelEpoch = isWhole ? entry.getU32(START_MARK.snapshotModelEpoch) : 0;
    let base: StartBase | null = null;
    if (lost === null && this.#needsModels) {
      const found = this.#starts.baseOf(this.#epoch, index.catalog, modelEpoch);
      if (typeof found === 'string') lost = found;
      else base = found;
    }
    const models = this.#starts.create(index.catalog, streams > 1, base?.state);
    models.epoch = modelEpoch + (base?.isTaught === true ? 2 : 1);
    const ledger = new LoggedLedger();
    const runtime = new ActorRuntime(
      {
        store: this.#store,
        epoch: this.#epoch,
        stream: number,
        hashSeeds: secret.hashSeeds,
        seedSecret: secret.seedSecret,
        zones,
        ledger,
        models,
        signer: secret.signer,
        coldCodec,
        memoryBytesMax: Number.POSITIVE_INFINITY,
        idleMillis: Number.POSITIVE_INFINITY,
        ownsPartition: () => true,
      },
      index,
    );
    const decideTurn = new DecideTurn(runtime);
    const stream: Stream = {
      ...{ number, streams, cursor, runtime, decideTurn, ledger, models, catalogHash, lost, feeds: new FeedMarks() },
      ...{ merged: 0, waiting: null, isDone: false },
    };
    if (isWhole) this.#goOn(stream);
    return stream;
  }

  /** The models of this worker cannot be known from here on. */
  #lose(stream: Stream, reason: string): void {
    stream.lost ??= reason;
    this.#forgetMerged();
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────

  /** Takes the stream's entry, and goes on to the next unless it has to wait. */
  #step(stream: Stream): void {
    const { cursor, models } = stream;
    const { entry } = cursor;
    if (entry.type >= MARK_TYPE_MIN) this.#takeMark(stream);
    else this.#takeEffect(stream);
    if (stream.waiting !== null || this.#isFound) return;
    if (cursor.isBatchEnd && stream.lost === null) models.nameVersion();
    this.#goOn(stream);
  }

  #goOn(stream: Stream): void {
    stream.isDone = !stream.cursor.advance();
  }

  #takeMark(stream: Stream): void {
    const { entry } = stream.cursor;
    if (entry.type === MARK.catalog) {
      this.#useCatalog(stream, entry.getU32(CATALOG_MARK.catalogVersion));
      return;
    }
    if (entry.type === MARK.feed) {
      const push = stream.feeds.take(entry);
      if (push !== null) stream.runtime.feeds.apply(push);
      return;
    }
    if (entry.type === MARK.erased && entry.u8[ERASED.type] === EFFECT.decision) this.#totals.erased++;
    if (!this.#needsModels) return;
    if (endsLessons(entry)) this.#lose(stream, LESSON_ERASED);
    else if (entry.type === MARK.start) {
      this.#lose(stream, `worker ${stream.number} of start ${this.#epoch} began again while the node ran`);
    } else if (stream.lost === null) {
      if (entry.type === MARK.publication) this.#publish(stream, entry.getU32(PUBLICATION_MARK.round));
      else if (entry.type === MARK.merge) this.#merge(stream);
      else if (entry.type === MARK.price) this.#takePrice(stream);
    }
  }

  #publish(stream: Stream, round: number): void {
    stream.models.publish(this.#box, 0);
    let published = this.#rounds.get(round);
    if (published === undefined) {
      published = new Map();
      this.#rounds.set(round, published);
    }
    published.set(stream.number, this.#box.copy());
    for (const other of this.#streams) if (other.waiting === round) other.waiting = null;
  }

  #merge(stream: Stream): void {
    const { entry } = stream.cursor;
    const round = entry.getU32(MERGE_MARK.round);
    const published: PublishedLearning[] = [];
    for (let shard = 0; shard < stream.streams; shard++) {
      if (!hasPublished(entry, shard)) continue;
      const learning = this.#rounds.get(round)?.get(shard);
      if (learning === undefined) {
        stream.waiting = round;
        return;
      }
      published.push(learning);
    }
    stream.models.merge(published);
    stream.merged = round;
    this.#forgetMerged();
  }

  /** A round in which something was published is merged by every worker, so what all have passed is not asked for again. */
  #forgetMerged(): void {
    let passed = Number.POSITIVE_INFINITY;
    for (const { lost, merged } of this.#streams) if (lost === null) passed = Math.min(passed, merged);
    for (const round of this.#rounds.keys()) if (round <= passed) this.#rounds.delete(round);
  }

  #takePrice(stream: Stream): void {
    const { cursor, models, runtime } = stream;
    const { entry } = cursor;
    const skuHash = entry.getU32(PRICE_MARK.skuHash);
    const product = runtime.index.catalog.productByHash.get(skuHash);
    if (product === undefined) return;
    const logged = {
      priceMinor: entry.getF64(PRICE_MARK.priceMinor),
      propensity: entry.getF64(PRICE_MARK.propensity),
      promotion: entry.getF64(PRICE_MARK.promotion),
    };
    models.see(product, entry.at, logged);
    if (entry.getU32(PRICE_MARK.isDrawn) === 0 || this.#options.only !== undefined) return;
    this.#totals.prices++;
    const recomputed = models.drawPrice(product, entry.at, {
      stockLeft: entry.getF64(PRICE_MARK.stockLeft),
      previousPriceMinor: entry.getF64(PRICE_MARK.previousPriceMinor),
      referencePriceMinor: entry.getF64(PRICE_MARK.referencePriceMinor),
      inputs: markedInputs(entry),
      ceilingMinor: markedCeiling(entry),
    });
    const fields = (['priceMinor', 'propensity', 'promotion'] as const)
      .filter((field) => !Object.is(recomputed[field], logged[field]))
      .map((field) => ({ field, logged: String(logged[field]), recomputed: String(recomputed[field]) }));
    if (fields.length === 0) return;
    this.#totals.pricesDifferent++;
    this.#differ(stream, `price of ${product.sku}`, fields);
  }

  #differ(stream: Stream, subject: string, fields: readonly FieldDifference[]): void {
    const { entry } = stream.cursor;
    const { onDifference } = this.#options;
    onDifference({ subject, atEpochMillis: entry.at, epoch: this.#epoch, worker: stream.number, fields });
  }

  #takeEffect(stream: Stream): void {
    const { cursor, runtime, models } = stream;
    const { entry } = cursor;
    if (this.#isAbout(entry)) {
      if (entry.type === EFFECT.decision) this.#useCatalogOfLost(stream);
      runtime.bindLogged(entry);
      const isNext = follows(entry, runtime.record.stateSeq);
      if (entry.type === EFFECT.decision && this.#isWanted(entry)) this.#takeDecision(stream, isNext);
      if (isNext && !this.#isFound) {
        const position = { epoch: this.#epoch, stream: stream.number, batch: cursor.batch, offset: cursor.entryOffset };
        runtime.applyLogged(entry, position);
        if (entry.type === EFFECT.erase) runtime.forgetBound();
      }
    }
    if (entry.type !== EFFECT.event || stream.lost !== null || !this.#needsModels) return;
    if (this.#starts.hasLesson(entry)) models.learn(entry);
    else this.#lose(stream, LESSON_LEFT);
  }

  #takeDecision(stream: Stream, isNext: boolean): void {
    const { cursor, runtime } = stream;
    const { entry } = cursor;
    const totals = this.#totals;
    if (++totals.decisions % PROGRESS_DECISIONS === 0) this.#options.onProgress?.(totals);
    this.#isFound = this.#options.only !== undefined;
    const reason = stream.lost ?? (isNext ? null : recordReason(runtime.record.stateSeq));
    if (reason !== null) {
      this.#count(entry, reason);
      return;
    }
    const { catalog } = runtime.index;
    readLoggedRequest(entry, catalog, this.#request);
    runtime.consent.hasOptOut = hadOptOut(entry);
    runtime.asker = entry.asker();
    stream.ledger.see(entry, catalog);
    let fault: unknown;
    try {
      fault = stream.decideTurn.recompute(this.#request, entry.at);
    } catch (error) {
      if (!(error instanceof UnknownPriceError)) throw error;
      this.#count(entry, 'no entry says what the price of the hour was');
      return;
    }
    totals.recomputed++;
    this.#options.onDecision?.(entry, catalog);
    if (fault === null && isSameDecision(entry, runtime.effect)) return;
    totals.different++;
    this.#differ(
      stream,
      idOf(entry),
      fault === null
        ? describeDifference(entry, runtime.effect, catalog)
        : [{ field: 'request', logged: 'answered', recomputed: runtime.message }],
    );
  }

  #count(entry: Effect, reason: string): void {
    let row = this.#totals.unreplayable.get(reason);
    if (row === undefined) {
      row = { count: 0, decisionIds: [] };
      this.#totals.unreplayable.set(reason, row);
    }
    row.count++;
    if (row.decisionIds.length < EXAMPLES_MAX) row.decisionIds.push(idOf(entry));
  }

  /** Counts the decisions of a stream of which nothing else can be made. */
  #skip(cursor: StreamCursor, reason: string): void {
    do {
      const { entry } = cursor;
      if (entry.type !== EFFECT.decision || !this.#isWanted(entry)) continue;
      this.#totals.decisions++;
      this.#count(entry, reason);
    } while (cursor.advance());
  }

  // ── catalogs ───────────────────────────────────────────────────────────────────────────────────

  #useCatalog(stream: Stream, versionHash: number): void {
    if (stream.catalogHash === versionHash) return;
    const index = this.#catalogs.find(versionHash);
    if (index === null) {
      this.#lose(stream, `the text of catalog ${catalogName(versionHash)} is not in the store`);
      return;
    }
    stream.catalogHash = versionHash;
    stream.models.setCatalog(index.catalog);
    stream.runtime.setCatalog(index);
    stream.decideTurn.useCatalog();
  }

  /** Without a start mark only the decisions say which catalog was in force; records depend on it a little. */
  #useCatalogOfLost(stream: Stream): void {
    if (stream.lost !== null) this.#useCatalog(stream, stream.cursor.entry.getU32(DECISION.catalogVersion));
  }
}

function recordReason(stateSeq: number): string {
  return stateSeq === 0
    ? "the person's first entries have left the journal"
    : "some of the person's entries are not in the journal";
}

function earliest(streams: readonly Stream[]): Stream | undefined {
  let first: Stream | undefined;
  for (const stream of streams)
    if (first === undefined || stream.cursor.entry.at < first.cursor.entry.at) first = stream;
  return first;
}

function idOf(entry: Effect): string {
  return formatDecisionId(entry.partition, entry.hashLow, entry.hashHigh, entry.getU32(DECISION.decisionSeq));
}
