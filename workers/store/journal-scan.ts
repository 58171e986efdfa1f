/**
 * Reading the journal in order, a few batches at a time. Between two chunks nothing is held: no cursor
 * and no snapshot, so that a scan of any length, or a reader that stops half-way, never keeps old
 * pages from being used again. A batch committed during the scan may therefore be part of it, one
 * trimmed during the scan may be missing; each batch by itself is read within one snapshot.
 *
 * A batch is stored in pieces, because a value that spans several pages needs as many free pages in a
 * row: in a store whose records have been rewritten for a while, LMDB's search for them took 8 ms a
 * commit, against under 1 ms for the same bytes in pieces of exactly one page. Every piece but the last
 * is full, the last one never is, so a missing piece shows.
 */
import type { JournalBatch, JournalPosition } from '../../actors/store.ts';
import type { StoredPair, StoreTable } from './environment.ts';
import {
  BATCH_MAX,
  decodeJournalKey,
  encodeJournalKey,
  isSameBatch,
  JournalCoverage,
  keyAfterBatch,
  keyAfterStream,
  PIECE_MAX,
} from './journal-key.ts';
import { checkSeal, corruptError, SEAL_BYTES, sealedCopy } from './sealed-value.ts';

/** With seal and page header exactly one page of 4,096 bytes. */
export const PIECE_BYTES = 4072 - SEAL_BYTES;
const CHUNK_PIECES = 64;

/**
 * The batches that `from` covers (see JournalCoverage), by epoch, then stream, then batch. Each batch's
 * bytes belong to the caller. Throws StoreError `CORRUPT` at a damaged batch, having yielded those before it.
 */
export function* journalBatches(journal: StoreTable, from: readonly JournalPosition[]): Generator<JournalBatch> {
  const coverage = new JournalCoverage(from);
  const start = encodeJournalKey(coverage.epochMin, 0, 0, 0);
  const groups = storedBatches(journal, start, (position) => {
    const first = coverage.firstBatch(position.epoch, position.stream);
    if (position.batch >= first) return undefined;
    return first > BATCH_MAX ? keyAfterStream(position) : encodeJournalKey(position.epoch, position.stream, first, 0);
  });
  for (const { epoch, stream, batch, pieces } of groups) yield { epoch, stream, batch, bytes: join(journal, pieces) };
}

/** The keys of the oldest batches that `from` does not cover, whole batches, about `limit` keys. */
export function uncoveredKeys(journal: StoreTable, from: readonly JournalPosition[], limit: number): Uint8Array[] {
  const coverage = new JournalCoverage(from);
  const found: Uint8Array[] = [];
  const groups = storedBatches(journal, encodeJournalKey(0, 0, 0, 0), (position) =>
    position.batch < coverage.firstBatch(position.epoch, position.stream) ? undefined : keyAfterStream(position),
  );
  for (const { pieces } of groups) {
    for (const { key } of pieces) found.push(key);
    if (found.length >= limit) break;
  }
  return found;
}

/** One batch, or undefined where there is none. Throws StoreError `CORRUPT`. */
export function readBatch(journal: StoreTable, position: JournalPosition): Uint8Array | undefined {
  const pieces = piecesOf(journal, position);
  return pieces.length === 0 ? undefined : join(journal, pieces);
}

/** A whole batch as its pieces are stored, the first first. */
export function sealedPieces(bytes: Uint8Array): Uint8Array[] {
  const count = Math.floor(bytes.length / PIECE_BYTES) + 1;
  return Array.from({ length: count }, (_, piece) =>
    sealedCopy(bytes.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES)),
  );
}

/** The number of the last batch of a stream, or 0. */
export function lastBatchOf(journal: StoreTable, epoch: number, stream: number): number {
  const first = encodeJournalKey(epoch, stream, 0, 0);
  const key = journal.lastKey(first, encodeJournalKey(epoch, stream, BATCH_MAX, PIECE_MAX));
  return key === undefined ? 0 : (decodeJournalKey(key)?.batch ?? 0);
}

interface StoredBatch extends JournalPosition {
  readonly pieces: readonly StoredPair[];
}

/**
 * Walks the journal batch by batch from the key `start`. `skip` returns undefined for a batch that is
 * wanted and otherwise the key to go on from, which must be greater than the batch's first.
 */
function* storedBatches(
  journal: StoreTable,
  start: Uint8Array,
  skip: (position: JournalPosition) => Uint8Array | undefined,
): Generator<StoredBatch> {
  let from: Uint8Array | undefined = start;
  while (from !== undefined) {
    const pairs = journal.pairs(from, undefined, CHUNK_PIECES);
    const isEnd = pairs.length < CHUNK_PIECES;
    from = undefined;
    let index = 0;
    while (index < pairs.length && from === undefined) {
      const { key } = pairs[index] as StoredPair; // index < length
      const position = decodeJournalKey(key);
      if (position === undefined) throw corruptError(journal.name, key);
      let end = index + 1;
      while (end < pairs.length && isSameBatch(key, (pairs[end] as StoredPair).key)) end++; // end < length
      from = skip(position);
      if (from !== undefined) break;
      if (end < pairs.length || isEnd) {
        yield { ...position, pieces: pairs.slice(index, end) };
      } else if (index > 0) {
        // The batch may go on past this chunk: the next one begins with it.
        from = key;
      } else {
        const pieces = piecesOf(journal, position);
        if (pieces.length > 0) yield { ...position, pieces };
        from = keyAfterBatch(position);
      }
      index = end;
    }
  }
}

function piecesOf(journal: StoreTable, position: JournalPosition): StoredPair[] {
  const first = encodeJournalKey(position.epoch, position.stream, position.batch, 0);
  return journal.pairs(first, keyAfterBatch(position), PIECE_MAX + 1);
}

/** The bytes of a batch from all its pieces. Throws StoreError `CORRUPT` for a damaged or missing one. */
function join(journal: StoreTable, pieces: readonly StoredPair[]): Uint8Array {
  let size = 0;
  for (const [index, { key, sealed }] of pieces.entries()) {
    const length = checkSeal(sealed, journal.name, key);
    const isLast = index === pieces.length - 1;
    const isInPlace = decodeJournalKey(key)?.piece === index && isLast === length < PIECE_BYTES;
    if (!isInPlace) throw corruptError(journal.name, key);
    size += length;
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const { sealed } of pieces) {
    bytes.set(sealed.subarray(0, sealed.length - SEAL_BYTES), offset);
    offset += sealed.length - SEAL_BYTES;
  }
  return bytes;
}
