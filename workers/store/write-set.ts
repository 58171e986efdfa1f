/**
 * The records of one batch that are not on disk yet: a small hash table from an 11-byte store key to
 * bytes in an arena. It serves twice: reads look here before they look into LMDB, and at commit each
 * entry becomes one put straight out of the arena, sealed. A key put twice in one batch is one entry.
 *
 * No object and no string is made per record: with a Map of strings the same work cost three times as
 * much and left its garbage on the shard's loop. The price is that the arena must stay untouched from
 * `forEachSealed` until the transaction has settled, because LMDB's writer thread reads from it.
 *
 *   slots (hash → entry + 1, 0 = empty)   entries: keys │ starts │ lengths   arena: payload seal payload seal …
 */
import { STORE_KEY_BYTES } from '../../actors/store.ts';
import { SEAL_BYTES, sealInPlace } from './sealed-value.ts';

const SLOTS_INITIAL = 256;
const ARENA_BYTES_INITIAL = 64 * 1024;
/** An arena that grew past this is let go when the set is cleared, so that one burst is not kept for ever. */
const ARENA_BYTES_KEPT = 4 * 1024 * 1024;

/** Length of what has no value any more: an empty value is one. */
const REMOVED = -1;
const NO_BYTES = new Uint8Array(0);

export class WriteSet {
  #slots = new Int32Array(SLOTS_INITIAL);
  #keys = new Uint8Array((SLOTS_INITIAL / 2) * STORE_KEY_BYTES);
  #starts = new Int32Array(SLOTS_INITIAL / 2);
  #lengths = new Int32Array(SLOTS_INITIAL / 2);
  #rooms = new Int32Array(SLOTS_INITIAL / 2);
  #arena = new Uint8Array(new ArrayBuffer(ARENA_BYTES_INITIAL));
  #arenaUsed = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Bytes of payload and seal held, including what later puts of the same key left unused. */
  get sizeBytes(): number {
    return this.#arenaUsed;
  }

  /** Copies `key` and `bytes[start, start + length)`. The last put of a key wins. */
  put(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    let entry = this.find(key);
    if (entry < 0) {
      entry = this.#add(key);
      this.#place(entry, length);
    } else if (length > (this.#rooms[entry] as number)) {
      // entry < count
      this.#place(entry, length);
    }
    this.#lengths[entry] = length;
    const at = this.#starts[entry] as number; // entry < count
    if (start === 0 && length === bytes.length) this.#arena.set(bytes, at);
    else this.#arena.set(bytes.subarray(start, start + length), at);
  }

  /** From now on the key has no value, and on disk neither, once the batch is there. */
  remove(key: Uint8Array): void {
    this.put(key, NO_BYTES, 0, 0);
    this.#lengths[this.find(key)] = REMOVED;
  }

  /** The entry of a key, or -1. */
  find(key: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = hashKey(key, 0) & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] as number) - 1; // slot is masked
      if (entry < 0) return -1;
      if (this.#isKeyOf(entry, key)) return entry;
    }
  }

  /** A copy of the payload of an entry that `find` returned; undefined for one that was removed. */
  copyOf(entry: number): Uint8Array | undefined {
    if (this.#lengths[entry] === REMOVED) return undefined;
    const start = this.#starts[entry] as number; // entry < count
    return this.#arena.slice(start, start + (this.#lengths[entry] as number)); // entry < count
  }

  /**
   * Seals every entry and hands out views of its key and value, in the order of the first put. The key
   * view is valid during the call only; the value view until `clear`. The value is null for a key that was removed.
   */
  forEachSealed(visit: (key: Uint8Array, sealed: Uint8Array | null) => void): void {
    for (let entry = 0; entry < this.#count; entry++) {
      const start = this.#starts[entry] as number; // entry < count
      const length = this.#lengths[entry] as number; // entry < count
      const key = this.#keys.subarray(entry * STORE_KEY_BYTES, (entry + 1) * STORE_KEY_BYTES);
      if (length === REMOVED) {
        visit(key, null);
        continue;
      }
      sealInPlace(this.#arena, start, length);
      visit(key, this.#arena.subarray(start, start + length + SEAL_BYTES));
    }
  }

  clear(): void {
    if (this.#count > 0) this.#slots.fill(0);
    this.#count = 0;
    this.#arenaUsed = 0;
    if (this.#arena.length > ARENA_BYTES_KEPT) this.#arena = new Uint8Array(new ArrayBuffer(ARENA_BYTES_INITIAL));
  }

  #add(key: Uint8Array): number {
    if (this.#count === this.#starts.length) this.#growTable();
    const entry = this.#count++;
    this.#keys.set(key, entry * STORE_KEY_BYTES);
    this.#link(entry);
    return entry;
  }

  #link(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = hashKey(this.#keys, entry * STORE_KEY_BYTES) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = entry + 1;
  }

  #place(entry: number, length: number): void {
    const needed = this.#arenaUsed + length + SEAL_BYTES;
    if (needed > this.#arena.length) {
      const grown = new Uint8Array(new ArrayBuffer(Math.max(needed, this.#arena.length * 2)));
      grown.set(this.#arena.subarray(0, this.#arenaUsed));
      this.#arena = grown;
    }
    this.#starts[entry] = this.#arenaUsed;
    this.#rooms[entry] = length;
    this.#arenaUsed = needed;
  }

  /** Twice the entries, four slots an entry at most: half the slots stay empty, so probes are short. */
  #growTable(): void {
    const entries = this.#starts.length * 2;
    const grow = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const grown = new Int32Array(entries);
      grown.set(old);
      return grown;
    };
    this.#starts = grow(this.#starts);
    this.#lengths = grow(this.#lengths);
    this.#rooms = grow(this.#rooms);
    const keys = new Uint8Array(entries * STORE_KEY_BYTES);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#slots = new Int32Array(entries * 2);
    for (let entry = 0; entry < this.#count; entry++) this.#link(entry);
  }

  #isKeyOf(entry: number, key: Uint8Array): boolean {
    const base = entry * STORE_KEY_BYTES;
    for (let index = 0; index < STORE_KEY_BYTES; index++) {
      if (this.#keys[base + index] !== key[index]) return false;
    }
    return true;
  }
}

/** Mixes all eleven bytes; the last eight are a keyed hash already, tenant and partition are not. */
function hashKey(bytes: Uint8Array, start: number): number {
  let hash = 0;
  for (let index = 0; index < STORE_KEY_BYTES; index++) {
    hash = Math.imul(hash ^ (bytes[start + index] as number), 0x9e3779b1); // callers pass whole keys
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
