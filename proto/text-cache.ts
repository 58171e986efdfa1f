/**
 * Recurring short texts (slots, skus, event names, keys and values of a context) straight from bytes to
 * the same string, by words of four bytes: a hit allocates nothing and touches each word twice. The
 * cache has two places for each text, so that two that meet do not drive each other out for ever: a
 * miss decodes once and evicts whatever lay there, so foreign texts cost time and never memory. It
 * changes speed only, never a result.
 *
 * It reads from a `FrameBytes`, a copy of the frame with room behind it: there a word may be loaded past
 * the end of a text, and a `DataView` made once serves every frame, where one a frame costs as much as
 * decoding a field.
 */
import { decodeUtf8 } from './bytes.ts';

/** Bytes behind the frame that may be loaded (and masked off) without a look at its end. */
const SLACK_BYTES = 64;

/** The bytes of one frame, copied; what lies behind `end` is left over from frames before. */
export class FrameBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  end = 0;

  constructor(bytesMax: number) {
    this.bytes = new Uint8Array(bytesMax + SLACK_BYTES);
    this.view = new DataView(this.bytes.buffer);
  }

  /** @param frame at most the size given when this was made. */
  load(frame: Uint8Array): void {
    this.bytes.set(frame);
    this.end = frame.length;
  }
}

/** What is left of a text's last word, by its length modulo 4. */
const WORD_MASKS = new Int32Array([0, 0xff, 0xffff, 0xffffff]);

const PLACES = 4096;
/** What is left of 32 bits are the twelve of a place. */
const PLACE_SHIFT = 20;
const INTEGERS_A_PLACE = 8;

/** Holds texts of 1 to 31 bytes: those whose MessagePack header is one byte, which is kept and compared as well. */
export class TextCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** The strings kept, header and all, zero behind each end. */
  readonly #integers = new Int32Array(PLACES * INTEGERS_A_PLACE);
  readonly #texts: string[] = Array.from({ length: PLACES }, () => '');

  constructor(frame: FrameBytes) {
    this.#view = frame.view;
    this.#bytes = frame.bytes;
  }

  /**
   * The text of the string whose header, 0xa1 to 0xbf, is at `start`; undefined when it is not valid
   * UTF-8. A hit needs no validation: these very bytes were valid when they were stored.
   */
  read(start: number): string | undefined {
    const view = this.#view;
    const integers = this.#integers;
    const size = (view.getUint8(start) & 0x1f) + 1;
    const lastAt = start + (size & ~3);
    const last = view.getInt32(lastAt, true) & (WORD_MASKS[size & 3] as number); // 4 masks
    let hash = Math.imul(last ^ size, 0x9e3779b1);
    for (let at = start; at < lastAt; at += 4) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at, true), 0x85ebca6b);
    }
    // The upper bits of a product depend on all of its factors' bits, the lower ones do not.
    const place = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35) >>> PLACE_SHIFT;
    for (let way = 0; way < 2; way++) {
      let index = (place ^ way) * INTEGERS_A_PLACE;
      let at = start;
      while (at < lastAt && integers[index] === view.getInt32(at, true)) {
        at += 4;
        index++;
      }
      // A string of 32 bytes with its header fills its place: nothing is left to compare.
      if (at === lastAt && ((size & 3) === 0 || integers[index] === last)) return this.#texts[place ^ way];
    }
    return this.#store(place, start, size, last);
  }

  /** Puts the string in the first of its places; what lay there goes to the second. */
  #store(place: number, start: number, size: number, last: number): string | undefined {
    const text = decodeUtf8(this.#bytes, start + 1, size - 1);
    if (text === undefined) return undefined;
    const integers = this.#integers;
    let index = place * INTEGERS_A_PLACE;
    integers.copyWithin((place ^ 1) * INTEGERS_A_PLACE, index, index + INTEGERS_A_PLACE);
    this.#texts[place ^ 1] = this.#texts[place] as string; // both places exist
    const lastAt = start + (size & ~3);
    for (let at = start; at < lastAt; at += 4) integers[index++] = this.#view.getInt32(at, true);
    if ((size & 3) !== 0) integers[index] = last;
    this.#texts[place] = text;
    return text;
  }
}
