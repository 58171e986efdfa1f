/**
 * One strict, bounded pull reader for both encodings. The caller asks for what it expects (`readNumber`,
 * `enterMap`, `readKey`); nothing is built that was not asked for, and every bound is checked before
 * memory is spent. `messagepack.ts` and `json.ts` supply the primitives; what both must agree on
 * (null-prototype maps, duplicate keys, depth) is here once, so that a request means the same in both.
 *
 * Nothing throws: the first problem is left in `fault`. `malformed` means the structure itself is broken
 * and nothing after it can be trusted; every other fault concerns one value, and `skip` still finds
 * where that value ends.
 */

import { decodeUtf8, EMPTY_BYTES, internUtf8 } from './bytes.ts';
import type { Encoding } from './document-writer.ts';
import type { Plain } from './messages.ts';

/** What went wrong in `ValueReader.fault`; `none` is 0 so that a test for a fault is a test for non-zero. */
export const READ_FAULT = {
  none: 0,
  malformed: 1,
  tooDeep: 2,
  tooManyItems: 3,
  stringTooLong: 4,
  invalidUtf8: 5,
  extension: 6,
  binary: 7,
  keyNotString: 8,
  duplicateKey: 9,
  notFinite: 10,
  numberTooLarge: 11,
  /** The caller asked for another kind than is there: our bug or a caller that did not peek. */
  wrongKind: 12,
} as const;
export type ReadFault = (typeof READ_FAULT)[keyof typeof READ_FAULT];

export const KIND = {
  malformed: 0,
  null: 1,
  boolean: 2,
  number: 3,
  string: 4,
  array: 5,
  map: 6,
  extension: 7,
  binary: 8,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface ReadLimits {
  readonly nestingMax: number;
  readonly containerItemsMax: number;
  readonly stringBytesMax: number;
  /** Largest magnitude of any number. Requests: 2^53 - 1, so that no whole number was ever rounded. */
  readonly magnitudeMax: number;
}

export abstract class ValueReader {
  abstract readonly encoding: Encoding;
  readonly limits: ReadLimits;
  bytes: Uint8Array = EMPTY_BYTES;
  position = 0;
  end = 0;
  /** Open containers; a batch's own array is opened at -1 so that each request in it starts at 0. */
  depth = 0;
  fault: ReadFault = READ_FAULT.none;
  /** The string read last, as UTF-8: in the frame, or in the reader's scratch where it had escapes. */
  spanBytes: Uint8Array = EMPTY_BYTES;
  spanStart = 0;
  spanLength = 0;

  constructor(limits: ReadLimits) {
    this.limits = limits;
  }

  /** Starts over on `bytes` (not copied: they must stay unchanged while this reader is in use). */
  open(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.end = bytes.length;
    this.rewind(0);
  }

  /** Goes back to a position where a value of the outermost level starts. */
  rewind(position: number): void {
    this.position = position;
    this.depth = 0;
    this.fault = READ_FAULT.none;
  }

  /** Kind of the next value, without consuming it. */
  abstract peekKind(): Kind;
  /** Reads a string into the span; UTF-8 is not yet proven (`spanText` does). Goes past it even on a fault. */
  abstract readSpan(): boolean;
  /** Reads a number; check `fault` (NaN, infinities and magnitudes beyond the limit are faults). */
  abstract readNumber(): number;
  abstract readBoolean(): boolean;
  abstract readNull(): boolean;
  abstract enterArray(): boolean;
  abstract enterMap(): boolean;
  /** Whether the open container has another entry; closes it (depth - 1) and returns false at its end. */
  abstract hasNext(): boolean;
  /** Reads a map key into the span, ready for its value. */
  abstract readKey(): boolean;
  /** Goes past the next value whatever it holds, by structure alone; false: malformed. Never recurses. */
  abstract skip(): boolean;
  /** Items of the array at `position`, checked whole by structure, without consuming it; -1: malformed. */
  abstract countItems(): number;
  /** Whether nothing but insignificant space is left. */
  abstract isAtEnd(): boolean;

  isMalformed(): boolean {
    return this.fault === READ_FAULT.malformed;
  }

  protected fail(fault: ReadFault): false {
    if (this.fault === READ_FAULT.none) this.fault = fault;
    return false;
  }

  /** The span as text, from the cache of short strings when `isRepeated`; undefined with a fault set. */
  spanText(isRepeated: boolean): string | undefined {
    const text = isRepeated
      ? internUtf8(this.spanBytes, this.spanStart, this.spanLength)
      : decodeUtf8(this.spanBytes, this.spanStart, this.spanLength);
    if (text === undefined) this.fail(READ_FAULT.invalidUtf8);
    return text;
  }

  /** Reads any value; undefined with a fault set when it is not allowed. Maps have no prototype. */
  readPlain(): Plain | undefined {
    switch (this.peekKind()) {
      case KIND.null:
        return this.readNull() ? null : undefined;
      case KIND.boolean: {
        const value = this.readBoolean();
        return this.fault === READ_FAULT.none ? value : undefined;
      }
      case KIND.number: {
        const value = this.readNumber();
        return this.fault === READ_FAULT.none ? value : undefined;
      }
      case KIND.string:
        return this.readSpan() ? this.spanText(true) : undefined;
      case KIND.array: {
        if (!this.enterArray()) return undefined;
        const items: Plain[] = [];
        while (this.hasNext()) {
          const item = this.readPlain();
          if (item === undefined) return undefined;
          items.push(item);
        }
        return this.fault === READ_FAULT.none ? items : undefined;
      }
      case KIND.map:
        return this.readMap();
      case KIND.extension:
        this.fail(READ_FAULT.extension);
        return undefined;
      case KIND.binary:
        this.fail(READ_FAULT.binary);
        return undefined;
      default:
        this.fail(READ_FAULT.malformed);
        return undefined;
    }
  }

  /** Reads the map that `peekKind` saw; undefined with a fault set. */
  readMap(): { readonly [key: string]: Plain } | undefined {
    if (!this.enterMap()) return undefined;
    // No prototype: `__proto__` and `constructor` are ordinary keys here, and `in` means "was sent".
    const map = Object.create(null) as { [key: string]: Plain }; // Object.create is typed any
    while (this.hasNext()) {
      if (!this.readKey()) return undefined;
      const key = this.spanText(true);
      if (key === undefined) return undefined;
      if (key in map) {
        this.fail(READ_FAULT.duplicateKey);
        return undefined;
      }
      const value = this.readPlain();
      if (value === undefined) return undefined;
      map[key] = value;
    }
    return this.fault === READ_FAULT.none ? map : undefined;
  }
}
