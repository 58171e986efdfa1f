/**
 * Where a journal batch is stored: ten bytes, big-endian, so that LMDB's byte order is the order of
 * epoch, then stream, then batch. Also the one rule that says which batches a set of positions covers;
 * scanning, trimming and the log reader all use it, so that trimming can never remove a batch that a
 * scan from the same positions would have visited.
 *
 *   [epoch u32][stream u16][batch u32]
 */
import type { JournalPosition } from '../../actors/store.ts';

export const JOURNAL_KEY_BYTES = 10;
export const EPOCH_MAX = 0xffff_ffff;
export const STREAM_MAX = 0xffff;
export const BATCH_MAX = 0xffff_ffff;

export function encodeJournalKey(epoch: number, stream: number, batch: number): Uint8Array {
  const key = new Uint8Array(JOURNAL_KEY_BYTES);
  const view = new DataView(key.buffer);
  view.setUint32(0, epoch);
  view.setUint16(4, stream);
  view.setUint32(6, batch);
  return key;
}

/** The position a key names, or undefined for a key that is not ten bytes long. */
export function decodeJournalKey(key: Uint8Array): JournalPosition | undefined {
  if (key.length !== JOURNAL_KEY_BYTES) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return { epoch: view.getUint32(0), stream: view.getUint16(4), batch: view.getUint32(6) };
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
