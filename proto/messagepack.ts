/**
 * MessagePack (the specification of 2013 with str8) for this protocol: a strict, bounded reader; the
 * writer is in `messagepack-writer.ts`. Ours and not msgpackr for two reasons. msgpackr cannot be told to refuse extensions,
 * duplicate keys, NaN or bad UTF-8, so it would need a scan before it: one strict pass does both jobs.
 * And the client must carry no dependency.
 *
 * Refused, each with its own fault: extensions, binary, map keys that are not strings, duplicate keys,
 * NaN and infinities, numbers beyond ±(2^53 - 1), too deep, too many entries, too long strings, invalid
 * UTF-8. A length that reaches beyond the frame, or the unused byte 0xc1, is `malformed`. A container's
 * declared count is checked against the bytes left before anything is reserved for it.
 */
import { byteAt } from './bytes.ts';
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
