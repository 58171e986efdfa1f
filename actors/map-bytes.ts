/**
 * A request's context or properties as the journal keeps them. What came as MessagePack is copied from its frame,
 * whose strict decoder has been through every byte of it; anything else is packed. To pack what was unpacked a
 * moment ago took 6 % of a decide. The price: an entry may hold a number in more bytes than it needs.
 */
import { EMPTY_BYTES } from '../proto/bytes.ts';
import type { Properties } from '../proto/messages.ts';
import type { ColdCodec } from './ports.ts';

/** One a turn, filled anew for each effect; valid as long as the frame. */
export class MapBytes {
  #bytes: Uint8Array = EMPTY_BYTES;
  #start = 0;
  length = 0;

  /** @param frame holds `map` from `start` to before `end` as MessagePack; when `end` is 0 it does not. */
  take(map: Properties | null, frame: Uint8Array, start: number, end: number, codec: ColdCodec): void {
    if (end > start) {
      this.#bytes = frame;
      this.#start = start;
      this.length = end - start;
      return;
    }
    this.#bytes = map === null ? EMPTY_BYTES : codec.encodeProperties(map);
    this.#start = 0;
    this.length = this.#bytes.length;
  }

  /** Copies all of it. By hand: a view for `set` would be an object, and these are some hundred bytes. */
  copyTo(target: Uint8Array, at: number): void {
    const bytes = this.#bytes;
    const start = this.#start;
    for (let index = 0; index < this.length; index++) target[at + index] = bytes[start + index] as number; // below length
  }
}
