/**
 * An effect: what one turn changed, as one journal entry. A turn first works out its effect, then the
 * effect is applied to the record and appended to the journal. Recovery applies the same bytes through
 * the same function, so that memory and disk cannot come to differ.
 *
 *   turn ─▸ Effect ─┬─▸ applyEffect(record)        recovery: journal ─▸ Effect ─▸ applyEffect(record)
 *                   └─▸ journal
 *
 * Applied once: an effect carries the `stateSeq` it leads to, and is skipped by a record that is there
 * already. Besides the record it states two things in full, so that recovery need not work them out
 * again: what it moves in the ledger of budgets and stock (`ledger operations`) and what it taught the
 * models (flags and the journal position of the decision learnt from).
 *
 * Layout, little-endian, every entry padded to 8 bytes:
 *   0 u32 length   4 u8 type   5 u8 -   6 u8 partition   7 u8 ledger operations
 *   8 u32 hash low, high, check   20 u32 stateSeq   24 f64 at
 *  32 u32 × 4 journal position of the profile's previous entry (epoch, stream, batch, offset)
 *  48 body by type (offsets below)    …    ledger operations, 16 B each, at the very end
 *
 * Between effects stand marks (`journal-marks.ts`), which change no record. They and a decision's request part
 * are there so that a decision can be computed again from the journal alone.
 */
import { DEMAND_INPUTS_MAX } from '../decision/demand-inputs.ts';
import { FIELD } from './record-layout.ts';

export const EFFECT = {
  decision: 1,
  event: 2,
  identify: 3,
  release: 5,
  expire: 6,
  standing: 7,
  section: 8,
  /** The person's last: record and cold record are gone with it, what leases held is free. */
  erase: 9,
  /** Another profile's record and cold record join this one's, see `identity-turn.ts`. */
  join: 10,
  /** What came of that profile goes again. */
  unjoin: 11,
} as const;
/** Types from here on are marks. */
export const MARK_TYPE_MIN = 16;
export type EffectType = (typeof EFFECT)[keyof typeof EFFECT];

export const EFFECT_HEADER_BYTES = 48;

/** Offsets of a decision's body. */
export const DECISION = {
  decisionSeq: 48,
  modelEpoch: 52,
  catalogVersion: 56,
  slotHash: 60,
  seed0: 64,
  seed1: 68,
  skuHash: 72,
  chosenCount: 76,
  flags: 77,
  featureCount: 78,
  priceMinor: 80,
  quoteExpiresAt: 88,
  leaseExpiresAt: 96,
  sendTimeAt: 104,
  sendChannelHash: 112,
  allowedWords: 116,
  candidateCount: 118,
  requestFlags: 120,
  allowedCount: 124,
  /** Of the final price; NaN without one, and where an earlier quote holds it. */
  pricePropensity: 128,
  /** The channel asked for; 0 for any. */
  channelHash: 136,
  contextBytes: 140,
  chosen: 144,
} as const;
/** What was asked: bits 0 to 2 are `WANT`, from bit 8 on the count. */
export const REQUEST_FLAG = {
  /** Only some actions were asked for: their bitmap follows the features. */
  hasSubset: 16,
  /** Some eligible actions had no budget left: their bitmap follows. */
  lacksBudget: 32,
  /** The request came with `Sec-GPC: 1`. */
  optOut: 64,
  /** Who asked showed a token: their name stands at the end, its length first. */
  hasAsker: 128,
} as const;
export const REQUEST_COUNT_SHIFT = 8;
/** Of an asker's name; one byte says how many it has. */
export const ASKER_BYTES_MAX = 255;
/** From this bit on one a purpose of `PURPOSE`: it was refused for the decision. */
export const REFUSED_SHIFT = 16;
export const DECISION_FLAG = {
  explored: 1,
  heldOut: 2,
  hasPrice: 4,
  hasSendTime: 8,
  /** A unit of the priced product is held, by the lease of the first action or, without one, of the price. */
  holdsStock: 16,
  /** Other workers took the budget of every choice in turn: nothing was chosen. */
  outbid: 32,
  /** The price is the person's own: everybody's stands before the context. */
  personalPrice: 64,
  /** What moves the product's demand stands before that: see `INPUT_BYTES`. */
  demandInputs: 128,
} as const;
/** Everybody's price beside a personal one: high and low word of 64 bits. */
export const MASKED_BYTES = 8;
/** The hash of their declaration, then the values. */
export const INPUT_BYTES = 4 + 4 * DEMAND_INPUTS_MAX;

/** Offsets of one chosen action inside a decision, from `DECISION.chosen + i * CHOSEN_BYTES`. */
export const CHOSEN_BYTES = 48;
export const CHOSEN = {
  actionHash: 0,
  channelHash: 4,
  creativeIndex: 8,
  leaseFlags: 12,
  propensity: 16,
  score: 24,
  responseProbability: 32,
  costMinor: 40,
} as const;

/** Offsets of an event's body. */
export const EVENT = {
  eventAt: 48,
  eventHash: 56,
  messageLow: 60,
  messageHigh: 64,
  decisionSeq: 68,
  actionHash: 72,
  channelHash: 76,
  skuHash: 80,
  flags: 84,
  /**
   * u8, the top byte of the flags: what is not learnt yet of the trial, in 1/OWED_UNITS. Of a trial and a step of it what
   * is left, of a response what there was.
   */
  owed: 87,
  amount: 88,
  revenueMinor: 96,
  priceMinor: 104,
  /** Units of a purchase; of a step of a trial what it teaches, in 1/OWED_UNITS. */
  quantity: 112,
  decisionEpoch: 120,
  decisionStream: 124,
  decisionBatch: 128,
  decisionOffset: 132,
  hourOfWeek: 136,
  nameBytes: 138,
  propertyBytes: 140,
  /** Hash of the person's time zone's name, for the look-alikes' hours. */
  zoneHash: 144,
  /** f32, ln of the days since the purchase before; NaN for a person's first. Read with the flag `occasion` only. */
  logGap: 148,
  name: 152,
} as const;
export const EVENT_FLAG = {
  hasMessage: 1,
  /** Confirms the open lease of the decision it names. */
  confirms: 2,
  /** Taught the response model a trial without response … */
  trial: 4,
  /** … a response to a trial already counted … */
  response: 8,
  /** … or a trial with its response at once. */
  trialWithResponse: 16,
  quote: 32,
  purchase: 64,
  /** Adds a moment about the action (and its channel) it names, of the kind `momentKind`. */
  actionMoment: 128,
  /** Adds a moment about the event itself, for rules. */
  eventMoment: 256,
  sendTime: 512,
  contactRefused: 1024,
  contactAllowed: 2048,
  /** A purchase of the unit its decision held. */
  endsStockHold: 4096,
  /** A purchase that is not part of the one before it: one step of the person's cycle. */
  occasion: 8192,
  /** Taught the response model one more part of a trial without response, as it grew older. */
  ripened: 16_384,
  /** The price quoted or paid was the person's own: it teaches how many ask, and nothing about demand. */
  personalPrice: 32_768,
  /** It came with `Sec-GPC: 1`. */
  optOut: 65_536,
  /** The person was restricted: it is stored and not used. */
  restricted: 131_072,
} as const;
/** Flags of an event that teaches some model. */
export const TEACHING =
  EVENT_FLAG.trial |
  EVENT_FLAG.ripened |
  EVENT_FLAG.response |
  EVENT_FLAG.trialWithResponse |
  EVENT_FLAG.quote |
  EVENT_FLAG.purchase |
  EVENT_FLAG.sendTime |
  EVENT_FLAG.occasion;
/** A trial is learnt in parts of this size. */
export const OWED_UNITS = 256;

/**
 * Offsets of identify (a MessagePack map of traits) and of release (a decision). `fit` is 0 where a caller set the
 * traits; facts carry the number of the fit that computed them.
 */
export const IDENTIFY = { traitBytes: 48, fit: 52, traits: 56 } as const;
/** Byte 5 of an identify whose traits were told earlier than it came: when stands in its last 8 bytes. */
const TOLD_EARLIER = 1;

/** Fills in an identify. @param toldAt epoch milliseconds; NaN or the turn's own instant and later: now */
export function fillIdentify(effect: Effect, traits: Uint8Array, toldAt: number, now: number): void {
  const isEarlier = toldAt < now;
  const content = IDENTIFY.traits - EFFECT_HEADER_BYTES + traits.length;
  effect.begin(EFFECT.identify, isEarlier ? Math.ceil(content / 8) * 8 + 8 : content);
  effect.setU32(IDENTIFY.traitBytes, traits.length);
  effect.u8.set(traits, IDENTIFY.traits);
  effect.u8[5] = isEarlier ? TOLD_EARLIER : 0;
  if (isEarlier) effect.setF64(effect.length - 8, toldAt);
}

/** When the traits of an identify were told. */
export function toldAtOf(entry: Effect): number {
  return entry.u8[5] === TOLD_EARLIER ? entry.getF64(entry.length - 8) : entry.at;
}
export const LEASE_EFFECT = { decisionSeq: 48 } as const;
/** Offsets of standing (changes of `STANDING_BYTES`, see `standing.ts`) and of section (see `cold-sections.ts`). */
export const STANDING_EFFECT = { count: 48, changes: 56 } as const;
/** Byte 5 of a standing effect that time alone brought about: it is nothing the person did. */
export const BY_TIME = 1;
export const SECTION_EFFECT = { contentBytes: 48, content: 56 } as const;

/**
 * Offsets of join and unjoin: the other profile's hash, the number of its joining, what its decisions' numbers were raised
 * by, its record as it was, and a MessagePack map of what changes in the cold record.
 */
export const JOIN = {
  low: 48,
  high: 52,
  check: 56,
  partition: 60,
  seq: 64,
  raisedBy: 68,
  recordBytes: 72,
  coldBytes: 76,
  content: 80,
} as const;

/** What a ledger operation does to its budget or stock. */
export const LEDGER = {
  /** free → held */
  hold: 1,
  /** held → spent */
  spend: 2,
  /** held → free */
  free: 3,
  /** free → spent, without a lease */
  take: 4,
} as const;
export const LEDGER_BYTES = 16;
const BUFFER_BYTES = 256 * 1024;

export class Effect {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  length = 0;

  constructor() {
    const memory = new ArrayBuffer(BUFFER_BYTES);
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.u32 = new Uint32Array(memory);
    this.f32 = new Float32Array(memory);
    this.f64 = new Float64Array(memory);
  }

  /** Starts a new entry with a zeroed body of `bodyBytes`. */
  begin(type: EffectType, bodyBytes: number): void {
    const length = pad8(EFFECT_HEADER_BYTES + bodyBytes);
    this.u8.fill(0, 0, length);
    this.u8[4] = type;
    this.length = length;
    this.u32[0] = length;
  }

  addLedger(kind: number, subjectHash: number, amount: number): void {
    const start = this.length;
    this.u32[start >>> 2] = subjectHash;
    this.u32[(start >>> 2) + 1] = kind;
    this.f64[(start >>> 3) + 1] = amount;
    this.length = start + LEDGER_BYTES;
    this.u32[0] = this.length;
    this.u8[7] = (this.u8[7] as number) + 1;
  }

  /** Copies one entry out of a journal batch; returns the offset behind it, or -1 when there is none. */
  load(batch: Uint8Array, offset: number): number {
    if (offset + EFFECT_HEADER_BYTES > batch.length) return -1;
    const length =
      (batch[offset] as number) |
      ((batch[offset + 1] as number) << 8) |
      ((batch[offset + 2] as number) << 16) |
      ((batch[offset + 3] as number) << 24);
    if (length < EFFECT_HEADER_BYTES || offset + length > batch.length || length > BUFFER_BYTES) {
      throw new RangeError(`journal entry at offset ${offset} claims ${length} bytes of a batch of ${batch.length}`);
    }
    this.u8.set(batch.subarray(offset, offset + length));
    this.length = length;
    return offset + length;
  }

  get type(): number {
    return this.u8[4] as number;
  }
  get partition(): number {
    return this.u8[6] as number;
  }
  get ledgerCount(): number {
    return this.u8[7] as number;
  }
  get hashLow(): number {
    return this.u32[2] as number;
  }
  get hashHigh(): number {
    return this.u32[3] as number;
  }
  get hashCheck(): number {
    return this.u32[4] as number;
  }
  get stateSeq(): number {
    return this.u32[5] as number;
  }
  get at(): number {
    return this.f64[3] as number;
  }

  getU32(offset: number): number {
    return this.u32[offset >>> 2] as number;
  }
  setU32(offset: number, value: number): void {
    this.u32[offset >>> 2] = value;
  }
  getU16(offset: number): number {
    return this.u16[offset >>> 1] as number;
  }
  setU16(offset: number, value: number): void {
    this.u16[offset >>> 1] = value;
  }
  getF64(offset: number): number {
    return this.f64[offset >>> 3] as number;
  }
  setF64(offset: number, value: number): void {
    this.f64[offset >>> 3] = value;
  }

  ledgerSubject(i: number): number {
    return this.u32[(this.length - (this.ledgerCount - i) * LEDGER_BYTES) >>> 2] as number;
  }
  ledgerKind(i: number): number {
    return this.u32[((this.length - (this.ledgerCount - i) * LEDGER_BYTES) >>> 2) + 1] as number;
  }
  ledgerAmount(i: number): number {
    return this.f64[((this.length - (this.ledgerCount - i) * LEDGER_BYTES) >>> 3) + 1] as number;
  }

  // A decision's variable parts: allowed bitmap, features, then what was asked and seen (see REQUEST_FLAG), context, asker.

  allowedStart(): number {
    return DECISION.chosen + (this.u8[DECISION.chosenCount] as number) * CHOSEN_BYTES;
  }
  featuresStart(): number {
    return this.allowedStart() + this.getU16(DECISION.allowedWords) * 4;
  }
  featureHash(i: number): number {
    return this.u32[(this.featuresStart() >>> 2) + i] as number;
  }
  featureValue(i: number): number {
    return this.f32[(this.featuresStart() >>> 2) + this.getU16(DECISION.featureCount) + i] as number;
  }
  subsetStart(): number {
    return this.featuresStart() + this.getU16(DECISION.featureCount) * 8;
  }
  lackingStart(): number {
    const isThere = this.getU32(DECISION.requestFlags) & REQUEST_FLAG.hasSubset;
    return this.subsetStart() + (isThere ? this.getU16(DECISION.allowedWords) * 4 : 0);
  }
  inputsStart(): number {
    const isThere = this.getU32(DECISION.requestFlags) & REQUEST_FLAG.lacksBudget;
    return this.lackingStart() + (isThere ? this.getU16(DECISION.allowedWords) * 4 : 0);
  }
  get inputsHash(): number {
    return this.u32[this.inputsStart() >>> 2] as number;
  }
  maskedStart(): number {
    const isThere = (this.u8[DECISION.flags] as number) & DECISION_FLAG.demandInputs;
    return this.inputsStart() + (isThere ? INPUT_BYTES : 0);
  }
  contextStart(): number {
    const isThere = (this.u8[DECISION.flags] as number) & DECISION_FLAG.personalPrice;
    return this.maskedStart() + (isThere ? MASKED_BYTES : 0);
  }
  /** Name of who asked, as UTF-8; null where anybody might ask. Copied. */
  asker(): Uint8Array | null {
    if ((this.getU32(DECISION.requestFlags) & REQUEST_FLAG.hasAsker) === 0) return null;
    const at = this.contextStart() + this.getU32(DECISION.contextBytes);
    return this.u8.slice(at + 1, at + 1 + (this.u8[at] as number));
  }
  /** Of a decision with a personal price: everybody's, a whole number. */
  get maskedPriceMinor(): number {
    const at = this.maskedStart() >>> 2;
    return (this.u32[at] as number) * 0x1_0000_0000 + (this.u32[at + 1] as number);
  }
  setMaskedPriceMinor(priceMinor: number): void {
    const at = this.maskedStart() >>> 2;
    this.u32[at] = Math.floor(priceMinor / 0x1_0000_0000);
    this.u32[at + 1] = priceMinor % 0x1_0000_0000;
  }
}

/**
 * The state an effect leads to from another. Who waits for a state under either of two keys finds it under both, so that
 * the numbers of a joined person go on from the higher one.
 */
export function stateSeqAfter(effect: Effect, stateSeq: number): number {
  const other = effect.type === EFFECT.join ? effect.getU32(JOIN.content + FIELD.stateSeq) : 0;
  return Math.max(stateSeq, other) + 1;
}

/** Whether an entry is the one that follows a record at `stateSeq`: none of the person's in between is missing. */
export function follows(entry: Effect, stateSeq: number): boolean {
  const isFirst = entry.getU32(32) === 0;
  return isFirst === (stateSeq === 0) && entry.stateSeq === stateSeqAfter(entry, stateSeq);
}

export function pad8(bytes: number): number {
  return (bytes + 7) & ~7;
}
