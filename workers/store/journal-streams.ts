/**
 * The journal by streams: each worker of a start wrote one. Two streams of one start are in order each, and
 * between them only as far as their entries say, so a reader walks them side by side.
 */
import { Effect } from '../../actors/effect.ts';
import type { JournalBatch, JournalPosition } from '../../actors/store.ts';
import { BATCH_MAX } from './journal-key.ts';
import type { JournalReader } from './journal-reader.ts';

/** First batches of each stream of the oldest epoch that `from` covers; one short read a stream. */
export function streamsOf(reader: JournalReader, from: readonly JournalPosition[]): JournalPosition[] {
  const found: JournalPosition[] = [];
  let rest = from;
  for (;;) {
    const [first] = reader.read(rest);
    if (first === undefined || first.epoch !== (found[0]?.epoch ?? first.epoch)) return found;
    const { epoch, stream, batch } = first;
    if (batch === BATCH_MAX) return found;
    found.push({ epoch, stream, batch });
    const others = rest.filter((position) => position.epoch !== epoch || position.stream !== stream);
    rest = [...others, { epoch, stream, batch: BATCH_MAX }];
  }
}

/** One stream of one epoch, entry by entry. */
export class StreamCursor {
  readonly entry = new Effect();
  readonly #batches: Generator<JournalBatch>;
  readonly #stream: number;
  readonly #epoch: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #nextBatch: number;

  /** @param passed positions that keep the epoch's other streams out */
  constructor(reader: JournalReader, from: JournalPosition, passed: readonly JournalPosition[]) {
    this.#batches = reader.read([...passed.filter(({ stream }) => stream !== from.stream), from]);
    this.#stream = from.stream;
    this.#epoch = from.epoch;
    this.#nextBatch = from.batch;
  }

  /** Batch and offset of `entry`. */
  get batch(): number {
    return this.#nextBatch - 1;
  }
  get entryOffset(): number {
    return this.#offset - this.entry.length;
  }
  /** Whether `entry` is the last of its batch. */
  get isBatchEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  /** First batch of which nothing was given yet. */
  get next(): JournalPosition {
    return { epoch: this.#epoch, stream: this.#stream, batch: this.#nextBatch };
  }

  /** Puts the next entry into `entry`; false behind the last. */
  advance(): boolean {
    for (;;) {
      const end = this.entry.load(this.#bytes, this.#offset);
      if (end >= 0) {
        this.#offset = end;
        return true;
      }
      const { value, done } = this.#batches.next();
      if (done === true) return false;
      if (value.epoch !== this.#epoch || value.stream > this.#stream) {
        this.#batches.return(undefined);
        return false;
      }
      // A stream begun since the list was made is covered too, and comes with the next call.
      if (value.stream !== this.#stream) continue;
      this.#bytes = value.bytes;
      this.#offset = 0;
      this.#nextBatch = value.batch + 1;
    }
  }
}
