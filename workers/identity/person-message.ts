/**
 * What the shards of two profiles say to each other while these become one person, or two again. Every message may be lost
 * (its worker dies) and may be told twice; nothing depends on the order of messages to different profiles. Of a message
 * about a profile that is a signpost by now, whoever gets it sends it on to where that points.
 */
import type { Signpost } from '../../actors/identity.ts';
import type { JoiningProfile } from '../../actors/identity-turn.ts';

/** A joining profile, to the one it joins. */
export interface Arrival {
  readonly kind: 'arrive';
  readonly to: Signpost;
  /** Third word of its hash, for a profile that is not there yet; null: it is. */
  readonly check: number | null;
  readonly profile: JoiningProfile;
  /** Names of the profiles on the way that are joining themselves; the joining one's is the first. */
  readonly way: readonly string[];
}

/** Back to the joining profile: where the person is now. */
export interface Settled {
  readonly kind: 'settled';
  readonly to: Signpost;
  readonly seq: number;
  readonly root: Signpost;
  readonly stateSeq: number;
}

/** Back to the joining profile: why not. `code` is the fault's. */
export interface Refused {
  readonly kind: 'refused';
  readonly to: Signpost;
  readonly seq: number;
  readonly code: number;
  readonly message: string;
}

/** To a signpost: the person it points to is found under another key by now. */
export interface Repointed {
  readonly kind: 'repoint';
  readonly to: Signpost;
  readonly root: Signpost;
}

/** A signpost that is to stand alone again: to the profile that holds the person, and on the way to that one's answer. */
export interface Unjoining {
  readonly kind: 'unjoin';
  readonly to: Signpost;
  readonly profile: JoiningProfile;
  /** Where the signpost pointed when it asked: the answer counts while it points there still. */
  readonly asked: Signpost;
  /** Who has to know first; null where that was not worked out yet. */
  readonly round: PartingRound | null;
}

/** From the profile that holds the person to each that has to know, on whose disk it is then, and back. */
export interface PartingRound {
  readonly root: Signpost;
  /** Number of the joining that is undone. */
  readonly seq: number;
  /** Those left, the next first. */
  readonly visits: readonly PartingVisit[];
}
export interface PartingVisit {
  readonly key: Signpost;
  /** A key that goes along is to point to the one that leaves; another, which that one came with, is to let go of it. */
  readonly goesAlong: boolean;
}

/** Back: it may. `code` 0, or the fault's with the reason. */
export interface Unjoined {
  readonly kind: 'unjoined';
  readonly to: Signpost;
  /** As in `Unjoining`. */
  readonly asked: Signpost;
  readonly stateSeq: number;
  readonly code: number;
  readonly message: string;
}

/** The person is being erased: what is left under this key goes too. */
export interface Erasing {
  readonly kind: 'erase';
  readonly to: Signpost;
  readonly root: Signpost;
}

/** Back: of this key nothing is left. */
export interface Erased {
  readonly kind: 'erased';
  readonly to: Signpost;
  readonly key: Signpost;
}

export type PersonMessage = Arrival | Settled | Refused | Repointed | Unjoining | Unjoined | Erasing | Erased;
