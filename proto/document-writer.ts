/**
 * Writing a document without building it first: the caller says `beginMap`, `key`, `number`, … and the
 * writer puts bytes into a buffer it owns and reuses. One interface, two encodings (`messagepack.ts`,
 * `json.ts`), so each reply's shape is written down once, in `reply.ts`.
 *
 * The buffer grows by doubling and never shrinks; `finish` returns a view of it that the next `reset`
 * or write makes stale. The caller balances begin and end: an unbalanced document is our bug.
 */
import type { Plain } from './messages.ts';

export type Encoding = 'msgpack' | 'json';

export interface DocumentWriter {
  /** Forgets what was written; views from `finish` are stale from here on. */
  reset(): void;
  beginMap(): void;
  endMap(): void;
  beginArray(): void;
  endArray(): void;
  /** A map key from our own fixed vocabulary: its encoded form is cached. */
  key(name: string): void;
  string(value: string): void;
  /** Integers are written compactly; NaN and the infinities are written as null. */
  number(value: number): void;
  boolean(value: boolean): void;
  null(): void;
  /** Any plain value; map entries that are undefined are left out. Nesting is the caller's to bound. */
  plain(value: Plain): void;
  /** Bytes written so far. */
  readonly length: number;
  /** The document: a view into the writer's own buffer, valid until the next `reset`. */
  finish(): Uint8Array;
}

/** Distinct keys kept in encoded form; beyond this a key is encoded each time (foreign keys cannot fill memory). */
const KEY_CACHE_MAX = 512;
/** Above this many UTF-16 units the runtime's own encoder is faster than a loop over character codes. */
const LOOP_UNITS_MAX = 64;

/** Documents shorter than this have their view kept: at most about 200 KB a writer. */
const FINISHED_LENGTHS = 2048;

const encoder = new TextEncoder();

function noViews(): (Uint8Array | undefined)[] {
  return Array.from({ length: FINISHED_LENGTHS }, () => undefined);
}

/** The growing buffer and the parts of a document that both encodings share. */
export abstract class ByteWriter implements DocumentWriter {
  protected bytes: Uint8Array<ArrayBuffer>;
  /** Over the same buffer as `bytes`. */
  protected view: DataView<ArrayBuffer>;
  protected position = 0;
  /** Views handed out, by length: replies have few lengths, and a view costs more to make than a field to write. */
  #finished = noViews();
  readonly #keys = new Map<string, Uint8Array>();

  constructor(initialBytes = 4096) {
    this.bytes = new Uint8Array(initialBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  abstract reset(): void;
  abstract beginMap(): void;
  abstract endMap(): void;
  abstract beginArray(): void;
  abstract endArray(): void;
  abstract string(value: string): void;
  abstract number(value: number): void;
  abstract boolean(value: boolean): void;
  abstract null(): void;
  /** A map key that may come from a caller: never cached. */
  protected abstract foreignKey(name: string): void;
  protected abstract encodeKey(name: string): Uint8Array;
  protected abstract beforeKey(): void;

  get length(): number {
    return this.position;
  }

  finish(): Uint8Array {
    const length = this.position;
    if (length >= FINISHED_LENGTHS) return this.bytes.subarray(0, length);
    let finished = this.#finished[length];
    if (finished === undefined) {
      finished = this.bytes.subarray(0, length);
      this.#finished[length] = finished;
    }
    return finished;
  }

  key(name: string): void {
    let encoded = this.#keys.get(name);
    if (encoded === undefined) {
      if (this.#keys.size >= KEY_CACHE_MAX) {
        this.foreignKey(name);
        return;
      }
      encoded = this.encodeKey(name);
      this.#keys.set(name, encoded);
    }
    this.beforeKey();
    const length = encoded.length;
    this.reserve(length);
    const bytes = this.bytes;
    const position = this.position;
    for (let index = 0; index < length; index++) bytes[position + index] = encoded[index] as number; // below length
    this.position = position + length;
  }

  plain(value: Plain): void {
    switch (typeof value) {
      case 'string':
        this.string(value);
        return;
      case 'number':
        this.number(value);
        return;
      case 'boolean':
        this.boolean(value);
        return;
      default:
    }
    if (value === null || typeof value !== 'object') this.null();
    else if (isList(value)) {
      this.beginArray();
      for (const item of value) this.plain(item);
      this.endArray();
    } else {
      this.beginMap();
      for (const name of Object.keys(value)) {
        const item = value[name];
        if (item === undefined) continue;
        this.foreignKey(name);
        this.plain(item);
      }
      this.endMap();
    }
  }

  /** Makes room for `more` bytes after the current position. */
  protected reserve(more: number): void {
    const needed = this.position + more;
    if (needed <= this.bytes.length) return;
    let size = this.bytes.length * 2;
    while (size < needed) size *= 2;
    const grown = new Uint8Array(size);
    grown.set(this.bytes.subarray(0, this.position));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
    this.#finished = noViews();
  }

  /** Writes `text` as UTF-8 at the position (which it moves); a lone surrogate becomes U+FFFD. */
  protected writeUtf8(text: string): void {
    this.reserve(text.length * 3);
    this.position += encoder.encodeInto(text, this.bytes.subarray(this.position)).written;
  }

  /** Writes `text` when it is short ASCII that `isPlain` lets through; else leaves the position and returns false. */
  protected writeAscii(text: string, lowest: number, firstEscaped: number, secondEscaped: number): boolean {
    const length = text.length;
    if (length > LOOP_UNITS_MAX) return false;
    this.reserve(length);
    const bytes = this.bytes;
    const position = this.position;
    for (let index = 0; index < length; index++) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80 || unit < lowest || unit === firstEscaped || unit === secondEscaped) return false;
      bytes[position + index] = unit;
    }
    this.position = position + length;
    return true;
  }
}

function isList(value: object): value is readonly Plain[] {
  return Array.isArray(value);
}
