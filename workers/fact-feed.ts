/**
 * Brings the facts of a fit to one shard's people, a few records at a time between the requests, until all have
 * theirs: a fit of a million people must not be felt by anybody who asks for a decision meanwhile.
 *
 *   every 10 ms, unless requests wait or the disk is behind:  up to 32 records looked at ─▸ takeFacts ─▸ journal
 *   all looked at, and what was journalled is on disk         ─▸ done(counts)
 *
 * Guarantees: each row is offered at least once to the shard that owns it; a write that failed begins again from the
 * first row, since memory was read back without what was not written. Newer facts take the place of older ones.
 * Traded away: speed. 3,200 records a second and shard; the facts of 1,000,000 people on 2 shards take 160 s.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import { FACT_KEY_WORDS, type FactRows, takeFacts } from '../actors/fact-turn.ts';
import { epochMillis } from './clock.ts';

const PAUSE_MILLIS = 10;
/** Records looked at a step: 0.6 ms where each is read and written. */
const RECORDS_A_STEP = 32;
/** Rows of other shards are passed over in one step up to this many: 20 microseconds. */
const ROWS_A_STEP = 8_192;

export interface FactCounts {
  readonly fit: number;
  readonly changed: number;
  readonly same: number;
  readonly refused: number;
}

export interface FactFeedOptions {
  readonly runtime: ActorRuntime;
  ownsPartition(partition: number): boolean;
  /** Requests wait, or more waits for the disk than may: no step is made. */
  isBusy(): boolean;
  isReadOnly(): boolean;
  /** Everything that was journalled so far is on disk. */
  isWritten(): boolean;
  done(counts: FactCounts): void;
}

export class FactFeed {
  readonly #options: FactFeedOptions;
  #facts: FactRows | null = null;
  #row = 0;
  #counts = { changed: 0, same: 0, refused: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FactFeedOptions) {
    this.#options = options;
  }

  /** Begins with these facts; what was left of others is dropped. */
  begin(facts: FactRows): void {
    this.#facts = facts;
    this.#restart();
    this.#timer ??= setInterval(() => this.step(), PAUSE_MILLIS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#facts = null;
  }

  /** One step; called by the timer, and by tests that have none. */
  step(): void {
    const { isBusy, isReadOnly, isWritten, done } = this.#options;
    const facts = this.#facts;
    if (facts === null) return;
    if (isReadOnly()) {
      this.#restart();
      return;
    }
    if (isBusy()) return;
    const rows = facts.keys.length / FACT_KEY_WORDS;
    this.#advance(facts, rows);
    if (this.#row < rows || !isWritten()) return;
    const counts = { fit: facts.fit, ...this.#counts };
    this.stop();
    done(counts);
  }

  #restart(): void {
    this.#row = 0;
    this.#counts = { changed: 0, same: 0, refused: 0 };
  }

  #advance(facts: FactRows, rows: number): void {
    const { runtime, ownsPartition } = this.#options;
    const now = epochMillis();
    const end = Math.min(rows, this.#row + ROWS_A_STEP);
    for (let looked = 0; this.#row < end && looked < RECORDS_A_STEP; this.#row++) {
      const partition = facts.keys[this.#row * FACT_KEY_WORDS] as number; // row < rows
      if (!ownsPartition(partition)) continue;
      looked++;
      try {
        this.#counts[takeFacts(runtime, facts, this.#row, now)]++;
      } catch (error) {
        // A record that cannot be read must not end the feed for the others; twice, and it is set aside.
        runtime.reportTurnFailure(error);
        this.#counts.refused++;
      }
    }
  }
}
