/**
 * Where a journal batch is stored. Big-endian, so that LMDB's byte order is the order of epoch, then
 * stream, then batch, then piece. Also the one rule that says which batches a set of positions covers;
 * scanning, trimming and the log reader all use it, so that trimming can never remove a batch that a
 * scan from the same positions would have visited.
 *
 *   [epoch u32][stream u16][batch u32][piece u16]
 *
 * A batch is cut into pieces of one page each (see journal-scan.ts).
 */
import type { JournalPosition } from '../../actors/store.ts';

const JOURNAL_KEY_BYTES = 12;
const BATCH_PREFIX_BYTES = 10;
export const EPOCH_MAX = 0xffff_ffff;
export const STREAM_MAX = 0xffff;
export const BATCH_MAX = 0xffff_ffff;
export const PIECE_MAX = 0xffff;

export interface PiecePosition extends JournalPosition {
  /** Counts up from 0 within the batch. */
  readonly piece: number;
}

export function encodeJournalKey(epoch: number, stream: number, batch: number, piece: number): Uint8Array {
  const key = new Uint8Array(JOURNAL_KEY_BYTES);
  const view = new DataView(key.buffer);
  view.setUint32(0, epoch);
  view.setUint16(4, stream);
  view.setUint32(6, batch);
  view.setUint16(10, piece);
  return key;
}

/** The position a key names, or undefined for a key of another length. */
export function decodeJournalKey(key: Uint8Array): PiecePosition | undefined {
  if (key.length !== JOURNAL_KEY_BYTES) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return { epoch: view.getUint32(0), stream: view.getUint16(4), batch: view.getUint32(6), piece: view.getUint16(10) };
}

export function isSameBatch(key: Uint8Array, other: Uint8Array): boolean {
  for (let index = 0; index < BATCH_PREFIX_BYTES; index++) if (key[index] !== other[index]) return false;
  return true;
}

/** Greater than every key of the batch and smaller than the next one's first. */
export function keyAfterBatch({ epoch, stream, batch }: JournalPosition): Uint8Array {
  return successor(encodeJournalKey(epoch, stream, batch, PIECE_MAX));
}

/** Greater than every key of the stream and smaller than the next one's first. */
export function keyAfterStream({ epoch, stream }: JournalPosition): Uint8Array {
  return successor(encodeJournalKey(epoch, stream, BATCH_MAX, PIECE_MAX));
}

/** The smallest key greater than `key`. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/**
 * The batches "from these positions on": in a listed epoch and stream those whose number is at least
 * the listed one; in an unlisted stream every batch, unless its epoch is older than every listed epoch,
 * where none is covered. No position covers everything.
 */
export class JournalCoverage {
  readonly epochMin: number;
  readonly #firstBatches = new Map<number, number>();

  constructor(from: readonly JournalPosition[]) {
    let epochMin = from.length === 0 ? 0 : EPOCH_MAX;
    for (const position of from) {
      epochMin = Math.min(epochMin, position.epoch);
      const slot = streamSlot(position.epoch, position.stream);
      const known = this.#firstBatches.get(slot);
      if (known === undefined || position.batch < known) this.#firstBatches.set(slot, position.batch);
    }
    this.epochMin = epochMin;
  }

  /** The smallest covered batch number of a stream; Infinity where none is. */
  firstBatch(epoch: number, stream: number): number {
    if (epoch < this.epochMin) return Number.POSITIVE_INFINITY;
    return this.#firstBatches.get(streamSlot(epoch, stream)) ?? 0;
  }
}

/** One number for an epoch (32 bits) and a stream (16 bits); 48 bits are exact in a double. */
function streamSlot(epoch: number, stream: number): number {
  return epoch * 0x1_0000 + stream;
}
