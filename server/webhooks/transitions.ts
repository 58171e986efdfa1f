/**
 * Who entered and left which tag, and who came to which stage of a journey, read out of the journal: a `standing` entry says it, right behind the event that was the
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

export interface StandingTransition extends PersonAddress {
  readonly kind: 'tag' | 'stage';
  /** Hash of the tag, or of the journey. */
  readonly subject: number;
  /** Of a tag: whether it was entered. Of a stage: false where the catalog does not have the journey any more. */
  readonly isSet: boolean;
  /** Of a stage, as `placeOf` reads it. */
  readonly amount: number;
  readonly atEpochMillis: number;
  /** Of the person, behind it. */
  readonly stateSeq: number;
  /** Epoch, stream, batch, offset and which of the entry's changes: the same whenever it is read. */
  readonly name: string;
}

const entry = new Effect();

/** Visits the transitions of one batch in their order. @throws RangeError at an entry that is none */
export function forEachTransition(batch: JournalBatch, visit: (transition: StandingTransition) => void): void {
  const { epoch, stream, bytes } = batch;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let offset = 0, next = 0; offset + 8 <= bytes.length; offset = next) {
    next = offset + view.getUint32(offset, true);
    if (next <= offset) throw new RangeError(`journal entry at offset ${offset} has no length`);
    if (bytes[offset + 4] !== EFFECT.standing) continue;
    entry.load(bytes, offset);
    for (const [n, { kind, subject, isSet, at, amount }] of standingChanges(entry).entries()) {
      // Subject 0 is no tag: it says under which tags the person was looked at.
      const isTag = kind === STANDING.tag && subject !== 0;
      if (!isTag && kind !== STANDING.stage) continue;
      visit({
        partition: entry.partition,
        low: entry.hashLow,
        high: entry.hashHigh,
        kind: isTag ? 'tag' : 'stage',
        ...{ subject, isSet, amount },
        atEpochMillis: at,
        stateSeq: entry.stateSeq,
        name: `${epoch}-${stream}-${batch.batch}-${offset}-${n}`,
      });
    }
  }
}
