/**
 * Flat maps whose keys come again and again in the same order, as a client's context does: the second
 * time such a list of keys is met it gets one object that lasts, and each later map of that shape only
 * puts its values there. The object keeps one hidden class, so nothing is allocated for it, and who
 * walks it (`for … in`) walks a fast one; a fresh map without prototype is a dictionary, dear to fill
 * and dearer to walk.
 *
 * Price: the map lasts until the next of its shape, which the `Request` says of everything it holds. A
 * list of keys met once leaves an entry in a direct-mapped table and nothing else, so foreign keys can
 * fill neither memory nor the engine's tree of hidden classes.
 */
import type { Plain, Properties } from './messages.ts';

/** Integers that a key takes with its MessagePack header, of at most 32 bytes together. */
const INTEGERS_A_KEY = 8;
const WORD_MASKS = new Int32Array([-1, 0xff, 0xffff, 0xffffff]);
const encoder = new TextEncoder();

/** A list of keys that was met, in its order. */
export class MapShape {
  readonly keys: readonly string[];
  /** Bytes of each key's MessagePack string. */
  readonly #sizes: Uint8Array;
  /** Those strings in little-endian integers, zero behind each end. */
  readonly #integers: Int32Array;
  /** The map that lasts; null until the shape has been met twice. */
  map: { [key: string]: Plain } | null = null;
  /** What the map holds, by number of the key: looking here is cheaper than storing there what it has already. */
  readonly values: Plain[];

  /** @param keys each of 1 to 31 bytes. */
  constructor(keys: readonly string[]) {
    this.keys = keys;
    this.values = keys.map(() => null);
    const bytes = new Uint8Array(keys.length * INTEGERS_A_KEY * 4);
    this.#sizes = Uint8Array.from(keys, (key, index) => {
      const start = index * INTEGERS_A_KEY * 4;
      const { written } = encoder.encodeInto(key, bytes.subarray(start + 1, start + INTEGERS_A_KEY * 4));
      bytes[start] = 0xa0 | written;
      return written + 1;
    });
    const view = new DataView(bytes.buffer);
    this.#integers = Int32Array.from({ length: bytes.length / 4 }, (_, index) => view.getInt32(index * 4, true));
  }

  /** Bytes of the string at `at` when it is this shape's key number `entry`; else 0. Looks up to 3 bytes behind it. */
  matchKey(entry: number, view: DataView, at: number): number {
    const size = this.#sizes[entry] as number; // below count
    const integers = this.#integers;
    let index = entry * INTEGERS_A_KEY;
    let left = size;
    let next = at;
    for (; left > 4; left -= 4) {
      if (integers[index++] !== view.getInt32(next, true)) return 0;
      next += 4;
    }
    return (view.getInt32(next, true) & (WORD_MASKS[left & 3] as number)) === integers[index] ? size : 0; // 4 masks
  }
}

const PLACES = 256;
const NO_SHAPE = new MapShape([]);

export class MapShapes {
  readonly #shapes: (MapShape | undefined)[] = Array.from({ length: PLACES }, () => undefined);
  /** By count of keys, the shape met last. */
  readonly #lasts: MapShape[];

  /** @param entriesMax most entries of a map. */
  constructor(entriesMax: number) {
    this.#lasts = Array.from({ length: entriesMax + 1 }, () => NO_SHAPE);
  }

  /** The likeliest shape of a map of `count` entries; it may have another count. */
  guess(count: number): MapShape {
    return this.#lasts[count] as MapShape; // the caller's count is at most the constructor's
  }

  /** The map of a shape that was met, valid until the next of that shape. */
  fill(shape: MapShape, values: readonly Plain[]): Properties {
    shape.map ??= emptyMap(shape.keys);
    const { map, keys, values: held } = shape;
    for (let index = 0; index < keys.length; index++) {
      const value = values[index] as Plain; // one a key
      // 0 may stand for -0 here.
      if (value === held[index] && value !== 0) continue;
      held[index] = value;
      map[keys[index] as string] = value; // below length
    }
    return map;
  }

  /**
   * The map of the first `count` keys and values, valid until the next call; undefined when a key is
   * there twice.
   * @param hash of the keys in their order.
   */
  map(hash: number, count: number, keys: readonly string[], values: readonly Plain[]): Properties | undefined {
    const place = (hash ^ (hash >>> 16)) & (PLACES - 1);
    const shape = this.#shapes[place];
    if (shape === undefined || !isSame(shape.keys, count, keys)) return this.#learn(place, count, keys, values);
    this.#lasts[count] = shape;
    return this.fill(shape, values);
  }

  #learn(place: number, count: number, keys: readonly string[], values: readonly Plain[]): Properties | undefined {
    const map = Object.create(null) as { [key: string]: Plain }; // Object.create is typed any
    for (let index = 0; index < count; index++) {
      const key = keys[index] as string; // below count
      if (key in map) return undefined;
      map[key] = values[index] as Plain; // below count
    }
    this.#shapes[place] = new MapShape(keys.slice(0, count));
    return map;
  }
}

/** Every key at null, with no prototype; by `setPrototypeOf`, for `Object.create(null)` makes a dictionary. */
function emptyMap(keys: readonly string[]): { [key: string]: Plain } {
  const map = Object.setPrototypeOf({}, null) as { [key: string]: Plain }; // setPrototypeOf is typed any
  for (const key of keys) map[key] = null;
  return map;
}

function isSame(known: readonly string[], count: number, keys: readonly string[]): boolean {
  if (known.length !== count) return false;
  for (let index = 0; index < count; index++) {
    if (known[index] !== keys[index]) return false;
  }
  return true;
}
