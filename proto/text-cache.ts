/**
 * Recurring short texts (slots, skus, event names, keys and values of a context) straight from bytes to
 * the same string, by words of four bytes: a hit allocates nothing and touches each word twice. The
 * cache is direct-mapped: a miss decodes once and takes the place of whatever lay there, so foreign
 * texts cost time and never memory. It changes speed only, never a result.
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
export const WORD_MASKS = new Int32Array([0, 0xff, 0xffff, 0xffffff]);

const PLACES = 4096;
/** Longest text kept, in bytes. */
export const CACHED_BYTES_MAX = 32;
const WORDS_A_PLACE = CACHED_BYTES_MAX / 4;

export class TextCache {
  readonly #view: DataView<ArrayBuffer>;
  readonly #bytes: Uint8Array;
  readonly #lengths = new Uint8Array(PLACES);
  /** The bytes kept, zero behind the text's end. */
  readonly #words = new Int32Array(PLACES * WORDS_A_PLACE);
  readonly #texts: string[] = Array.from({ length: PLACES }, () => '');
  /** Where the text read last lies: a number that stands for it, equal for equal texts until it is evicted. */
  place = 0;

  constructor(frame: FrameBytes) {
    this.#view = frame.view;
    this.#bytes = frame.bytes;
  }

  /**
   * The text in `length` bytes, 1 to `CACHED_BYTES_MAX`, from `start`; undefined when they are not valid
   * UTF-8. A hit needs no validation: these very bytes were valid when they were stored.
   */
  read(start: number, length: number): string | undefined {
    const view = this.#view;
    const words = this.#words;
    const lastAt = start + (length & ~3);
    const last = view.getInt32(lastAt, true) & (WORD_MASKS[length & 3] as number); // 4 masks
    let hash = Math.imul(last ^ length, 0x9e3779b1);
    for (let at = start; at < lastAt; at += 4) {
      hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at, true), 0x85ebca6b);
    }
    const place = (hash ^ (hash >>> 13)) & (PLACES - 1);
    this.place = place;
    let index = place * WORDS_A_PLACE;
    if (this.#lengths[place] === length) {
      let at = start;
      while (at < lastAt && words[index] === view.getInt32(at, true)) {
        at += 4;
        index++;
      }
      // A text of 32 bytes has no word behind the last whole one; its `last` is 0 and was compared above.
      if (at === lastAt && ((length & 3) === 0 || words[index] === last)) return this.#texts[place];
    }
    return this.#store(place, start, length, last);
  }

  #store(place: number, start: number, length: number, last: number): string | undefined {
    const text = decodeUtf8(this.#bytes, start, length);
    if (text === undefined) return undefined;
    let index = place * WORDS_A_PLACE;
    for (let at = start; at < start + (length & ~3); at += 4) this.#words[index++] = this.#view.getInt32(at, true);
    if ((length & 3) !== 0) this.#words[index] = last;
    this.#lengths[place] = length;
    this.#texts[place] = text;
    return text;
  }
}
