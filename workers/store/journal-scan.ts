/**
 * Reading the journal in order, a few batches at a time. Between two chunks nothing is held: no cursor
 * and no snapshot, so that a scan of any length, or a reader that stops half-way, never keeps old
 * pages from being used again. A batch committed during the scan may therefore be part of it.
 */
import type { JournalBatch, JournalPosition } from '../../actors/store.ts';
import type { StoreDatabase } from './environment.ts';
import { BATCH_MAX, decodeJournalKey, encodeJournalKey, JournalCoverage } from './journal-key.ts';
import { checkSeal } from './sealed-value.ts';

const CHUNK_BATCHES = 16;

/**
 * The batches that `from` covers (see JournalCoverage), by epoch, then stream, then batch. Each batch's
 * bytes belong to the caller. Throws StoreError `CORRUPT` at a damaged batch, having yielded those before it.
 */
export function* journalBatches(journal: StoreDatabase, from: readonly JournalPosition[]): Generator<JournalBatch> {
  const coverage = new JournalCoverage(from);
  let start: Uint8Array | undefined = encodeJournalKey(coverage.epochMin, 0, 0);
  while (start !== undefined) {
    const pairs = journal.pairs(start, undefined, CHUNK_BATCHES);
    start = undefined;
    for (const { key, sealed } of pairs) {
      const position = decodeJournalKey(key);
      if (position === undefined) continue;
      const first = coverage.firstBatch(position.epoch, position.stream);
      if (position.batch < first) {
        // Greater than this key, so the walk always advances.
        start = first > BATCH_MAX ? keyAfterStream(position) : encodeJournalKey(position.epoch, position.stream, first);
        break;
      }
      const length = checkSeal(sealed, journal.name, key);
      yield { ...position, bytes: sealed.subarray(0, length) };
    }
    if (start === undefined && pairs.length === CHUNK_BATCHES) start = successor(pairs[CHUNK_BATCHES - 1]?.key);
  }
}

/** The number of the last batch of a stream, or 0. */
export function lastBatchOf(journal: StoreDatabase, epoch: number, stream: number): number {
  const first = encodeJournalKey(epoch, stream, 0);
  const key = journal.lastKey(first, encodeJournalKey(epoch, stream, BATCH_MAX));
  return key === undefined ? 0 : (decodeJournalKey(key)?.batch ?? 0);
}

/**
 * At most `limit` keys of the oldest batches that `from` does not cover: what a trim may remove.
 */
export function uncoveredKeys(journal: StoreDatabase, from: readonly JournalPosition[], limit: number): Uint8Array[] {
  const coverage = new JournalCoverage(from);
  const found: Uint8Array[] = [];
  let start: Uint8Array | undefined = encodeJournalKey(0, 0, 0);
  while (start !== undefined && found.length < limit) {
    const keys: Uint8Array[] = journal.keys(start, undefined, limit);
    start = undefined;
    for (const key of keys) {
      const position = decodeJournalKey(key);
      if (position === undefined) continue;
      if (position.batch >= coverage.firstBatch(position.epoch, position.stream)) {
        start = keyAfterStream(position);
        break;
      }
      if (found.length < limit) found.push(key);
    }
    if (start === undefined && keys.length === limit) start = successor(keys[limit - 1]);
  }
  return found;
}

/** The smallest key after every batch of this stream. */
function keyAfterStream(position: JournalPosition): Uint8Array | undefined {
  return successor(encodeJournalKey(position.epoch, position.stream, BATCH_MAX));
}

/** The smallest key greater than `key`. */
function successor(key: Uint8Array | undefined): Uint8Array | undefined {
  if (key === undefined) return undefined;
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
