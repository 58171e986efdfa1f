/**
 * Blanks an entry of a journal batch where it stands: an `erased` mark of the same length, so that every other entry
 * keeps its place and its pointers. What it moved in the ledger of budgets and stock stays, because sums over the
 * journal must still come out; of the person nothing does. Called by `LmdbStore.blankJournal` for whoever erases.
 *
 *   0 u32 length   4 u8 `MARK.erased`   5 u8 type of what stood here   6 u8 partition   7 u8 ledger operations
 *   8 u8 1 if it had taught the models       …       ledger operations, at the very end
 */
import { EFFECT, EFFECT_HEADER_BYTES, EVENT, LEDGER_BYTES, TEACHING } from '../../actors/effect.ts';
import { MARK } from '../../actors/journal-marks.ts';

export const ERASED = { type: 5, hasTaught: 8 } as const;

/**
 * Of marks and of what is blank already nothing is changed.
 * @throws RangeError where no entry begins at the offset
 */
export function blankEntry(batch: Uint8Array, offset: number): void {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  const length = offset + EFFECT_HEADER_BYTES <= batch.length ? view.getUint32(offset, true) : 0;
  if (length < EFFECT_HEADER_BYTES || offset + length > batch.length)
    throw new RangeError(`no journal entry begins at offset ${offset} of a batch of ${batch.length} bytes`);
  const type = view.getUint8(offset + 4);
  if (type >= MARK.start) return;
  const hasTaught = type === EFFECT.event && (view.getUint32(offset + EVENT.flags, true) & TEACHING) !== 0;
  const ledgerBytes = view.getUint8(offset + 7) * LEDGER_BYTES;
  view.setUint8(offset + 4, MARK.erased);
  view.setUint8(offset + ERASED.type, type);
  batch.fill(0, offset + 8, offset + length - ledgerBytes);
  view.setUint8(offset + ERASED.hasTaught, hasTaught ? 1 : 0);
}
