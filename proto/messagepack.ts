/**
 * MessagePack (the specification of 2013 with str8) for this protocol: a strict, bounded reader and a
 * compact writer. Ours and not msgpackr for two reasons. msgpackr cannot be told to refuse extensions,
 * duplicate keys, NaN or bad UTF-8, so it would need a scan before it: one strict pass does both jobs.
 * And the client must carry no dependency.
 *
 * Refused, each with its own fault: extensions, binary, map keys that are not strings, duplicate keys,
 * NaN and infinities, numbers beyond ±(2^53 - 1), too deep, too many entries, too long strings, invalid
 * UTF-8. A length that reaches beyond the frame, or the unused byte 0xc1, is `malformed`. A container's
 * declared count is checked against the bytes left before anything is reserved for it.
 *
 * Written: the shortest form of every integer (64-bit integers as such, not as floats), floats as
 * float64, map and array headers patched in when the count is known.
 */
import { byteAt } from './bytes.ts';
import { ByteWriter } from './document-writer.ts';
import { KIND, type Kind, READ_FAULT, type ReadLimits, ValueReader } from './value-reader.ts';

const KIND_OF_BYTE = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  let kind: Kind = KIND.number;
  if (byte >= 0x80 && byte < 0x90) kind = KIND.map;
  else if (byte >= 0x90 && byte < 0xa0) kind = KIND.array;
  else if (byte >= 0xa0 && byte < 0xc0) kind = KIND.string;
  else if (byte === 0xc0) kind = KIND.null;
  else if (byte === 0xc1) kind = KIND.malformed;
  else if (byte === 0xc2 || byte === 0xc3) kind = KIND.boolean;
  else if (byte >= 0xc4 && byte <= 0xc6) kind = KIND.binary;
  else if (byte >= 0xc7 && byte <= 0xc9) kind = KIND.extension;
  else if (byte >= 0xd4 && byte <= 0xd8) kind = KIND.extension;
  else if (byte >= 0xd9 && byte <= 0xdb) kind = KIND.string;
  else if (byte === 0xdc || byte === 0xdd) kind = KIND.array;
  else if (byte === 0xde || byte === 0xdf) kind = KIND.map;
  KIND_OF_BYTE[byte] = kind;
}

/** Eight bytes seen as both floats: moving them here is cheaper than a DataView a frame. */
const floatBytes = new Uint8Array(8);
const float64 = new Float64Array(floatBytes.buffer);
const float32 = new Float32Array(floatBytes.buffer);
float64[0] = 1;
const isLittleEndian = floatBytes[7] !== 0;

const TWO_32 = 0x1_0000_0000;

export class MessagePackReader extends ValueReader {
  readonly encoding = 'msgpack';
  /** Entries left in each open container, by depth. */
  readonly #left: Int32Array;

  constructor(limits: ReadLimits) {
    super(limits);
    this.#left = new Int32Array(limits.nestingMax + 1);
  }

  override peekKind(): Kind {
    if (this.position >= this.end) return KIND.malformed;
    return KIND_OF_BYTE[byteAt(this.bytes, this.position)] as Kind; // the table has 256 kinds
  }

  /** `size` bytes, big-endian, at the position, which it moves; -1 when they reach beyond the frame. */
  #unsigned(size: number): number {
    let value = 0;
    let index = this.position;
    const next = index + size;
    if (next > this.end) return -1;
    for (; index < next; index++) value = value * 256 + byteAt(this.bytes, index);
    this.position = next;
    return value;
  }

  override readSpan(): boolean {
    if (this.peekKind() !== KIND.string) return this.fail(READ_FAULT.wrongKind);
    const head = byteAt(this.bytes, this.position++);
    const length = head < 0xc0 ? head & 0x1f : this.#unsigned(1 << (head - 0xd9));
    if (length < 0 || length > this.end - this.position) return this.fail(READ_FAULT.malformed);
    this.spanBytes = this.bytes;
    this.spanStart = this.position;
    this.spanLength = length;
    this.position += length;
    return length <= this.limits.stringBytesMax || this.fail(READ_FAULT.stringTooLong);
  }

  override readKey(): boolean {
    const kind = this.peekKind();
    if (kind === KIND.string) return this.readSpan();
    return this.fail(kind === KIND.malformed ? READ_FAULT.malformed : READ_FAULT.keyNotString);
  }

  override readNull(): boolean {
    if (this.peekKind() !== KIND.null) return this.fail(READ_FAULT.wrongKind);
    this.position++;
    return true;
  }

  override readBoolean(): boolean {
    if (this.peekKind() !== KIND.boolean) return this.fail(READ_FAULT.wrongKind);
    return byteAt(this.bytes, this.position++) === 0xc3;
  }

  override readNumber(): number {
    if (this.peekKind() !== KIND.number) {
      this.fail(READ_FAULT.wrongKind);
      return Number.NaN;
    }
    const head = byteAt(this.bytes, this.position++);
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head <= 0xcb) return this.#float(head === 0xca ? 4 : 8);
    const size = 1 << (head & 3);
    if (size === 8) return this.#integer64(head === 0xd3);
    const value = this.#unsigned(size);
    if (value < 0) this.fail(READ_FAULT.malformed);
    if (head < 0xd0) return value;
    const shift = 32 - size * 8;
    return (value << shift) >> shift;
  }

  #float(size: 4 | 8): number {
    const start = this.position;
    if (start + size > this.end) {
      this.fail(READ_FAULT.malformed);
      return Number.NaN;
    }
    for (let index = 0; index < size; index++) {
      floatBytes[isLittleEndian ? size - 1 - index : index] = byteAt(this.bytes, start + index);
    }
    this.position = start + size;
    const value = (size === 4 ? float32[0] : float64[0]) as number; // both views hold at least one
    if (!Number.isFinite(value)) this.fail(READ_FAULT.notFinite);
    else if (Math.abs(value) > this.limits.magnitudeMax) this.fail(READ_FAULT.numberTooLarge);
    return value;
  }

  #integer64(isSigned: boolean): number {
    let high = this.#unsigned(4);
    const low = high < 0 ? -1 : this.#unsigned(4);
    if (low < 0) {
      this.fail(READ_FAULT.malformed);
      return Number.NaN;
    }
    if (isSigned) high |= 0;
    const value = high * TWO_32 + low;
    if (!Number.isSafeInteger(value)) this.fail(READ_FAULT.numberTooLarge);
    return value;
  }

  #containerCount(fixBase: number, kind: Kind): number {
    if (this.peekKind() !== kind) {
      this.fail(READ_FAULT.wrongKind);
      return -1;
    }
    const head = byteAt(this.bytes, this.position++);
    const count = head < 0xa0 ? head - fixBase : this.#unsigned((head & 1) === 0 ? 2 : 4);
    // Every entry takes a byte, a map's two: a larger count cannot be true, and is refused unread.
    const bytesLeft = this.end - this.position;
    if (count < 0 || count > (kind === KIND.map ? bytesLeft >> 1 : bytesLeft)) {
      this.fail(READ_FAULT.malformed);
      return -1;
    }
    return count;
  }

  #enter(count: number): boolean {
    if (count < 0) return false;
    if (count > this.limits.containerItemsMax) return this.fail(READ_FAULT.tooManyItems);
    if (this.depth >= this.limits.nestingMax) return this.fail(READ_FAULT.tooDeep);
    this.depth++;
    this.#left[this.depth] = count;
    return true;
  }

  override enterArray(): boolean {
    // array16 is 0xdc and array32 0xdd: the low bit tells them apart, as with maps (0xde, 0xdf).
    return this.#enter(this.#containerCount(0x90, KIND.array));
  }

  override enterMap(): boolean {
    return this.#enter(this.#containerCount(0x80, KIND.map));
  }

  override hasNext(): boolean {
    const left = this.#left[this.depth] as number; // depth is at most nestingMax
    if (left > 0) {
      this.#left[this.depth] = left - 1;
      return true;
    }
    this.depth--;
    return false;
  }

  override countItems(): number {
    const start = this.position;
    const count = this.#containerCount(0x90, KIND.array);
    this.position = start;
    const isWhole = count >= 0 && this.skip() && this.isAtEnd();
    this.rewind(start);
    return isWhole ? count : -1;
  }

  override isAtEnd(): boolean {
    return this.position === this.end;
  }

  override skip(): boolean {
    const bytes = this.bytes;
    const end = this.end;
    let index = this.position;
    let values = 1;
    while (values > 0) {
      // Every value still owed takes at least a byte; this also bounds the loop by the frame.
      if (values > end - index) return this.fail(READ_FAULT.malformed);
      const head = byteAt(bytes, index++);
      values--;
      if (head < 0x80 || head >= 0xe0) continue;
      if (head < 0x90) values += (head & 0x0f) * 2;
      else if (head < 0xa0) values += head & 0x0f;
      else if (head < 0xc0) index += head & 0x1f;
      else {
        this.position = index;
        const more = this.#skipLong(head);
        if (more < 0 || this.position > end) return this.fail(READ_FAULT.malformed);
        index = this.position;
        values += more;
      }
    }
    if (index > end) return this.fail(READ_FAULT.malformed);
    this.position = index;
    return true;
  }

  /** Goes past a value whose head is 0xc0 to 0xdf; returns how many values it contains, or -1. */
  #skipLong(head: number): number {
    if (head === 0xc1) return -1;
    if (head <= 0xc3) return 0;
    if (head >= 0xdc) {
      const count = this.#unsigned((head & 1) === 0 ? 2 : 4);
      return head >= 0xde ? count * 2 : count;
    }
    let length: number;
    if (head <= 0xc6) length = this.#unsigned(1 << (head - 0xc4));
    else if (head <= 0xc9) {
      length = this.#unsigned(1 << (head - 0xc7));
      if (length >= 0) length++;
    } else if (head <= 0xcb) length = head === 0xca ? 4 : 8;
    else if (head <= 0xd3) length = 1 << (head & 3);
    else if (head <= 0xd8) length = 1 + (1 << (head - 0xd4));
    else length = this.#unsigned(1 << (head - 0xd9));
    if (length < 0) return -1;
    this.position += length;
    return 0;
  }
}

export class MessagePackWriter extends ByteWriter {
  /** Where the header of each open container is, by depth; depth 0 is outside every container. */
  readonly #starts: number[] = [0];
  /** Values written in each open container, by depth. */
  readonly #counts: number[] = [0];
  #depth = 0;

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

  #text(value: string): void {
    const start = this.position;
    const length = value.length;
    // A guess that holds for ASCII: the header for as many bytes as there are UTF-16 units.
    const headBytes = length < 32 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : 5;
    this.reserve(headBytes);
    this.position = start + headBytes;
    if (this.writeAscii(value, 0, -1, -1)) {
      this.#textHead(start, headBytes, length);
      return;
    }
    this.writeUtf8(value);
    const byteLength = this.position - start - headBytes;
    const neededBytes = byteLength < 32 ? 1 : byteLength < 0x100 ? 2 : byteLength < 0x10000 ? 3 : 5;
    if (neededBytes !== headBytes) {
      this.reserve(neededBytes - headBytes);
      this.bytes.copyWithin(start + neededBytes, start + headBytes, this.position);
      this.position += neededBytes - headBytes;
    }
    this.#textHead(start, neededBytes, byteLength);
  }

  #textHead(start: number, headBytes: number, byteLength: number): void {
    const bytes = this.bytes;
    if (headBytes === 1) {
      bytes[start] = 0xa0 | byteLength;
      return;
    }
    bytes[start] = headBytes === 2 ? 0xd9 : headBytes === 3 ? 0xda : 0xdb;
    for (let index = 1; index < headBytes; index++) bytes[start + index] = byteLength >>> (8 * (headBytes - 1 - index));
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
    const bytes = this.bytes;
    const at = this.position;
    // Beyond 32 bits as a float: exact up to 2^53, and many decoders turn 64-bit integers into a type of their own.
    if (Number.isInteger(value) && value >= -0x80000000 && value < TWO_32) {
      this.#integer(value);
      return;
    }
    if (!Number.isFinite(value)) {
      bytes[this.position++] = 0xc0;
      return;
    }
    bytes[at] = 0xcb;
    float64[0] = value;
    for (let index = 0; index < 8; index++) {
      bytes[at + 1 + index] = byteAt(floatBytes, isLittleEndian ? 7 - index : index);
    }
    this.position = at + 9;
  }

  #integer(value: number): void {
    const bytes = this.bytes;
    const at = this.position;
    if (value >= -32 && value < 128) {
      bytes[at] = value;
      this.position = at + 1;
      return;
    }
    let size: number;
    if (value >= 0) size = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
    else size = value >= -0x80 ? 1 : value >= -0x8000 ? 2 : 4;
    const base = value >= 0 ? 0xcc : 0xd0;
    bytes[at] = base + (size === 1 ? 0 : size === 2 ? 1 : 2);
    let index = at + 1;
    // ToInt32 takes the 32 bits, negative ones in two's complement.
    for (let shift = size * 8 - 8; shift >= 0; shift -= 8) bytes[index++] = (value | 0) >> shift;
    this.position = index;
  }
}
