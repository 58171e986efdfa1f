/**
 * The bytes of a profile record, version 1, little-endian. The same bytes lie in the slab and, behind
 * a checksum, in LMDB. Change the layout only with a new version number and a step in `migrateRecord`.
 *
 *   0 u16 layout version      2 u16 flags
 *   4 u32 marker (a free slab slot holds 0 here)
 *   8 u32 hash low   12 u32 hash high   16 u32 hash check     (three keyed hashes of the profile key)
 *  20 u8 partition   21 u8 trait slots  22 u16 tenant
 *  24 u32 stateSeq   28 u32 decisionSeq 32 u32 trait schema
 *  36 u16 moments    38 u16 quotes      40 u16 leases   42 u16 message ids   44 u16 next message id   46 u16 zone*
 *  48 f64 created at 56 f64 last turn at 64 f64 next lease expiry
 *  72 u32 × 4 journal position of the latest entry about this profile: epoch, stream, batch, offset
 *  88 u16 × 24 hour-of-day tilt (counts)
 * 136 u32 dirty since batch*  140 u8 swept*  141 u8 faults*  142 u16 purchases (occasions)
 * 144 f64 contact refused since (0: allowed)
 * 152 f64 last purchase at  160 f64 decaying sum of ln gap between purchases, see `decision/purchase-due.ts`
 * 168 trait slots  (f64 each, NaN absent)
 *     moments      (24 B: f64 at, f64 amount, u32 subject, u8 kind, u8 -, u16 count)
 *     quotes       (24 B: f64 expires at, f64 price, u32 sku, u32 PERSONAL_QUOTE for one of the person's own)
 *     leases       (64 B, see LEASE)
 *     message ids  (12 B: u32 low, u32 high, u32 epoch seconds; a ring)
 *
 * Fields marked * mean nothing on disk and are reset when a record is loaded.
 */
export const LAYOUT_VERSION = 1;
export const RECORD_MARKER = 0x4f505431;

export const HEADER_BYTES = 168;
export const TRAIT_BYTES = 8;
export const MOMENT_BYTES = 24;
export const QUOTE_BYTES = 24;
export const LEASE_BYTES = 64;
export const MESSAGE_BYTES = 12;
/** No number of a decision, which stood there once. */
export const PERSONAL_QUOTE = 0xffff_ffff;

export const FIELD = {
  version: 0,
  flags: 2,
  marker: 4,
  hashLow: 8,
  hashHigh: 12,
  hashCheck: 16,
  partition: 20,
  traitCount: 21,
  tenant: 22,
  stateSeq: 24,
  decisionSeq: 28,
  traitSchema: 32,
  momentCount: 36,
  quoteCount: 38,
  leaseCount: 40,
  messageCount: 42,
  messageNext: 44,
  zone: 46,
  createdAt: 48,
  lastTurnAt: 56,
  nextLeaseExpiry: 64,
  journalEpoch: 72,
  journalStream: 76,
  journalBatch: 80,
  journalOffset: 84,
  tilt: 88,
  dirtySinceBatch: 136,
  swept: 140,
  faults: 141,
  purchases: 142,
  contactRefusedAt: 144,
  lastPurchaseAt: 152,
  decayedLogGaps: 160,
} as const;

/** Bits of `FIELD.flags`. */
export const RECORD_FLAG = {
  /** A moment of kind `STANDING.wake` is there. */
  wakes: 1,
  /** Its tags were worked out once: the moment that says under which catalog is there. */
  tags: 2,
  /** The person has said something of a purpose: there are moments of the kind `consent`. */
  consent: 4,
  /** The person has said how they wish to be spoken to: moments `quietHours`, `muted`, `preference`. */
  wishes: 8,
  /** The moment `restriction` is there. */
  restricted: 16,
  /** Joined into another profile: the moment `moved` says which, see `identity.ts`. */
  moved: 64,
  /** Draws that last are another profile's: the moment `assignment` says whose. */
  assigned: 128,
  /** There are dead letters, see `dead-letters.ts`. */
  letters: 256,
  /** Only its use as a device was ever noted: nobody's profile. */
  device: 512,
} as const;

/** Offsets inside one lease. A lease is the record's memory of one chosen action of one decision. */
export const LEASE = {
  at: 0,
  expiresAt: 8,
  decisionSeq: 16,
  actionHash: 20,
  channelHash: 24,
  skuHash: 28,
  priceMinor: 32,
  journalEpoch: 40,
  journalStream: 44,
  journalBatch: 48,
  journalOffset: 52,
  state: 56,
  flags: 57,
  /** Upper 8 of 40 bits; money goes to 10^12. */
  costHigh: 58,
  /** What is not learnt yet of the trial, in 1/256; 0 for all of it, and before it was seen. */
  owed: 59,
  costLow: 60,
} as const;

export const LEASE_STATE = { open: 1, confirmed: 2, released: 3, expired: 4 } as const;

/** What a lease holds, and what has been learnt from it. */
export const LEASE_FLAG = {
  holdsCap: 1,
  holdsBudget: 2,
  holdsStock: 4,
  trialLearnt: 8,
  responseLearnt: 16,
  quoteLearnt: 32,
  purchaseLearnt: 64,
  /** Its price was the person's own. */
  personalPrice: 128,
} as const;

/** Flags of an open lease that holds something. */
export const HOLDING = LEASE_FLAG.holdsCap | LEASE_FLAG.holdsBudget | LEASE_FLAG.holdsStock;

/**
 * Moments of these kinds stand until they are ended: no age trims them, and there is one a kind and subject. What the
 * subject and the amount mean is the kind's own: see who sets it.
 */
export const STANDING = {
  /** Contact is refused on the channel it is about. */
  refusal: 7,
  tag: 8,
  /** Where the person is in a journey, the subject: since when, the amount as `placeOf` reads it. */
  stage: 9,
  consent: 10,
  suspicion: 11,
  /** When the profile is to be visited, see `wake-timers.ts`. */
  wake: 12,
  /** Of a tag whose weight decays: the weight at the instant it was last worked out. */
  tagWeight: 13,
  /** Own quiet hours, of a channel or (subject 0) of all: start times 1,440 plus end, in minutes of the day. */
  quietHours: 20,
  /** Silence asked for, likewise: until when. */
  muted: 21,
  /** Place of a channel in the person's own order, from 1. */
  preference: 22,
  /** The person's data are stored and not used. */
  restriction: 23,
  /** When the goal of a journey, the subject, was first reached since the person entered it. */
  goal: 25,
  /** Where an event said that the person was last, as `decision/travel.ts` packs it. */
  place: 29,
  /** Of a device: who used it, by their mark, when; the amount is 1 when they were told, see `device-turn.ts`. */
  deviceUser: 30,
  /** The profile was joined into another: subject and amount are that one's hash, see `identity.ts`. */
  moved: 26,
  /**
   * Beside it while the other has not said yet that it holds everything: the subject is the third word of its hash, the
   * amount the number of the joining.
   */
  joining: 27,
  /** Whose holdout, arms and maturity the person keeps: low word of the hash as the subject's, high as the amount. */
  assignment: 28,
} as const;
export type StandingKind = (typeof STANDING)[keyof typeof STANDING];

/**
 * Leases that hold a cap, budget or stock; at it such actions are suppressed for the person. The decision
 * that reaches it may add 32 at once, so 143 can be held, each with a budget and 112 of them with a unit of
 * stock: all of them ending together are 255 ledger operations, and one journal entry names at most 255.
 */
export const HOLDING_LEASES_MAX = 112;
/** Open leases that hold nothing; the oldest gives way. */
export const IDLE_LEASES_MAX = 32;
/** Ended leases kept for outcomes that arrive later; the oldest gives way. */
export const ENDED_LEASES_MAX = 8;
export const MOMENTS_MAX = 1024;
/** Standing quotes of one person: a page of products priced one by one. Above it the soonest to end gives way. */
export const QUOTES_MAX = 64;
export const MESSAGES_MAX = 1024;
/** A message id older than this may be forgotten when its place is wanted. */
export const MESSAGE_MEMORY_MILLIS = 7 * 86_400_000;

/**
 * Brings the stored bytes of an older layout to today's. Version 1 is the first, so there is nothing to
 * do yet but to refuse what this build cannot know.
 * @returns the record's bytes in today's layout
 * @throws RangeError when the version is newer than this build or the length is not what the counts say
 */
export function migrateRecord(bytes: Uint8Array): Uint8Array {
  if (bytes.length < HEADER_BYTES_V0)
    throw new RangeError(`profile record of ${bytes.length} bytes is shorter than its header`);
  const version = u16At(bytes, FIELD.version);
  const step = MIGRATIONS.get(version);
  if (version === LAYOUT_VERSION) {
    const length = lengthOf(bytes);
    if (bytes.length === length) return bytes;
    throw new RangeError(`profile record of ${bytes.length} bytes should have ${length} by its own counts`);
  }
  if (step === undefined) {
    throw new RangeError(`profile record has layout version ${version}; this build knows up to ${LAYOUT_VERSION}`);
  }
  return migrateRecord(step(bytes));
}

const HEADER_BYTES_V0 = 144;

/** Bytes that a record in today's layout has, by the counts in its header. */
function lengthOf(bytes: Uint8Array): number {
  return (
    storedLeasesStart(bytes) +
    u16At(bytes, FIELD.leaseCount) * LEASE_BYTES +
    u16At(bytes, FIELD.messageCount) * MESSAGE_BYTES
  );
}
/** Where the moments of a stored record of today's layout begin. */
export function storedMomentsStart(bytes: Uint8Array): number {
  return HEADER_BYTES + (bytes[FIELD.traitCount] as number) * TRAIT_BYTES;
}
/** Where the leases of a stored record of today's layout begin. */
export function storedLeasesStart(bytes: Uint8Array): number {
  return (
    storedMomentsStart(bytes) +
    u16At(bytes, FIELD.momentCount) * MOMENT_BYTES +
    u16At(bytes, FIELD.quoteCount) * QUOTE_BYTES
  );
}
/** How many leases of a stored record of today's layout hold something. */
export function storedHoldingLeases(bytes: Uint8Array): number {
  const start = storedLeasesStart(bytes);
  let count = 0;
  for (let i = 0; i < u16At(bytes, FIELD.leaseCount); i++) {
    const lease = start + i * LEASE_BYTES;
    const isOpen = bytes[lease + LEASE.state] === LEASE_STATE.open;
    if (((bytes[lease + LEASE.flags] as number) & (isOpen ? HOLDING : LEASE_FLAG.holdsStock)) !== 0) count++;
  }
  return count;
}
function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

/**
 * One step a layout version, from it to the next. Version 0 was the prototype's: the same header
 * without contact refused and the purchase cycle, 144 bytes long.
 */
const MIGRATIONS: ReadonlyMap<number, (bytes: Uint8Array) => Uint8Array> = new Map([
  [
    0,
    (old: Uint8Array): Uint8Array => {
      const bytes = new Uint8Array(old.length + HEADER_BYTES - HEADER_BYTES_V0);
      bytes.set(old.subarray(0, HEADER_BYTES_V0), 0);
      bytes.set(old.subarray(HEADER_BYTES_V0), HEADER_BYTES);
      bytes[0] = 1;
      return bytes;
    },
  ],
]);
