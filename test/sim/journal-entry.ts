/**
 * A journal entry as the checker keeps it: plain fields of what a turn says it did. Read from the bytes as they were
 * appended; what follows from them is worked out again in `model-profile.ts`, by rules of its own.
 */
import {
  CHOSEN,
  CHOSEN_BYTES,
  DECISION,
  DECISION_FLAG,
  EFFECT,
  Effect,
  EVENT,
  EVENT_FLAG,
  IDENTIFY,
  JOIN,
  LEASE_EFFECT,
  LEDGER,
  MARK_TYPE_MIN,
  REQUEST_COUNT_SHIFT,
} from '../../actors/effect.ts';
import { FIELD, LEASE_FLAG, STANDING } from '../../actors/record-layout.ts';
import { type StandingChange, standingChanges } from '../../actors/standing.ts';
import { coldCodec } from '../../workers/cold-codec.ts';

/** A batch of a stream: on disk as a whole, or not. */
export interface JournalledBatch {
  readonly epoch: number;
  readonly stream: number;
  readonly number: number;
  isLanded: boolean;
  /** The step of the run in which it landed. */
  landedStep: number;
}

export interface ChosenAction {
  readonly action: number;
  readonly channel: number;
  readonly propensity: number;
  readonly costMinor: number;
  readonly holdsBudget: boolean;
  readonly holdsStock: boolean;
}

interface EntryHead {
  readonly batch: JournalledBatch;
  /** The step of the run in which it was appended. */
  readonly step: number;
  readonly low: number;
  readonly high: number;
  readonly seq: number;
  readonly at: number;
}
export interface DecisionEntry extends EntryHead {
  readonly type: 'decision';
  readonly decisionSeq: number;
  readonly chosen: readonly ChosenAction[];
  readonly expiresAt: number;
  /** NaN without a price. */
  readonly priceMinor: number;
  readonly skuHash: number;
  readonly quoteExpiresAt: number;
  readonly holdsStock: boolean;
  readonly allowedCount: number;
  readonly wanted: number;
  /** Everything the choice was made from but the draw: allowed actions and features, as text. */
  readonly question: string;
}
export interface EventEntry extends EntryHead {
  readonly type: 'event';
  /** Two words of the message id in one number; -1 without one. */
  readonly message: number;
  readonly decisionSeq: number;
  readonly confirms: boolean;
  readonly endsStockHold: boolean;
  /** Kind of the moment added about `action`, 0 for none. */
  readonly momentKind: number;
  readonly action: number;
  readonly channel: number;
  readonly eventAt: number;
  readonly eventHash: number;
  readonly refuses: boolean;
  readonly allows: boolean;
  /** Units taken from stock without a lease, by subject. */
  readonly takes: readonly (readonly [subjectHash: number, amount: number])[];
}
export interface IdentifyEntry extends EntryHead {
  readonly type: 'identify';
  readonly age: number | null;
}
export interface LeaseEntry extends EntryHead {
  readonly type: 'release' | 'expire' | 'other';
  readonly decisionSeq: number;
}
export interface StandingEntry extends EntryHead {
  readonly type: 'standing';
  /** Tags begun and ended, by hash. */
  readonly tags: readonly { readonly subject: number; readonly isSet: boolean }[];
  /** Moves in journeys: hashes of journey and stage, and since when. */
  readonly stages: readonly { readonly journey: number; readonly stage: number; readonly at: number }[];
  /** Of a device: marks of people noted, since when, 1 where they were told; and of those who are gone. */
  readonly users: readonly Pick<StandingChange, 'subject' | 'isSet' | 'at' | 'amount'>[];
  /** Low word of the hash of the profile it was joined into; null: its own again; absent: nothing of that. */
  readonly movedTo?: number | null;
}
export interface JoinEntry extends EntryHead {
  readonly type: 'join';
  /** Low word of the other profile's hash, and what its decisions' numbers were raised by. */
  readonly other: number;
  readonly raisedBy: number;
  /** The state in which it came. */
  readonly otherSeq: number;
}
export type JournalEntry = DecisionEntry | EventEntry | IdentifyEntry | LeaseEntry | StandingEntry | JoinEntry;

const effect = new Effect();

export function messageKey(low: number, high: number): number {
  return low * 0x20_0000 + (high >>> 11);
}

/** The entry that begins at `start`, or null for a mark, which is about no profile. */
export function readEntry(bytes: Uint8Array, start: number, batch: JournalledBatch, step: number): JournalEntry | null {
  if ((bytes[start + 4] as number) >= MARK_TYPE_MIN) return null;
  effect.load(bytes, start);
  const head = { batch, step, low: effect.hashLow, high: effect.hashHigh, seq: effect.stateSeq, at: effect.at };
  switch (effect.type) {
    case EFFECT.decision:
      return readDecision(head);
    case EFFECT.event:
      return readEvent(head);
    case EFFECT.identify: {
      const size = effect.getU32(IDENTIFY.traitBytes);
      const traits = coldCodec.decodeProperties(effect.u8.slice(IDENTIFY.traits, IDENTIFY.traits + size));
      return { ...head, type: 'identify', age: typeof traits.age === 'number' ? traits.age : null };
    }
    case EFFECT.release:
      return { ...head, type: 'release', decisionSeq: effect.getU32(LEASE_EFFECT.decisionSeq) };
    case EFFECT.standing: {
      const changes = standingChanges(effect);
      const tags = changes.filter(({ kind }) => kind === STANDING.tag);
      const moved = changes.filter(({ kind }) => kind === STANDING.moved).at(-1);
      return {
        ...head,
        type: 'standing',
        tags: tags.map(({ subject, isSet }) => ({ subject, isSet })),
        stages: changes
          .filter(({ kind }) => kind === STANDING.stage)
          .map(({ subject, amount, at }) => ({ journey: subject, stage: amount, at })),
        users: changes.filter(({ kind }) => kind === STANDING.deviceUser),
        ...(moved === undefined ? {} : { movedTo: moved.isSet ? moved.subject : null }),
      };
    }
    case EFFECT.join:
      return {
        ...head,
        type: 'join',
        other: effect.getU32(JOIN.low),
        raisedBy: effect.getU32(JOIN.raisedBy),
        otherSeq: effect.getU32(JOIN.content + FIELD.stateSeq),
      };
    case EFFECT.expire:
      return { ...head, type: 'expire', decisionSeq: 0 };
    default:
      return { ...head, type: 'other', decisionSeq: 0 };
  }
}

function readDecision(head: EntryHead): DecisionEntry {
  const flags = effect.u8[DECISION.flags] as number;
  const count = effect.u8[DECISION.chosenCount] as number;
  const chosen: ChosenAction[] = [];
  for (let k = 0; k < count; k++) {
    const at = DECISION.chosen + k * CHOSEN_BYTES;
    const leaseFlags = effect.getU32(at + CHOSEN.leaseFlags);
    chosen.push({
      action: effect.getU32(at + CHOSEN.actionHash),
      channel: effect.getU32(at + CHOSEN.channelHash),
      propensity: effect.getF64(at + CHOSEN.propensity),
      costMinor: effect.getF64(at + CHOSEN.costMinor),
      holdsBudget: (leaseFlags & LEASE_FLAG.holdsBudget) !== 0,
      holdsStock: (leaseFlags & LEASE_FLAG.holdsStock) !== 0,
    });
  }
  const hasPrice = (flags & DECISION_FLAG.hasPrice) !== 0;
  let question = '';
  const from = effect.allowedStart() >>> 2;
  const to = effect.subsetStart() >>> 2;
  for (let word = from; word < to; word++)
    question += String.fromCharCode((effect.u32[word] as number) & 0xffff, (effect.u32[word] as number) >>> 16);
  return {
    ...head,
    type: 'decision',
    decisionSeq: effect.getU32(DECISION.decisionSeq),
    chosen,
    expiresAt: effect.getF64(DECISION.leaseExpiresAt),
    priceMinor: hasPrice ? effect.getF64(DECISION.priceMinor) : Number.NaN,
    skuHash: hasPrice ? effect.getU32(DECISION.skuHash) : 0,
    quoteExpiresAt: effect.getF64(DECISION.quoteExpiresAt),
    holdsStock: (flags & DECISION_FLAG.holdsStock) !== 0,
    allowedCount: effect.getU16(DECISION.allowedCount),
    wanted: effect.getU32(DECISION.requestFlags) >>> REQUEST_COUNT_SHIFT,
    question,
  };
}

function readEvent(head: EntryHead): EventEntry {
  const flags = effect.getU32(EVENT.flags);
  const takes: [number, number][] = [];
  for (let i = 0; i < effect.ledgerCount; i++) {
    if (effect.ledgerKind(i) === LEDGER.take) takes.push([effect.ledgerSubject(i), effect.ledgerAmount(i)]);
  }
  return {
    ...head,
    type: 'event',
    message:
      flags & EVENT_FLAG.hasMessage
        ? messageKey(effect.getU32(EVENT.messageLow), effect.getU32(EVENT.messageHigh))
        : -1,
    decisionSeq: effect.getU32(EVENT.decisionSeq),
    confirms: (flags & EVENT_FLAG.confirms) !== 0,
    endsStockHold: (flags & EVENT_FLAG.endsStockHold) !== 0,
    momentKind: flags & EVENT_FLAG.actionMoment ? (effect.u8[5] as number) : 0,
    action: effect.getU32(EVENT.actionHash),
    channel: effect.getU32(EVENT.channelHash),
    eventAt: effect.getF64(EVENT.eventAt),
    eventHash: effect.getU32(EVENT.eventHash),
    refuses: (flags & EVENT_FLAG.contactRefused) !== 0,
    allows: (flags & EVENT_FLAG.contactAllowed) !== 0,
    takes,
  };
}
