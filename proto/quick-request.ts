/**
 * The MessagePack requests that clients send all day, decoded at several times the speed of the general
 * reader: known fields, short texts, maps of few entries. It says yes or it says nothing: whatever it
 * does not know (an unknown field, a long string, a wrong kind, a bound passed, a duplicate) makes
 * `read` return -1, and the general decoder then reads the request from its start and finds the words.
 * So every rule of refusal stands in one place, and what this accepts the general one accepts with the
 * same values; a differential test holds it to that over valid, mutated and random bytes.
 *
 * It is quick because it reads words of four bytes from its own copy of the frame, knows field names
 * and recurring texts by those words (`word-table.ts`, `text-cache.ts`) and fills lasting maps
 * (`map-shapes.ts`). A request of recurring texts allocates nothing but its fractions and message id.
 */
import { classifyUtf8, decodeUtf8, UTF8 } from './bytes.ts';
import type { DurabilityNumber, Request } from './decoded-request.ts';
import { LIMITS } from './limits.ts';
import { type MapShape, MapShapes } from './map-shapes.ts';
import type { MessagePackReader } from './messagepack.ts';
import type { OpNumber, Plain, Properties } from './messages.ts';
import {
  DURABILITY_TABLE,
  EVENT_CHARACTERS_MAX,
  FIELD,
  FIELD_TABLE,
  ID_CHARACTERS_MAX,
  isTraceparent,
  neededFields,
  OP_TABLE,
  WANT_TABLE,
} from './request-fields.ts';
import { FrameBytes, TextCache } from './text-cache.ts';
import type { WordTable } from './word-table.ts';

/** Most entries of a map or array read here. */
const ENTRIES_MAX = 32;
const UINT32_MAX = 0xffff_ffff;
const TWO_32 = 0x1_0000_0000;

export class QuickRequestReader {
  readonly #frame = new FrameBytes(LIMITS.frameBytesMax);
  readonly #view = this.#frame.view;
  readonly #bytes = this.#frame.bytes;
  readonly #cache = new TextCache(this.#frame);
  /** Reads values that contain others. */
  readonly #reader: MessagePackReader;
  // One table a field: the maps of one request are all valid at a time.
  readonly #contexts = new MapShapes(ENTRIES_MAX);
  readonly #properties = new MapShapes(ENTRIES_MAX);
  readonly #traits = new MapShapes(ENTRIES_MAX);
  readonly #keys: string[] = Array.from({ length: ENTRIES_MAX }, () => '');
  readonly #values: Plain[] = Array.from({ length: ENTRIES_MAX }, () => null);
  #at = 0;
  #end = 0;

  /** @param reader opened on the same frames; its place and depth are lost. */
  constructor(reader: MessagePackReader) {
    this.#reader = reader;
  }

  /** Takes in a frame of at most `frameBytesMax` bytes. */
  load(frame: Uint8Array): void {
    this.#frame.load(frame);
    this.#end = frame.length;
  }

  /** Reads the request at `start` of the frame loaded; returns where it ends, or -1 with `request` half filled. */
  read(frame: Uint8Array, start: number, request: Request): number {
    this.#at = start;
    const count = this.#count(0x80, 0xde);
    if (count < 0) return -1;
    request.reset(frame, start);
    let seen = 0;
    for (let entry = 0; entry < count; entry++) {
      const field = this.#word(FIELD_TABLE);
      if (field < 0 || (seen & (1 << field)) !== 0) return -1;
      seen |= 1 << field;
      if (!this.#readField(field, request)) return -1;
    }
    if (this.#at > this.#end || (seen & 3) !== 3 || (neededFields(request.op) & ~seen) !== 0) return -1;
    request.rawEnd = this.#at;
    return this.#at;
  }

  /** Reads a known field's value into the request; false where the general decoder must look. */
  #readField(field: number, request: Request): boolean {
    switch (field) {
      case FIELD.id:
        request.id = this.#integer(0, UINT32_MAX);
        return request.id >= 0;
      case FIELD.op: {
        const index = this.#word(OP_TABLE);
        request.op = (index + 1) as OpNumber; // OP numbers its names from 1 in the table's order
        return index >= 0;
      }
      case FIELD.deadlineMillis:
        request.deadlineMillis = this.#integer(1, LIMITS.deadlineMillisMax);
        return request.deadlineMillis > 0;
      case FIELD.traceparent: {
        const text = this.#uniqueText();
        if (text === undefined) return false;
        request.traceparent = isTraceparent(text) ? text : '';
        return true;
      }
      case FIELD.profile:
        return this.#key(request);
      case FIELD.slot:
        request.slot = this.#text() ?? '';
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
        request.sku = this.#text() ?? '';
        return request.sku !== '';
      case FIELD.channel:
        request.channel = this.#text() ?? '';
        return request.channel !== '';
      case FIELD.context:
        request.contextStart = this.#at;
        request.context = this.#map(this.#contexts);
        request.contextEnd = this.#at;
        return request.context !== null;
      case FIELD.explain:
        request.isExplain = this.#bytes[this.#at] === 0xc3;
        return this.#isBoolean();
      case FIELD.dryRun:
        request.isDryRun = this.#bytes[this.#at] === 0xc3;
        return this.#isBoolean();
      case FIELD.minStateSeq:
        request.minStateSeq = this.#integer(0, Number.MAX_SAFE_INTEGER);
        return request.minStateSeq >= 0;
      case FIELD.durability: {
        const index = this.#word(DURABILITY_TABLE);
        request.durability = (index + 1) as DurabilityNumber; // DURABILITY numbers the table's words from 1
        return index >= 0;
      }
      case FIELD.event:
        request.event = this.#text() ?? '';
        return request.event !== '' && request.event.length <= EVENT_CHARACTERS_MAX;
      case FIELD.messageId:
        request.messageId = this.#uniqueText() ?? '';
        return request.messageId !== '' && request.messageId.length <= ID_CHARACTERS_MAX;
      case FIELD.atEpochMillis:
        request.atEpochMillis = this.#integer(0, Number.MAX_SAFE_INTEGER);
        return request.atEpochMillis >= 0;
      case FIELD.decisionId:
        request.decisionId = this.#uniqueText() ?? '';
        return request.decisionId !== '' && request.decisionId.length <= ID_CHARACTERS_MAX;
      case FIELD.quoteId:
        request.quoteId = this.#uniqueText() ?? '';
        return request.quoteId !== '' && request.quoteId.length <= ID_CHARACTERS_MAX;
      case FIELD.properties:
        request.propertiesStart = this.#at;
        request.properties = this.#map(this.#properties);
        request.propertiesEnd = this.#at;
        return request.properties !== null;
      case FIELD.traits:
        request.traits = this.#map(this.#traits);
        return request.traits !== null;
      default:
        // `client` and `version`: once a connection.
        return false;
    }
  }

  /** Entries of the container whose header is at the place, at most `ENTRIES_MAX`, or -1. */
  #count(fixBase: number, head16: number): number {
    const at = this.#at;
    const head = this.#view.getUint8(at);
    this.#at = at + 1;
    if ((head & 0xf0) === fixBase) return head & 0x0f;
    if (head !== head16) return -1;
    const count = this.#view.getUint16(at + 1);
    this.#at = at + 3;
    return count <= ENTRIES_MAX ? count : -1;
  }

  /** Length of the string of fewer than 256 bytes whose header is at the place, moved to its first byte; or -1. */
  #textLength(): number {
    let at = this.#at;
    const head = this.#view.getUint8(at++);
    let length: number;
    if ((head & 0xe0) === 0xa0) length = head & 0x1f;
    else if (head === 0xd9) length = this.#view.getUint8(at++);
    else return -1;
    this.#at = at;
    return at + length <= this.#end ? length : -1;
  }

  #word(table: WordTable): number {
    const at = this.#at;
    const index = table.findPacked(this.#view, at);
    if (index < 0) return -1;
    const next = at + (table.packedSizes[index] as number); // an index of the table
    this.#at = next;
    // Also what keeps the walk within the frame: each entry comes by here.
    return next <= this.#end ? index : -1;
  }

  /** A recurring text, which may be empty; undefined where the general decoder must look. */
  #text(): string | undefined {
    const at = this.#at;
    const head = this.#view.getUint8(at);
    if (head <= 0xa0 || head >= 0xc0) return this.#uniqueText();
    const next = at + head - 0x9f;
    this.#at = next;
    return next <= this.#end ? this.#cache.read(at) : undefined;
  }

  /** A text not expected again: it would only evict others from the cache. */
  #uniqueText(): string | undefined {
    const length = this.#textLength();
    if (length < 0) return undefined;
    const at = this.#at;
    this.#at = at + length;
    return decodeUtf8(this.#bytes, at, length);
  }

  /** The number at the place, with the general reader's bounds; NaN where that must look. */
  #number(): number {
    const view = this.#view;
    const at = this.#at;
    const head = view.getUint8(at);
    if (head < 0x80 || head >= 0xe0) {
      this.#at = at + 1;
      return (head << 24) >> 24;
    }
    switch (head) {
      case 0xca:
        this.#at = at + 5;
        return inBounds(view.getFloat32(at + 1));
      case 0xcb:
        this.#at = at + 9;
        return inBounds(view.getFloat64(at + 1));
      case 0xcc:
        this.#at = at + 2;
        return view.getUint8(at + 1);
      case 0xcd:
        this.#at = at + 3;
        return view.getUint16(at + 1);
      case 0xce:
        this.#at = at + 5;
        return view.getUint32(at + 1);
      case 0xcf:
        this.#at = at + 9;
        return inBounds(view.getUint32(at + 1) * TWO_32 + view.getUint32(at + 5));
      case 0xd0:
        this.#at = at + 2;
        return view.getInt8(at + 1);
      case 0xd1:
        this.#at = at + 3;
        return view.getInt16(at + 1);
      case 0xd2:
        this.#at = at + 5;
        return view.getInt32(at + 1);
      case 0xd3:
        this.#at = at + 9;
        return inBounds(view.getInt32(at + 1) * TWO_32 + view.getUint32(at + 5));
      default:
        return Number.NaN;
    }
  }

  /** A whole number in [low, high], or -1 (no field's range goes below 0). */
  #integer(low: number, high: number): number {
    const value = this.#number();
    // Adding 0 turns -0 into 0.
    return Number.isInteger(value) && value >= low && value <= high ? value + 0 : -1;
  }

  #isBoolean(): boolean {
    return (this.#view.getUint8(this.#at++) & 0xfe) === 0xc2;
  }

  #wantMask(): number {
    const count = this.#count(0x90, 0xdc);
    let mask = 0;
    for (let item = 0; item < count; item++) {
      const index = this.#word(WANT_TABLE);
      if (index < 0) return 0;
      mask |= 1 << index;
    }
    return mask;
  }

  #texts(): string[] | null {
    const count = this.#count(0x90, 0xdc);
    if (count < 0) return null;
    const texts: string[] = [];
    for (let item = 0; item < count; item++) {
      const text = this.#text() ?? '';
      if (text === '') return null;
      texts.push(text);
    }
    return texts;
  }

  #key(request: Request): boolean {
    const length = this.#textLength();
    if (length <= 0) return false;
    const at = this.#at;
    this.#at = at + length;
    if (!this.#isAscii(at, length) && classifyUtf8(this.#bytes, at, length) === UTF8.invalid) return false;
    request.keyBytes = request.frame;
    request.keyStart = at;
    request.keyLength = length;
    return true;
  }

  /** Looks at whole words, so also at up to three bytes behind: it may say no to an ASCII text, never yes to another. */
  #isAscii(at: number, length: number): boolean {
    let bits = 0;
    for (let index = at; index < at + length; index += 4) bits |= this.#view.getInt32(index, true);
    return (bits & 0x80808080) === 0;
  }

  #map(shapes: MapShapes): Properties | null {
    const count = this.#count(0x80, 0xde);
    if (count < 0) return null;
    const values = this.#values;
    const shape = shapes.guess(count);
    if (shape.keys.length !== count) return this.#otherMap(shapes, shape, 0, count);
    for (let entry = 0; entry < count; entry++) {
      const size = shape.matchKey(entry, this.#view, this.#at);
      if (size === 0) return this.#otherMap(shapes, shape, entry, count);
      this.#at += size;
      if (this.#at > this.#end) return null;
      const value = this.#plain();
      if (value === undefined) return null;
      values[entry] = value;
    }
    return shapes.fill(shape, values);
  }

  /** Reads on from entry number `first`, before which the map was as guessed. */
  #otherMap(shapes: MapShapes, guessed: MapShape, first: number, count: number): Properties | null {
    const keys = this.#keys;
    for (let entry = 0; entry < first; entry++) keys[entry] = guessed.keys[entry] as string; // it has `count` keys
    for (let entry = first; entry < count; entry++) {
      const at = this.#at;
      const head = this.#view.getUint8(at);
      if (head <= 0xa0 || head >= 0xc0) return null;
      const next = at + head - 0x9f;
      if (next > this.#end) return null;
      const key = this.#cache.read(at);
      if (key === undefined) return null;
      keys[entry] = key;
      this.#at = next;
      const value = this.#plain();
      if (value === undefined) return null;
      this.#values[entry] = value;
    }
    let hash = count;
    for (let entry = 0; entry < count; entry++) {
      const key = keys[entry] as string; // below count
      const letters =
        (key.charCodeAt(0) << 20) ^ (key.charCodeAt(key.length >> 1) << 10) ^ key.charCodeAt(key.length - 1);
      hash = Math.imul(hash ^ (hash >>> 15) ^ letters ^ (key.length << 5), 0x9e3779b1);
    }
    return shapes.map(hash, count, keys, this.#values) ?? null;
  }

  /** The value at the place; undefined where the general decoder must look. */
  #plain(): Plain | undefined {
    const head = this.#view.getUint8(this.#at);
    if ((head & 0xe0) === 0xa0 || head === 0xd9) return this.#text();
    if (head === 0xc2 || head === 0xc3 || head === 0xc0) {
      this.#at++;
      return head === 0xc0 ? null : head === 0xc3;
    }
    const at = this.#at;
    const value = this.#number();
    return Number.isNaN(value) ? this.#nested(at) : value;
  }

  /** Whatever is no scalar, by the general reader, at the depth of a field's entry. */
  #nested(at: number): Plain | undefined {
    const reader = this.#reader;
    reader.rewind(at);
    reader.depth = 2;
    const value = reader.readPlain();
    this.#at = reader.position;
    return value;
  }
}

/** The number, or NaN when it is beyond what a request may hold (infinities are). */
function inBounds(value: number): number {
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : Number.NaN;
}
