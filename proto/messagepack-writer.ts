/**
 * MessagePack written straight to bytes: the shortest form of every integer of 32 bits, all other
 * numbers as float64, map and array headers patched in when the count is known.
 *
 * Beside the general calls of `DocumentWriter` stand the packed ones (`packText`, …) for replies whose
 * shape is known beforehand (`packed-reply.ts`). Each takes a run of constant bytes, a key with whatever
 * stands before it, which it copies eight at a time, and one value. They count nothing: the caller has
 * put the headers of containers into the runs.
 */
import { ByteWriter } from './document-writer.ts';

/** Bytes that a copy by eights may write beyond its end; what is written next covers them. */
const OVERRUN_BYTES = 8;
/** Above this many UTF-16 units the runtime's own encoder is faster than a loop over character codes. */
const LOOP_UNITS_MAX = 64;

const encoder = new TextEncoder();

/** Constant bytes of a document, ready to be copied eight at a time. */
export class PackedRun {
  readonly length: number;
  readonly chunks: Float64Array;

  /**
   * @param parts numbers are bytes, strings become MessagePack strings (of at most 31 ASCII characters);
   *   throws RangeError (our bug) for bytes that a float64 would not carry unchanged.
   */
  constructor(...parts: readonly (number | string)[]) {
    const bytes = parts.flatMap((part) =>
      typeof part === 'number' ? [part] : [0xa0 | part.length, ...encoder.encode(part)],
    );
    this.length = bytes.length;
    // Filled up with letters: zeros would make denormal numbers, which are slow to move.
    const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8).fill(0x61);
    padded.set(bytes);
    const view = new DataView(padded.buffer);
    this.chunks = Float64Array.from({ length: padded.length / 8 }, (_, index) => view.getFloat64(index * 8, true));
    if (this.chunks.some((chunk) => Number.isNaN(chunk))) throw new RangeError('a run holds the bytes of a NaN');
  }
}

const TEXT_PLACES = 1024;
const RECURRING_UNITS_MIN = 4;
const RECURRING_UNITS_MAX = 32;
/** Most bytes of a text that is kept encoded, header included. */
const KEPT_BYTES_MAX = 40;
const INTEGERS_A_TEXT = KEPT_BYTES_MAX / 4;

export class MessagePackWriter extends ByteWriter {
  /** Where the header of each open container is, by depth; depth 0 is outside every container. */
  readonly #starts: number[] = [0];
  /** Values written in each open container, by depth. */
  readonly #counts: number[] = [0];
  #depth = 0;
  /** Texts kept encoded, direct-mapped, each with its bytes as integers and how many they are. */
  readonly #texts: string[] = Array.from({ length: TEXT_PLACES }, () => '');
  readonly #textLengths = new Uint8Array(TEXT_PLACES);
  readonly #textIntegers = new Int32Array(TEXT_PLACES * INTEGERS_A_TEXT);

  override reset(): void {
    this.position = 0;
    this.#depth = 0;
  }

  /** One byte of header now; `#end` widens it when the count asks for more. */
  #begin(): void {
    this.#countValue();
    this.reserve(1);
    const depth = ++this.#depth;
    this.#starts[depth] = this.position++;
    this.#counts[depth] = 0;
  }

  #end(fixBase: number, head16: number, entries: number): void {
    const start = this.#starts[this.#depth--] as number; // begin and end are balanced
    if (entries < 16) {
      this.bytes[start] = fixBase | entries;
      return;
    }
    const more = entries < 0x10000 ? 2 : 4;
    this.reserve(more);
    const bytes = this.bytes;
    bytes.copyWithin(start + 1 + more, start + 1, this.position);
    bytes[start] = more === 2 ? head16 : head16 + 1;
    for (let index = 0; index < more; index++) bytes[start + 1 + index] = entries >>> (8 * (more - 1 - index));
    this.position += more;
  }

  override beginMap(): void {
    this.#begin();
  }

  override endMap(): void {
    this.#end(0x80, 0xde, this.#counts[this.#depth] as number); // set by beginMap
  }

  override beginArray(): void {
    this.#begin();
  }

  override endArray(): void {
    this.#end(0x90, 0xdc, this.#counts[this.#depth] as number); // set by beginArray
  }

  #countValue(): void {
    (this.#counts[this.#depth] as number)++; // set when the depth was entered
  }

  protected override beforeKey(): void {}

  protected override encodeKey(name: string): Uint8Array {
    const writer = new MessagePackWriter(16);
    writer.#text(name);
    return writer.finish();
  }

  protected override foreignKey(name: string): void {
    this.#text(name);
  }

  override string(value: string): void {
    this.#countValue();
    this.#text(value);
  }

  override boolean(value: boolean): void {
    this.#countValue();
    this.reserve(1);
    this.bytes[this.position++] = value ? 0xc3 : 0xc2;
  }

  override null(): void {
    this.#countValue();
    this.reserve(1);
    this.bytes[this.position++] = 0xc0;
  }

  override number(value: number): void {
    this.#countValue();
    this.reserve(9);
    this.position += putNumber(this.view, this.position, value);
  }

  /** Begins a map of `count` entries, at most 15, that the packed calls will write; one value of what is open. */
  packMap(count: number): void {
    this.#countValue();
    this.reserve(1);
    this.bytes[this.position++] = 0x80 | count;
  }

  /** Copies a run at the position, makes room for `more` bytes behind it, and returns where it ends. */
  #copy(run: PackedRun, more: number): number {
    this.reserve(run.length + OVERRUN_BYTES + more);
    const { view } = this;
    const { chunks } = run;
    const start = this.position;
    let at = start;
    for (let index = 0; index < chunks.length; index++) {
      view.setFloat64(at, chunks[index] as number, true); // below length
      at += 8;
    }
    return start + run.length;
  }

  packBoolean(run: PackedRun, value: boolean): void {
    const at = this.#copy(run, 1);
    this.bytes[at] = value ? 0xc3 : 0xc2;
    this.position = at + 1;
  }

  /** The header of an array of `count` items that the packed calls will write. */
  packArray(run: PackedRun, count: number): void {
    const at = this.#copy(run, 5);
    const { view } = this;
    if (count < 16) {
      view.setUint8(at, 0x90 | count);
      this.position = at + 1;
    } else if (count < 0x10000) {
      view.setUint8(at, 0xdc);
      view.setUint16(at + 1, count);
      this.position = at + 3;
    } else {
      view.setUint8(at, 0xdd);
      view.setUint32(at + 1, count);
      this.position = at + 5;
    }
  }

  packNumber(run: PackedRun, value: number | null): void {
    const at = this.#copy(run, 9);
    this.position = at + (value === null ? putNull(this.view, at) : putNumber(this.view, at, value));
  }

  packText(run: PackedRun, value: string | null): void {
    this.position = this.#copy(run, 1);
    if (value === null) this.position += putNull(this.view, this.position);
    else this.#text(value);
  }

  /** As `packText`, for words with few distinct values: their bytes are kept. Unique texts would only evict them. */
  packRecurring(run: PackedRun, value: string | null): void {
    if (value === null || value.length < RECURRING_UNITS_MIN || value.length > RECURRING_UNITS_MAX) {
      this.packText(run, value);
      return;
    }
    let at = this.#copy(run, KEPT_BYTES_MAX);
    const { length } = value;
    const middle = value.charCodeAt(length >> 1);
    const last = value.charCodeAt(length - 1);
    const hash = Math.imul((last << 16) ^ (value.charCodeAt(length - 2) << 8) ^ (middle << 4) ^ length, 0x9e3779b1);
    const place = hash >>> 22;
    if (this.#texts[place] !== value) {
      this.position = at;
      this.#keepText(place, value);
      return;
    }
    const { view } = this;
    const integers = this.#textIntegers;
    const end = at + (this.#textLengths[place] as number); // the place has ten bits
    this.position = end;
    for (let index = place * INTEGERS_A_TEXT; at < end; index++) {
      view.setInt32(at, integers[index] as number, true); // the text's own integers
      at += 4;
    }
  }

  #keepText(place: number, value: string): void {
    const start = this.position;
    this.#text(value);
    const byteLength = this.position - start;
    if (byteLength > KEPT_BYTES_MAX) return;
    this.reserve(4);
    let index = place * INTEGERS_A_TEXT;
    for (let at = start; at < this.position; at += 4) this.#textIntegers[index++] = this.view.getInt32(at, true);
    this.#textLengths[place] = byteLength;
    this.#texts[place] = value;
  }

  #text(value: string): void {
    if (value.length > LOOP_UNITS_MAX || !this.#ascii(value)) this.#longText(value);
  }

  /** Writes a text of at most `LOOP_UNITS_MAX` units when it is ASCII; else leaves the position and returns false. */
  #ascii(value: string): boolean {
    const { length } = value;
    this.reserve(length + 2);
    const { view } = this;
    let at = this.position;
    if (length < 32) view.setUint8(at++, 0xa0 | length);
    else {
      view.setUint16(at, 0xd900 | length);
      at += 2;
    }
    let index = 0;
    let units = 0;
    for (; index + 4 <= length; index += 4) {
      const first = value.charCodeAt(index);
      const second = value.charCodeAt(index + 1);
      const third = value.charCodeAt(index + 2);
      const fourth = value.charCodeAt(index + 3);
      units |= first | second | third | fourth;
      view.setInt32(at, first | (second << 8) | (third << 16) | (fourth << 24), true);
      at += 4;
    }
    for (; index < length; index++) {
      const unit = value.charCodeAt(index);
      units |= unit;
      view.setUint8(at++, unit);
    }
    if (units >= 0x80) return false;
    this.position = at;
    return true;
  }

  #longText(value: string): void {
    const start = this.position;
    const { length } = value;
    // A guess that holds for ASCII: the header for as many bytes as there are UTF-16 units.
    const headBytes = textHeadBytes(length);
    this.reserve(headBytes);
    this.position = start + headBytes;
    this.writeUtf8(value);
    const byteLength = this.position - start - headBytes;
    const neededBytes = textHeadBytes(byteLength);
    if (neededBytes !== headBytes) {
      this.reserve(neededBytes - headBytes);
      this.bytes.copyWithin(start + neededBytes, start + headBytes, this.position);
      this.position += neededBytes - headBytes;
    }
    const { view } = this;
    if (neededBytes === 1) view.setUint8(start, 0xa0 | byteLength);
    else if (neededBytes === 2) view.setUint16(start, 0xd900 | byteLength);
    else {
      view.setUint8(start, neededBytes === 3 ? 0xda : 0xdb);
      if (neededBytes === 3) view.setUint16(start + 1, byteLength);
      else view.setUint32(start + 1, byteLength);
    }
  }
}

function textHeadBytes(byteLength: number): number {
  return byteLength < 32 ? 1 : byteLength < 0x100 ? 2 : byteLength < 0x10000 ? 3 : 5;
}

function putNull(view: DataView, at: number): number {
  view.setUint8(at, 0xc0);
  return 1;
}

/** Writes a number in the form this protocol gives it and returns the size, at most 9. */
function putNumber(view: DataView, at: number, value: number): number {
  const integer = value | 0;
  // Also -0, which is written as 0.
  if (integer === value) return putInteger(view, at, integer);
  if (value >>> 0 === value) {
    view.setUint8(at, 0xce);
    view.setUint32(at + 1, value);
    return 5;
  }
  if (!Number.isFinite(value)) return putNull(view, at);
  // Beyond 32 bits as a float: exact up to 2^53, and many decoders turn 64-bit integers into a type of their own.
  view.setUint8(at, 0xcb);
  view.setFloat64(at + 1, value);
  return 9;
}

/** Writes a 32-bit signed integer in its shortest form and returns the size. */
function putInteger(view: DataView, at: number, integer: number): number {
  if (integer >= -32 && integer < 128) {
    view.setInt8(at, integer);
    return 1;
  }
  if (integer >= 0 ? integer < 0x100 : integer >= -0x80) {
    view.setUint8(at, integer >= 0 ? 0xcc : 0xd0);
    view.setInt8(at + 1, integer);
    return 2;
  }
  if (integer >= 0 ? integer < 0x10000 : integer >= -0x8000) {
    view.setUint8(at, integer >= 0 ? 0xcd : 0xd1);
    view.setInt16(at + 1, integer);
    return 3;
  }
  view.setUint8(at, integer >= 0 ? 0xce : 0xd2);
  view.setInt32(at + 1, integer);
  return 5;
}
