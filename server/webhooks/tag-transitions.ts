/**
 * Who entered and left which tag, read out of the journal: a `standing` entry says it, right behind the event that was the
 * cause, and is there exactly when the change was committed. Where in the journal it stands names it for good, so that a
 * batch read twice gives the same names.
 */
import { EFFECT, Effect } from '../../actors/effect.ts';
import { STANDING } from '../../actors/record-layout.ts';
import { standingChanges } from '../../actors/standing.ts';
import type { JournalBatch } from '../../actors/store.ts';

/** A person as the journal names them: partition and keyed hash. */
export interface PersonAddress {
  readonly partition: number;
  readonly low: number;
  readonly high: number;
}

export interface TagTransition extends PersonAddress {
  readonly tagHash: number;
  readonly isEntered: boolean;
  readonly atEpochMillis: number;
  /** Of the person, behind it. */
  readonly stateSeq: number;
  /** Epoch, stream, batch, offset and which of the entry's changes: the same whenever it is read. */
  readonly name: string;
}

const entry = new Effect();

/** Visits the transitions of one batch in their order. @throws RangeError at an entry that is none */
export function forEachTransition(batch: JournalBatch, visit: (transition: TagTransition) => void): void {
  const { epoch, stream, bytes } = batch;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0, next = 0; offset + 8 <= bytes.length; offset = next) {
    next = offset + view.getUint32(offset, true);
    if (next <= offset) throw new RangeError(`journal entry at offset ${offset} has no length`);
    if (bytes[offset + 4] !== EFFECT.standing) continue;
    entry.load(bytes, offset);
    for (const [n, { kind, subject, isSet, at }] of standingChanges(entry).entries()) {
      // Subject 0 is no tag: it says under which tags the person was looked at.
      if (kind !== STANDING.tag || subject === 0) continue;
      visit({
        partition: entry.partition,
        low: entry.hashLow,
        high: entry.hashHigh,
        tagHash: subject,
        isEntered: isSet,
        atEpochMillis: at,
        stateSeq: entry.stateSeq,
        name: `${epoch}-${stream}-${batch.batch}-${offset}-${n}`,
      });
    }
  }
}
