/**
 * From the bytes of one frame to validated requests, in one pass and without an object a request.
 *
 *   frame ─┬─ quick reader (MessagePack, ordinary requests) ─▶ one reused Request ──▶ sink.onRequest
 *          └─ MessagePack or JSON reader, for all others ──────────────┘
 *                                    └─ a value not allowed ─────▶ sink.onInvalid(id, fault, message)
 *
 * Guarantees: nothing throws; a frame whose structure is broken delivers nothing at all (`decode` is
 * false and the caller closes with 1007); in a whole frame a bad request costs only itself. Messages
 * name field, kind and bound and never repeat a value that could be personal.
 * Price: the Request and everything it points into belong to the decoder and change with the next
 * request, and a batch is walked twice, once by structure alone, before its first request is delivered.
 */
import { classifyUtf8, UTF8 } from './bytes.ts';
import { type DurabilityNumber, Request } from './decoded-request.ts';
import type { Encoding } from './document-writer.ts';
import { JsonReader } from './json.ts';
import { LIMITS } from './limits.ts';
import { MessagePackReader } from './messagepack.ts';
import type { OpNumber, Properties } from './messages.ts';
import { QuickRequestReader } from './quick-request.ts';
import { type Complaint, complain } from './request-complaint.ts';
import {
  DURABILITY_TABLE,
  EVENT_CHARACTERS_MAX,
  FIELD,
  FIELD_NAMES,
  FIELD_TABLE,
  hasField,
  ID_CHARACTERS_MAX,
  isTraceparent,
  neededFields,
  OP_TABLE,
  WANT_TABLE,
} from './request-fields.ts';
import type { Fault } from './statuses.ts';
import { KIND, READ_FAULT, type ReadLimits, type ValueReader } from './value-reader.ts';

export { DURABILITY, Request, WANT, WANT_ALL } from './decoded-request.ts';

const UINT32_MAX = 0xffff_ffff;

export interface FrameSink {
  /** A valid request; the object is reused once this returns. */
  onRequest(request: Request): void;
  /** A request that is refused; `id` is null where no valid one could be found. */
  onInvalid(id: number | null, fault: Fault, message: string): void;
}

const REQUEST_LIMITS: ReadLimits = {
  nestingMax: LIMITS.nestingMax,
  containerItemsMax: LIMITS.containerItemsMax,
  stringBytesMax: LIMITS.stringBytesMax,
  magnitudeMax: Number.MAX_SAFE_INTEGER,
};
/** For looking again at a refused request: the frame is the only bound. */
const SCAN_LIMITS: ReadLimits = {
  nestingMax: LIMITS.nestingMax,
  containerItemsMax: LIMITS.frameBytesMax,
  stringBytesMax: LIMITS.frameBytesMax,
  magnitudeMax: Number.MAX_SAFE_INTEGER,
};

const OUTCOME = { valid: 0, refused: 1, broken: 2 } as const;
type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** Decodes frames of one encoding. Not reentrant: a sink must not call `decode` of the same decoder. */
export class FrameDecoder {
  readonly encoding: Encoding;
  readonly #reader: ValueReader;
  /** Looks again at refused requests, so that the reader keeps its place. */
  readonly #scanner: ValueReader;
  /** Reads ordinary requests and leaves the others; null in JSON. */
  readonly #quick: QuickRequestReader | null;
  readonly #request = new Request();
  readonly #keyScratch = new Uint8Array(LIMITS.profileKeyBytesMax);
  #complaint: Complaint | undefined;

  /** @param isQuick whether ordinary MessagePack requests go the quick way; the results are the same. */
  constructor(encoding: Encoding, isQuick = true) {
    this.encoding = encoding;
    const isBinary = encoding === 'msgpack';
    const reader = isBinary ? new MessagePackReader(REQUEST_LIMITS) : new JsonReader(REQUEST_LIMITS);
    this.#reader = reader;
    this.#quick = isQuick && reader instanceof MessagePackReader ? new QuickRequestReader(reader) : null;
    this.#scanner = isBinary ? new MessagePackReader(SCAN_LIMITS) : new JsonReader(SCAN_LIMITS);
  }

  /**
   * Decodes one frame: a request or an array of requests, delivered in order.
   * @param frame at most `frameBytesMax` bytes, read during the call only and not changed.
   * @returns false when the frame cannot be decoded; nothing was delivered then.
   */
  decode(frame: Uint8Array, sink: FrameSink): boolean {
    if (frame.length > LIMITS.frameBytesMax) return false;
    const reader = this.#reader;
    reader.open(frame);
    this.#quick?.load(frame);
    if (reader.peekKind() === KIND.array) return this.#decodeBatch(frame, sink);
    const outcome = this.#decodeOne(frame);
    if (outcome === OUTCOME.broken || !reader.isAtEnd()) return false;
    this.#deliver(outcome, sink);
    return true;
  }

  #decodeBatch(frame: Uint8Array, sink: FrameSink): boolean {
    const reader = this.#reader;
    const count = reader.countItems();
    if (count < 0) return false;
    if (count > LIMITS.batchItemsMax) {
      // One answer, not one an item: the sender of a huge array of nothing gets no huge reply for it.
      const { fault, message } = complain.batchTooLarge(count);
      sink.onInvalid(null, fault, message);
      return true;
    }
    // Below zero, so that every request in the batch starts at the depth it has alone.
    reader.depth = -1;
    reader.enterArray();
    while (reader.hasNext()) {
      const outcome = this.#decodeOne(frame);
      if (outcome === OUTCOME.broken) return false;
      this.#deliver(outcome, sink);
    }
    return true;
  }

  #deliver(outcome: Outcome, sink: FrameSink): void {
    const complaint = this.#complaint;
    if (outcome === OUTCOME.valid || complaint === undefined) {
      sink.onRequest(this.#request);
      return;
    }
    this.#complaint = undefined;
    sink.onInvalid(complaint.id, complaint.fault, complaint.message);
  }

  #decodeOne(frame: Uint8Array): Outcome {
    const reader = this.#reader;
    const request = this.#request;
    const start = reader.position;
    if (this.#quick !== null) {
      const end = this.#quick.read(frame, start, request);
      reader.rewind(end < 0 ? start : end);
      if (end >= 0) return OUTCOME.valid;
    }
    const kind = reader.peekKind();
    request.reset(frame, start);
    if (kind !== KIND.map || !reader.enterMap()) return this.#refuse(start, -1, start, false);
    let seen = 0;
    let unknownNames: Set<string> | undefined;
    while (reader.hasNext()) {
      const keyStart = reader.position;
      if (!reader.readKey()) return this.#refuse(start, -1, keyStart, false);
      const field = FIELD_TABLE.find(reader.spanBytes, reader.spanStart, reader.spanLength);
      const valueStart = reader.position;
      if (field < 0) {
        const name = reader.spanText(true);
        unknownNames ??= new Set();
        if (name === undefined || unknownNames.has(name) || reader.readPlain() === undefined) {
          if (reader.fault === READ_FAULT.none) reader.fault = READ_FAULT.duplicateKey;
          return this.#refuse(start, -1, valueStart, false);
        }
        unknownNames.add(name);
        continue;
      }
      if ((seen & (1 << field)) !== 0) {
        reader.fault = READ_FAULT.duplicateKey;
        return this.#refuse(start, field, valueStart, false);
      }
      seen |= 1 << field;
      if (this.#readField(field)) continue;
      if (reader.fault !== READ_FAULT.none || !this.#isForeign(frame, start, field)) {
        return this.#refuse(start, field, valueStart, false);
      }
      // Another operation's field: unknown here, so whatever the bounds allow is let through.
      reader.position = valueStart;
      reader.depth = 1;
      if (reader.readPlain() === undefined) return this.#refuse(start, field, valueStart, false);
    }
    if (reader.fault !== READ_FAULT.none) return this.#refuse(start, -1, start, false);
    request.rawEnd = reader.position;
    if ((seen & 3) !== 3) return this.#refuse(start, -1, start, false);
    const missing = neededFields(request.op) & ~seen;
    // The lowest set bit is the first missing field in the table's order.
    if (missing !== 0) return this.#refuse(start, 31 - Math.clz32(missing & -missing), start, true);
    return OUTCOME.valid;
  }

  #isForeign(frame: Uint8Array, start: number, field: number): boolean {
    const found = complain.identify(this.#scanner, frame, start);
    return found.op !== 0 && !hasField(found.op, field);
  }

  /** Finds where the refused request ends, puts the reader there, and words the complaint. */
  #refuse(start: number, field: number, valueStart: number, isMissing: boolean): Outcome {
    const reader = this.#reader;
    const scanner = this.#scanner;
    scanner.open(reader.bytes);
    scanner.rewind(start);
    if (!scanner.skip()) return OUTCOME.broken;
    const end = scanner.position;
    const name = field >= 0 ? FIELD_NAMES[field] : undefined;
    this.#complaint = complain.about(scanner, start, valueStart, reader.fault, name, isMissing);
    reader.rewind(end);
    return OUTCOME.refused;
  }

  /** Reads the value of a known field into the request; false: a fault in the reader, or another type or bound. */
  #readField(field: number): boolean {
    const reader = this.#reader;
    const request = this.#request;
    switch (field) {
      case FIELD.id:
        request.id = this.#integer(0, UINT32_MAX);
        return request.id >= 0;
      case FIELD.op: {
        const index = this.#word(OP_TABLE);
        if (index < 0) return false;
        request.op = (index + 1) as OpNumber; // OP numbers its names from 1 in the table's order
        return true;
      }
      case FIELD.deadlineMillis:
        request.deadlineMillis = this.#integer(1, LIMITS.deadlineMillisMax);
        return request.deadlineMillis > 0;
      case FIELD.traceparent: {
        if (reader.peekKind() !== KIND.string || !reader.readSpan()) return false;
        const text = reader.spanText(false);
        if (text === undefined) return false;
        request.traceparent = isTraceparent(text) ? text : '';
        return true;
      }
      case FIELD.profile:
        return this.#key();
      case FIELD.slot:
        request.slot = this.#text(LIMITS.stringBytesMax, true);
        return request.slot !== '';
      case FIELD.count:
        request.count = this.#integer(1, LIMITS.decideCountMax);
        return request.count > 0;
      case FIELD.want:
        request.wantMask = this.#wantMask();
        return request.wantMask > 0;
      case FIELD.actions:
        request.actions = this.#texts();
        return request.actions !== null;
      case FIELD.sku:
        request.sku = this.#text(LIMITS.stringBytesMax, true);
        return request.sku !== '';
      case FIELD.channel:
        request.channel = this.#text(LIMITS.stringBytesMax, true);
        return request.channel !== '';
      case FIELD.context:
        request.context = this.#map();
        return request.context !== null;
      case FIELD.explain:
        if (!this.#isBoolean()) return false;
        request.isExplain = reader.readBoolean();
        return reader.fault === READ_FAULT.none;
      case FIELD.dryRun:
        if (!this.#isBoolean()) return false;
        request.isDryRun = reader.readBoolean();
        return reader.fault === READ_FAULT.none;
      case FIELD.minStateSeq:
        request.minStateSeq = this.#integer(0, Number.MAX_SAFE_INTEGER);
        return request.minStateSeq >= 0;
      case FIELD.durability: {
        const index = this.#word(DURABILITY_TABLE);
        request.durability = (index + 1) as DurabilityNumber; // DURABILITY numbers the table's words from 1
        return index >= 0;
      }
      case FIELD.event:
        request.event = this.#text(EVENT_CHARACTERS_MAX, true);
        return request.event !== '';
      case FIELD.messageId:
        request.messageId = this.#text(ID_CHARACTERS_MAX, false);
        return request.messageId !== '';
      case FIELD.atEpochMillis: {
        const value = this.#integer(0, Number.MAX_SAFE_INTEGER);
        request.atEpochMillis = value >= 0 ? value : Number.NaN;
        return value >= 0;
      }
      case FIELD.decisionId:
        request.decisionId = this.#text(ID_CHARACTERS_MAX, false);
        return request.decisionId !== '';
      case FIELD.quoteId:
        request.quoteId = this.#text(ID_CHARACTERS_MAX, false);
        return request.quoteId !== '';
      case FIELD.properties:
        request.properties = this.#map();
        return request.properties !== null;
      case FIELD.traits:
        request.traits = this.#map();
        return request.traits !== null;
      case FIELD.client:
        request.clientName = this.#text(LIMITS.stringBytesMax, true);
        return request.clientName !== '';
      case FIELD.version:
        request.clientVersion = this.#text(LIMITS.stringBytesMax, true);
        return request.clientVersion !== '';
      case FIELD.from:
        request.from = this.#keyText();
        return request.from !== '';
      case FIELD.to:
        request.to = this.#keyText();
        return request.to !== '';
      case FIELD.purposes:
        request.purposes = this.#map();
        return request.purposes !== null;
      case FIELD.proof:
        request.proof = this.#map();
        return request.proof !== null;
      case FIELD.events:
        request.events = this.#maps();
        return request.events !== null;
      default:
        request.decide = this.#map();
        return request.decide !== null;
    }
  }

  /** An integer in [low, high], or -1 (no field's range goes below 0). A float that is whole counts. */
  #integer(low: number, high: number): number {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.number) return -1;
    const value = reader.readNumber();
    // Adding 0 turns -0 into 0.
    return reader.fault === READ_FAULT.none && Number.isInteger(value) && value >= low && value <= high
      ? value + 0
      : -1;
  }

  /** A non-empty string of at most `charactersMax` UTF-16 code units, or ''. */
  #text(charactersMax: number, isRepeated: boolean): string {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.string || !reader.readSpan()) return '';
    const text = reader.spanText(isRepeated);
    return text !== undefined && text.length <= charactersMax ? text : '';
  }

  #word(table: typeof OP_TABLE): number {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.string || !reader.readSpan()) return -1;
    return table.find(reader.spanBytes, reader.spanStart, reader.spanLength);
  }

  #isBoolean(): boolean {
    return this.#reader.peekKind() === KIND.boolean;
  }

  #map(): Properties | null {
    const reader = this.#reader;
    return reader.peekKind() === KIND.map ? (reader.readMap() ?? null) : null;
  }

  #maps(): Properties[] | null {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.array || !reader.enterArray()) return null;
    const maps: Properties[] = [];
    while (reader.hasNext()) {
      const map = this.#map();
      if (map === null) return null;
      maps.push(map);
    }
    return reader.fault === READ_FAULT.none ? maps : null;
  }

  /** A profile key as text, or ''. */
  #keyText(): string {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.string || !reader.readSpan()) return '';
    return reader.spanLength <= LIMITS.profileKeyBytesMax ? (reader.spanText(false) ?? '') : '';
  }

  #wantMask(): number {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.array || !reader.enterArray()) return 0;
    let mask = 0;
    while (reader.hasNext()) {
      const index = this.#word(WANT_TABLE);
      if (index < 0) return 0;
      mask |= 1 << index;
    }
    return reader.fault === READ_FAULT.none ? mask : 0;
  }

  #texts(): string[] | null {
    const reader = this.#reader;
    if (reader.peekKind() !== KIND.array || !reader.enterArray()) return null;
    const texts: string[] = [];
    while (reader.hasNext()) {
      const text = this.#text(LIMITS.stringBytesMax, true);
      if (text === '') return null;
      texts.push(text);
    }
    return reader.fault === READ_FAULT.none ? texts : null;
  }

  #key(): boolean {
    const reader = this.#reader;
    const request = this.#request;
    if (reader.peekKind() !== KIND.string || !reader.readSpan()) return false;
    const length = reader.spanLength;
    if (length === 0 || length > LIMITS.profileKeyBytesMax) return false;
    if (classifyUtf8(reader.spanBytes, reader.spanStart, length) === UTF8.invalid) {
      reader.fault = READ_FAULT.invalidUtf8;
      return false;
    }
    if (reader.spanBytes === reader.bytes) {
      request.keyBytes = reader.bytes;
      request.keyStart = reader.spanStart;
    } else {
      // The reader's scratch lasts only until the next string with an escape.
      this.#keyScratch.set(reader.spanBytes.subarray(reader.spanStart, reader.spanStart + length));
      request.keyBytes = this.#keyScratch;
      request.keyStart = 0;
    }
    request.keyLength = length;
    return true;
  }
}
