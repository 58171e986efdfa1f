/**
 * Everything of one shard that goes to disk: journal batches, the replies that wait for them, the
 * checkpoints of records, and what happens when a write fails.
 *
 *   turns ▸ open batch ─┬─ closed when a reply waits, or after 8 ms, or at 32 KB
 *                       └▸ [transaction, synced] ▸ gate opens
 *   dirty records ▸ a few with each commit, all of them once in a cycle ▸ checkpoint
 *
 * While one transaction is under way everything else gathers for the next. A record put costs as much as
 * a decision, so a record is written once a cycle however often it changes; the price is the journal to
 * read back after a crash. When a write fails the writer is read-only: it breaks the gate, has memory
 * reloaded from disk, and tries every second to write again.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import { type HeldReply, OutputGate } from '../actors/output-gate.ts';
import { monotonicMicros, monotonicMillis } from './clock.ts';
import { COUNTER, HISTOGRAM, type MetricsWriter } from './metrics-layout.ts';
import { type Checkpoint, writeCheckpoint } from './recovery.ts';
import type { SharedLedger } from './shared-ledger.ts';
import type { ShardStore } from './store/shard-store.ts';

/** Decisions are on disk within about this time (design: 10 ms). */
const WRITE_BEHIND_MILLIS = 8;
/** A batch is closed at this size, so that reading one decision back for learning stays cheap. */
const BATCH_BYTES_MAX = 32 * 1024;
/** Batches on their way to disk: 16 MB. */
const UNSETTLED_BATCHES_MAX = 512;
const GATE_DEPTH_MAX = 65_536;
const CYCLE_MILLIS = 30_000;
const CYCLE_PAUSE_MILLIS = 1_000;
/** Records put into one commit, so that a reply behind it waits little; fewer than the least share a page poorly. */
const RECORDS_A_COMMIT_MIN = 32;
const RECORDS_A_COMMIT_MAX = 128;
/** Never slower than this, so that a quiet node is soon wholly in its records, and a restart reads back little. */
const RECORDS_A_SECOND_MIN = 1_000;
const RECORDS_A_COMMIT_WHEN_STOPPING = 4_096;
const RETRY_MILLIS = 1_000;

export interface ShardWriterOptions {
  readonly store: ShardStore;
  readonly runtime: ActorRuntime;
  readonly ledger: SharedLedger;
  readonly metrics: MetricsWriter;
  readonly epoch: number;
  readonly shard: number;
  /** A batch was closed: what was learnt and what is journalled agree at this moment. */
  onClosed(): void;
  /** A checkpoint is on disk. */
  onCheckpoint(): void;
  /** Many answers follow until `false`. */
  burst(isOn: boolean): void;
  /** Memory holds what never reached the disk: read it back. */
  reload(): void;
  onReadOnly(isReadOnly: boolean, problem: string | null): void;
}

interface Cycle {
  readonly checkpoint: Checkpoint;
  readonly recordsAMilli: number;
  readonly startedAtMillis: number;
  written: number;
}

export class ShardWriter {
  isReadOnly = false;
  #isStopping = false;
  readonly #options: ShardWriterOptions;
  readonly #store: ShardStore;
  readonly #gate = new OutputGate(GATE_DEPTH_MAX);
  #isScheduled = false;
  /** Commits that have not settled. */
  /** Whether every commit since writing began, or began again, is on disk. */
  #written: Promise<boolean> = Promise.resolve(true);
  #unsettled = 0;
  #committedBatch = 0;
  #cycle: Cycle | null = null;
  #cycleEndedAtMillis = 0;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ShardWriterOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  start(): void {
    this.#timer = setInterval(() => this.#commitIfAny(), WRITE_BEHIND_MILLIS);
  }

  get gateDepth(): number {
    return this.#gate.depth;
  }

  /** More waits for the disk than may wait. */
  get isOverloaded(): boolean {
    return this.#gate.isFull || this.#store.unsettledBatches > UNSETTLED_BATCHES_MAX;
  }

  /** The batch a reply that promises "committed" must wait for now, or -1 when all is on disk. */
  batchToWaitFor(): number {
    if (this.#store.openBatchBytes > 0) return this.#store.openBatch;
    // Nothing new was written (a duplicate): as durable as the last batch that was closed.
    const last = this.#store.openBatch - 1;
    return last > this.#committedBatch && this.#unsettled > 0 ? last : -1;
  }

  /** Whether a closed batch of this run is on disk. */
  isOnDisk(batch: number): boolean {
    return batch <= this.#committedBatch;
  }

  hold(batch: number, reply: HeldReply): void {
    this.#gate.hold(batch, reply);
    this.commitSoon();
  }

  /** Closes the open batch if it has grown large. Call between requests. */
  limitBatch(): void {
    if (this.#store.openBatchBytes > BATCH_BYTES_MAX) this.commit();
  }

  /** Commits at the end of this pass of the event loop, or when what is under way has settled. */
  commitSoon(): void {
    if (this.#isScheduled || this.#unsettled > 0) return;
    this.#isScheduled = true;
    setImmediate(this.#commitScheduled);
  }
  readonly #commitScheduled = (): void => {
    this.#isScheduled = false;
    if (this.#unsettled === 0) this.commit();
  };

  #commitIfAny(): void {
    this.#gate.expire(monotonicMicros());
    if (this.isReadOnly || this.#unsettled > 0) return;
    if (this.#store.openBatchBytes > 0 || this.#cycle !== null || this.#isCycleDue()) this.commit();
  }

  /**
   * Closes the open batch; whether everything that was put until now is on disk, when that is certain. What a store shows of
   * what was put may be on its way only: who deletes by it what it took the place of waits for this.
   */
  async written(): Promise<boolean> {
    // One write at a time: with nothing in it, a second would be done before the first.
    while (this.#unsettled > 0) if (!(await this.#written)) return false;
    this.commit();
    return this.#written;
  }

  /** Closes the open batch and has it written. */
  commit(): void {
    // One that was asked for before the stop comes too late: the stop writes everything.
    if (this.isReadOnly || this.#isStopping) return;
    const { metrics } = this.#options;
    const store = this.#store;
    if (this.#cycle === null && store.openBatchBytes === 0 && this.#isCycleDue()) this.#beginCycle();
    const isCheckpoint = this.#writeRecords();
    const bytes = store.openBatchBytes;
    const startMicros = monotonicMicros();
    this.#unsettled++;
    const settled = store.commit();
    const before = this.#written;
    this.#written = settled.then(
      () => before,
      () => false,
    );
    // A batch with nothing in it stays open, and what comes into it is not on disk when this settles.
    const batch = store.openBatch - 1;
    settled.then(
      () => {
        this.#unsettled--;
        this.#committedBatch = batch;
        this.#options.ledger.settle(batch);
        metrics.recordHistogram(HISTOGRAM.commitDuration, monotonicMicros() - startMicros);
        metrics.add(COUNTER.journalBatches, 1);
        metrics.add(COUNTER.journalBytes, bytes);
        this.#options.burst(true);
        this.#gate.open(batch);
        this.#options.burst(false);
        if (isCheckpoint) this.#options.onCheckpoint();
        if (this.#gate.depth > 0) this.commitSoon();
      },
      (error: unknown) => {
        this.#unsettled--;
        this.#break(error);
      },
    );
    this.#options.onClosed();
  }

  // ── checkpoints ────────────────────────────────────────────────────────────────────────────────

  #isCycleDue(): boolean {
    return this.#options.runtime.dirtyCount > 0 && monotonicMillis() - this.#cycleEndedAtMillis > CYCLE_PAUSE_MILLIS;
  }

  /** With an empty open batch only: the checkpoint says that the records hold everything before it. */
  #beginCycle(): void {
    const { runtime, ledger } = this.#options;
    runtime.beginCycle();
    this.#cycle = {
      checkpoint: { batch: this.#store.openBatch, ledger: ledger.share() },
      recordsAMilli: Math.max(RECORDS_A_SECOND_MIN / 1000, runtime.dirtyInCycle / CYCLE_MILLIS),
      startedAtMillis: monotonicMillis(),
      written: 0,
    };
  }

  /** Puts the records that are due into the open batch; true when they were the cycle's last. */
  #writeRecords(): boolean {
    const cycle = this.#cycle;
    if (cycle === null) return false;
    const { runtime, epoch, shard } = this.#options;
    const due = Math.floor((monotonicMillis() - cycle.startedAtMillis) * cycle.recordsAMilli) - cycle.written;
    if (due >= RECORDS_A_COMMIT_MIN || runtime.dirtyInCycle <= due) {
      const count = Math.min(due, RECORDS_A_COMMIT_MAX);
      runtime.writeRecords(count);
      cycle.written += count;
    }
    if (!runtime.isCycleDone) return false;
    writeCheckpoint(this.#store, epoch, shard, cycle.checkpoint);
    this.#cycle = null;
    this.#cycleEndedAtMillis = monotonicMillis();
    return true;
  }

  // ── failure ────────────────────────────────────────────────────────────────────────────────────

  #break(error: unknown): void {
    // Who stops reads nothing back: the store may be closed by the time it could.
    if (this.isReadOnly || this.#isStopping) return;
    this.isReadOnly = true;
    this.#options.metrics.add(COUNTER.commitFailures, 1);
    this.#cycle = null;
    this.#gate.breakAll();
    this.#options.onReadOnly(true, error instanceof Error ? error.message : String(error));
    this.#options.reload();
    this.#retry = setInterval(() => void this.#tryAgain(), RETRY_MILLIS);
  }

  async #tryAgain(): Promise<void> {
    const isWriting = await this.#store.recover();
    if (!isWriting || !this.isReadOnly || this.#isStopping) return;
    clearInterval(this.#retry);
    this.isReadOnly = false;
    this.#written = Promise.resolve(true);
    this.#options.reload();
    this.#options.onReadOnly(false, null);
  }

  // ── end ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Answers what waits, writes every record and a checkpoint, and closes the store. Resolves to whether that
   * checkpoint is on disk; if not, the journal has it all, and the next start reads it from there. Never rejects.
   */
  async stop(): Promise<boolean> {
    this.#isStopping = true;
    clearInterval(this.#timer);
    clearInterval(this.#retry);
    let isWritten = false;
    try {
      if (!this.isReadOnly) {
        await this.#writeOut();
        isWritten = true;
      }
    } catch {
      // Told by the result.
    }
    this.#gate.breakAll();
    await this.#store.close();
    return isWritten;
  }

  async #writeOut(): Promise<void> {
    const { runtime, ledger, epoch, shard } = this.#options;
    await this.#store.commit();
    ledger.settle(Number.POSITIVE_INFINITY);
    this.#gate.open(Number.POSITIVE_INFINITY);
    for (let round = 0; round < 2; round++) {
      // The first round ends a cycle that was under way, the second writes what it did not hold.
      if (runtime.isCycleDone) this.#beginCycle();
      while (!runtime.isCycleDone) {
        runtime.writeRecords(RECORDS_A_COMMIT_WHEN_STOPPING);
        await this.#store.commit();
      }
    }
    writeCheckpoint(this.#store, epoch, shard, { batch: this.#store.openBatch, ledger: ledger.share() });
    await this.#store.commit();
  }
}
