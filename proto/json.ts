/**
 * JSON (RFC 8259) read straight from bytes; `json-writer.ts` is the way back. Ours and not `JSON.parse`
 * because the protocol promises the same bounds in both encodings: duplicate keys, rounded integers,
 * nesting and entry counts cannot be checked once `JSON.parse` has built its objects, and the raw bytes
 * of one request in a batch (for forwarding to another thread) would have to be written again.
 *
 * JSON text must be UTF-8, so invalid UTF-8 or bad syntax anywhere is `malformed`. A lone surrogate in
 * an escape is legal JSON but no Unicode text: that value alone is refused. Numbers are read exactly.
 */
import { byteAt, classifyUtf8, UTF8 } from './bytes.ts';
import { LIMITS } from './limits.ts';
import { KIND, type Kind, READ_FAULT, type ReadLimits, ValueReader } from './value-reader.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const ARRAY_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const ARRAY_CLOSE = 0x5d;
const MAP_OPEN = 0x7b;
const MAP_CLOSE = 0x7d;

const TRUE = new TextEncoder().encode('true');
const FALSE = new TextEncoder().encode('false');
const NULL = new TextEncoder().encode('null');

/** The byte that a one-letter escape stands for; 0 where there is none. */
function simpleEscape(byte: number): number {
  switch (byte) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return byte;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return 0;
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Decimal digits that always fit a safe integer, so they can be summed up without rounding. */
const EXACT_DIGITS_MAX = 15;

/** No double needs more (767 significant digits, 324 places); a longer one is refused like an infinity. */
const NUMBER_CHARACTERS_MAX = 1100;

/** Open containers while skipping: 1 a map, 0 an array. A thread's own; grows with the frame's size. */
let skipStack = new Uint8Array(LIMITS.frameBytesMax);

export class JsonReader extends ValueReader {
  readonly encoding = 'json';
  /** Entries seen in each open container, by depth. */
  readonly #seen: Int32Array;
  /** Whether each open container is a map, by depth. */
  readonly #isMap: Uint8Array;
  #scratch = new Uint8Array(256);

  constructor(limits: ReadLimits) {
    super(limits);
    this.#seen = new Int32Array(limits.nestingMax + 1);
    this.#isMap = new Uint8Array(limits.nestingMax + 1);
  }

  #skipSpace(): void {
    const bytes = this.bytes;
    let index = this.position;
    while (index < this.end) {
      const byte = byteAt(bytes, index);
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      index++;
    }
    this.position = index;
  }

  /** The next byte that is not space, without consuming it; -1 at the end. */
  #peek(): number {
    this.#skipSpace();
    return this.position < this.end ? byteAt(this.bytes, this.position) : -1;
  }

  override peekKind(): Kind {
    const byte = this.#peek();
    if (byte === QUOTE) return KIND.string;
    if (byte === MAP_OPEN) return KIND.map;
    if (byte === ARRAY_OPEN) return KIND.array;
    if (byte === MINUS || isDigit(byte)) return KIND.number;
    if (byte === 0x74 || byte === 0x66) return KIND.boolean;
    return byte === 0x6e ? KIND.null : KIND.malformed;
  }

  #literal(expected: Uint8Array): boolean {
    for (let index = 0; index < expected.length; index++) {
      if (this.bytes[this.position + index] !== expected[index]) return this.fail(READ_FAULT.malformed);
    }
    this.position += expected.length;
    return true;
  }

  override readNull(): boolean {
    return this.peekKind() === KIND.null ? this.#literal(NULL) : this.fail(READ_FAULT.wrongKind);
  }

  override readBoolean(): boolean {
    if (this.peekKind() !== KIND.boolean) return this.fail(READ_FAULT.wrongKind);
    if (byteAt(this.bytes, this.position) === 0x74) return this.#literal(TRUE);
    this.#literal(FALSE);
    return false;
  }

  override readSpan(): boolean {
    if (this.peekKind() !== KIND.string) return this.fail(READ_FAULT.wrongKind);
    const bytes = this.bytes;
    const end = this.end;
    const start = this.position + 1;
    let index = start;
    let seen = 0;
    while (index < end) {
      const byte = byteAt(bytes, index);
      if (byte === QUOTE) {
        const length = index - start;
        if (seen >= 0x80 && classifyUtf8(bytes, start, length) === UTF8.invalid) return this.fail(READ_FAULT.malformed);
        this.spanBytes = bytes;
        this.spanStart = start;
        this.spanLength = length;
        this.position = index + 1;
        return length <= this.limits.stringBytesMax || this.fail(READ_FAULT.stringTooLong);
      }
      if (byte === BACKSLASH) return this.#readEscaped(start, index);
      if (byte < 0x20) break;
      seen |= byte;
      index++;
    }
    return this.fail(READ_FAULT.malformed);
  }

  /** The slow half of `readSpan`: unescapes into the scratch, from the first backslash on. */
  #readEscaped(start: number, firstEscape: number): boolean {
    const bytes = this.bytes;
    // No escape is longer decoded than written, so the rest of the frame bounds the result.
    if (this.#scratch.length < this.end - start) this.#scratch = new Uint8Array(this.end - start);
    const scratch = this.#scratch;
    let length = firstEscape - start;
    scratch.set(bytes.subarray(start, firstEscape));
    let isUnicode = true;
    let index = firstEscape;
    while (index < this.end) {
      const byte = byteAt(bytes, index++);
      if (byte === QUOTE) {
        if (classifyUtf8(scratch, 0, length) === UTF8.invalid) return this.fail(READ_FAULT.malformed);
        this.spanBytes = scratch;
        this.spanStart = 0;
        this.spanLength = length;
        this.position = index;
        if (!isUnicode) return this.fail(READ_FAULT.invalidUtf8);
        return length <= this.limits.stringBytesMax || this.fail(READ_FAULT.stringTooLong);
      }
      if (byte < 0x20) break;
      if (byte !== BACKSLASH) {
        scratch[length++] = byte;
        continue;
      }
      if (index >= this.end) break;
      const letter = byteAt(bytes, index++);
      if (letter !== 0x75) {
        const simple = simpleEscape(letter);
        if (simple === 0) break;
        scratch[length++] = simple;
        continue;
      }
      let point = this.#hex4(index);
      if (point < 0) break;
      index += 4;
      if (point >= 0xd800 && point <= 0xdfff) {
        const low = bytes[index] === BACKSLASH && bytes[index + 1] === 0x75 ? this.#hex4(index + 2) : -1;
        if (point < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) {
          point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
          index += 6;
        } else {
          isUnicode = false;
          point = 0xfffd;
        }
      }
      length = writeCodePoint(scratch, length, point);
    }
    return this.fail(READ_FAULT.malformed);
  }

  #hex4(start: number): number {
    if (start + 4 > this.end) return -1;
    let value = 0;
    for (let index = start; index < start + 4; index++) {
      const byte = byteAt(this.bytes, index);
      const lower = byte | 0x20;
      if (isDigit(byte)) value = value * 16 + byte - 0x30;
      else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57;
      else return -1;
    }
    return value;
  }

  override readNumber(): number {
    if (this.peekKind() !== KIND.number) {
      this.fail(READ_FAULT.wrongKind);
      return Number.NaN;
    }
    const bytes = this.bytes;
    const start = this.position;
    let index = start;
    const isNegative = byteAt(bytes, index) === MINUS;
    if (isNegative) index++;
    const digitsStart = index;
    let value = 0;
    while (index < this.end && isDigit(byteAt(bytes, index))) value = value * 10 + byteAt(bytes, index++) - 0x30;
    const digits = index - digitsStart;
    // No digit at all, or a leading zero before another digit, is not a JSON number.
    if (digits === 0 || (digits > 1 && byteAt(bytes, digitsStart) === 0x30)) return this.#malformedNumber();
    let isInteger = true;
    if (index < this.end && byteAt(bytes, index) === 0x2e) {
      isInteger = false;
      const fraction = ++index;
      while (index < this.end && isDigit(byteAt(bytes, index))) index++;
      if (index === fraction) return this.#malformedNumber();
    }
    if (index < this.end && (byteAt(bytes, index) | 0x20) === 0x65) {
      isInteger = false;
      index++;
      if (index < this.end && (byteAt(bytes, index) === 0x2b || byteAt(bytes, index) === MINUS)) index++;
      const exponent = index;
      while (index < this.end && isDigit(byteAt(bytes, index))) index++;
      if (index === exponent) return this.#malformedNumber();
    }
    this.position = index;
    if (isInteger && digits <= EXACT_DIGITS_MAX) return isNegative ? -value : value;
    if (index - start > NUMBER_CHARACTERS_MAX) {
      this.fail(READ_FAULT.notFinite);
      return Number.NaN;
    }
    const exact = Number(String.fromCharCode(...bytes.subarray(start, index)));
    if (!Number.isFinite(exact)) this.fail(READ_FAULT.notFinite);
    else if (Math.abs(exact) > this.limits.magnitudeMax) this.fail(READ_FAULT.numberTooLarge);
    return exact;
  }

  #malformedNumber(): number {
    this.fail(READ_FAULT.malformed);
    return Number.NaN;
  }

  #enter(kind: Kind): boolean {
    if (this.peekKind() !== kind) return this.fail(READ_FAULT.wrongKind);
    if (this.depth >= this.limits.nestingMax) return this.fail(READ_FAULT.tooDeep);
    this.position++;
    this.depth++;
    this.#seen[this.depth] = 0;
    this.#isMap[this.depth] = kind === KIND.map ? 1 : 0;
    return true;
  }

  override enterArray(): boolean {
    return this.#enter(KIND.array);
  }

  override enterMap(): boolean {
    return this.#enter(KIND.map);
  }

  override hasNext(): boolean {
    const byte = this.#peek();
    const seen = this.#seen[this.depth] as number; // depth is at most nestingMax
    if (byte === (this.#isMap[this.depth] === 1 ? MAP_CLOSE : ARRAY_CLOSE)) {
      this.position++;
      this.depth--;
      return false;
    }
    if (seen > 0) {
      if (byte !== COMMA) return this.fail(READ_FAULT.malformed);
      this.position++;
    }
    if (seen >= this.limits.containerItemsMax) return this.fail(READ_FAULT.tooManyItems);
    this.#seen[this.depth] = seen + 1;
    return true;
  }

  override readKey(): boolean {
    if (this.peekKind() !== KIND.string) return this.fail(READ_FAULT.malformed);
    const isRead = this.readSpan();
    if (!isRead && this.fault === READ_FAULT.malformed) return false;
    if (this.#peek() !== COLON) {
      this.fault = READ_FAULT.malformed;
      return false;
    }
    this.position++;
    return isRead;
  }

  override isAtEnd(): boolean {
    return this.#peek() === -1;
  }

  override countItems(): number {
    const start = this.position;
    let items = 0;
    this.position = start + 1;
    let isWhole = true;
    if (this.#peek() === ARRAY_CLOSE) this.position++;
    else {
      for (;;) {
        if (!this.skip()) {
          isWhole = false;
          break;
        }
        items++;
        const byte = this.#peek();
        this.position++;
        if (byte === COMMA) continue;
        isWhole = byte === ARRAY_CLOSE;
        break;
      }
    }
    isWhole = isWhole && this.isAtEnd();
    this.rewind(start);
    return isWhole ? items : -1;
  }

  override skip(): boolean {
    if (skipStack.length < this.end) skipStack = new Uint8Array(this.end);
    let depth = 0;
    for (;;) {
      const kind = this.peekKind();
      if (kind === KIND.map || kind === KIND.array) {
        this.position++;
        const isMap = kind === KIND.map;
        if (this.#peek() === (isMap ? MAP_CLOSE : ARRAY_CLOSE)) this.position++;
        else {
          skipStack[depth++] = isMap ? 1 : 0;
          if (isMap && !this.#skipKey()) return false;
          continue;
        }
      } else if (!this.#skipScalar(kind)) return false;
      for (;;) {
        if (depth === 0) return true;
        const isMap = skipStack[depth - 1] === 1;
        const byte = this.#peek();
        this.position++;
        if (byte === COMMA) {
          if (isMap && !this.#skipKey()) return false;
          break;
        }
        if (byte !== (isMap ? MAP_CLOSE : ARRAY_CLOSE)) return this.fail(READ_FAULT.malformed);
        depth--;
      }
    }
  }

  #skipKey(): boolean {
    const before = this.fault;
    if (!this.readKey() && this.fault === READ_FAULT.malformed) return false;
    this.fault = before;
    return true;
  }

  #skipScalar(kind: Kind): boolean {
    const before = this.fault;
    this.fault = READ_FAULT.none;
    if (kind === KIND.string) this.readSpan();
    else if (kind === KIND.number) this.readNumber();
    else if (kind === KIND.boolean) this.readBoolean();
    else if (kind === KIND.null) this.readNull();
    else this.fail(READ_FAULT.malformed);
    // Faults of a value do not concern its structure.
    if (this.isMalformed()) return false;
    this.fault = before;
    return true;
  }
}

function writeCodePoint(bytes: Uint8Array, at: number, point: number): number {
  let index = at;
  if (point < 0x80) bytes[index++] = point;
  else {
    if (point < 0x800) bytes[index++] = 0xc0 | (point >> 6);
    else {
      if (point < 0x10000) bytes[index++] = 0xe0 | (point >> 12);
      else {
        bytes[index++] = 0xf0 | (point >> 18);
        bytes[index++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[index++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[index++] = 0x80 | (point & 0x3f);
  }
  return index;
}
