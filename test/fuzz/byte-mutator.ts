/**
 * Makes new inputs out of known ones: bits, bytes and lengths changed, pieces lost, doubled, moved, taken from
 * another input or from the target's dictionary. The result lies in one buffer that the next call overwrites,
 * so a million inputs allocate a handful of objects. What it does follows from the chance it is given alone.
 */
import type { Chance } from './chance.ts';

/** Bytes that are borders of something: of signs, lengths, UTF-8 and MessagePack heads. */
const BORDER_BYTES = [
  0, 1, 0x1f, 0x20, 0x22, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc7, 0xca,
  0xcb, 0xcf, 0xd3, 0xd4, 0xd6, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xed, 0xf0, 0xf4, 0xf8, 0xfe, 0xff,
];
const BORDER_WORDS = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x400, 0x401, 0x1000, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff,
];
/** Most edits of one input; the number is drawn so that few are usual. */
const EDITS_MAX = 6;
/** Most bytes that one edit doubles, loses or takes over. */
const PIECE_BYTES_MAX = 64;

export class ByteMutator {
  readonly #chance: Chance;
  readonly #dictionary: readonly Uint8Array[];
  readonly #bytes: Uint8Array;
  readonly #bytesMax: number;
  #length = 0;

  constructor(chance: Chance, dictionary: readonly Uint8Array[], bytesMax: number) {
    this.#chance = chance;
    this.#dictionary = dictionary;
    this.#bytesMax = bytesMax;
    this.#bytes = new Uint8Array(bytesMax);
  }

  /** A changed copy of `parent`; `other` gives pieces. Valid until the next call. */
  mutate(parent: Uint8Array, other: Uint8Array): Uint8Array {
    const chance = this.#chance;
    this.#length = Math.min(parent.length, this.#bytesMax);
    this.#bytes.set(parent.subarray(0, this.#length));
    let edits = 1;
    while (edits < EDITS_MAX && chance.below(2) === 0) edits++;
    for (; edits > 0; edits--) this.#edit(other);
    return this.#bytes.subarray(0, this.#length);
  }

  #edit(other: Uint8Array): void {
    const chance = this.#chance;
    const at = chance.below(this.#length);
    switch (chance.below(12)) {
      case 0:
        this.#bytes[at] = (this.#bytes[at] as number) ^ (1 << chance.below(8)); // below length, or the buffer's first
        break;
      case 1:
        this.#bytes[at] = chance.next() & 0xff;
        break;
      case 2:
        this.#bytes[at] = chance.pick(BORDER_BYTES) ?? 0;
        break;
      case 3:
        this.#bytes[at] = (this.#bytes[at] as number) + (chance.below(2) === 0 ? 1 : -1); // as above
        break;
      case 4:
        this.#remove(at, 1 + chance.below(Math.min(PIECE_BYTES_MAX, this.#length - at)));
        break;
      case 5:
        this.#insert(at, Uint8Array.of(chance.below(2) === 0 ? chance.next() : (chance.pick(BORDER_BYTES) ?? 0)));
        break;
      case 6:
        this.#insert(at, this.#piece(this.#bytes.subarray(0, this.#length)).slice());
        break;
      case 7:
        this.#insert(at, this.#piece(other));
        break;
      case 8:
        this.#overwrite(at, this.#piece(other));
        break;
      case 9:
        this.#insert(at, chance.pick(this.#dictionary) ?? this.#piece(other));
        break;
      case 10:
        if (chance.below(8) === 0) this.#length = at;
        else this.#overwrite(at, chance.pick(this.#dictionary) ?? this.#piece(other));
        break;
      default:
        this.#writeWord(at);
    }
  }

  #piece(source: Uint8Array): Uint8Array {
    const start = this.#chance.below(source.length);
    return source.subarray(start, start + 1 + this.#chance.below(PIECE_BYTES_MAX));
  }

  #remove(at: number, count: number): void {
    this.#bytes.copyWithin(at, at + count, this.#length);
    this.#length = Math.max(0, this.#length - count);
  }

  #insert(at: number, piece: Uint8Array): void {
    const count = Math.min(piece.length, this.#bytesMax - this.#length);
    if (count === 0) return;
    this.#bytes.copyWithin(at + count, at, this.#length);
    this.#bytes.set(piece.subarray(0, count), at);
    this.#length += count;
  }

  #overwrite(at: number, piece: Uint8Array): void {
    const count = Math.min(piece.length, this.#bytesMax - at);
    this.#bytes.set(piece.subarray(0, count), at);
    this.#length = Math.max(this.#length, at + count);
  }

  /** A border of 16 or 32 bits, big-endian, as lengths are. */
  #writeWord(at: number): void {
    const word = this.#chance.pick(BORDER_WORDS) ?? 0;
    const bytes = this.#chance.below(2) === 0 ? 2 : 4;
    for (let index = 0; index < bytes && at + index < this.#length; index++) {
      this.#bytes[at + index] = (word >>> (8 * (bytes - 1 - index))) & 0xff;
    }
  }
}
