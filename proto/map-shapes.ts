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

interface Shape {
  readonly keys: readonly string[];
  /** null until the shape has been met twice. */
  map: { [key: string]: Plain } | null;
}

const PLACES = 256;

export class MapShapes {
  readonly #shapes: (Shape | undefined)[] = Array.from({ length: PLACES }, () => undefined);

  /**
   * The map of the first `count` keys and values, valid until the next call; undefined when a key is
   * there twice.
   * @param hash of the keys in their order.
   */
  map(hash: number, count: number, keys: readonly string[], values: readonly Plain[]): Properties | undefined {
    const place = (hash ^ (hash >>> 16)) & (PLACES - 1);
    const shape = this.#shapes[place];
    if (shape === undefined || !isSame(shape.keys, count, keys)) return this.#learn(place, count, keys, values);
    if (shape.map === null) {
      // Null by `setPrototypeOf`: `Object.create(null)` makes a dictionary.
      shape.map = Object.setPrototypeOf({}, null) as { [key: string]: Plain }; // setPrototypeOf is typed any
    }
    const { map, keys: shapeKeys } = shape;
    for (let index = 0; index < count; index++) map[shapeKeys[index] as string] = values[index] as Plain; // below count
    return map;
  }

  #learn(place: number, count: number, keys: readonly string[], values: readonly Plain[]): Properties | undefined {
    const map = Object.create(null) as { [key: string]: Plain }; // Object.create is typed any
    for (let index = 0; index < count; index++) {
      const key = keys[index] as string; // below count
      if (key in map) return undefined;
      map[key] = values[index] as Plain; // below count
    }
    this.#shapes[place] = { keys: keys.slice(0, count), map: null };
    return map;
  }
}

function isSame(known: readonly string[], count: number, keys: readonly string[]): boolean {
  if (known.length !== count) return false;
  for (let index = 0; index < count; index++) {
    if (known[index] !== keys[index]) return false;
  }
  return true;
}
