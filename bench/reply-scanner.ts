/**
 * The few facts a load generator needs from a reply, without decoding it: `id`, `ok`, and, where they
 * follow at once, `serverMicros` and the place of `decisionId`. Replies begin `{id, ok, serverMicros,
 * decisionId, …}`; the scan stops at the first other key once `id` and `ok` are known, so the cost
 * does not grow with the reply. Other orders are found too, by skipping values. A map with no `ok` (the
 * echo server's) counts as a success. Reads MessagePack only; a malformed reply scans as false.
 */
export class ReplyScanner {
  /** −1 when the reply has none (or null: the server could not read ours). */
  id = -1;
  isOk = true;
  /** NaN when the reply's head does not carry it. */
  serverMicros = Number.NaN;
  /** Bytes of the decision id's text within the scanned buffer; start −1 when absent or null. */
  decisionIdStart = -1;
  decisionIdEnd = -1;
  /** Where the number, or string, read last ended. */
  #at = 0;

  /** Scans the map at `bytes[start, end)`. False when it is not a well-formed map. */
  scan(bytes: Uint8Array, start: number, end: number): boolean {
    this.id = -1;
    this.isOk = true;
    this.serverMicros = Number.NaN;
    this.decisionIdStart = -1;
    this.decisionIdEnd = -1;
    const first = start < end ? (bytes[start] as number) : 0; // in range: start < end
    let entries = 0;
    let at = start + 1;
    if (first >= 0x80 && first <= 0x8f) entries = first & 0x0f;
    else if (first === 0xde && start + 3 <= end) {
      entries = ((bytes[start + 1] as number) << 8) | (bytes[start + 2] as number); // in range: checked above
      at = start + 3;
    } else return false;

    let hasId = false;
    let hasOk = false;
    for (let entry = 0; entry < entries; entry += 1) {
      if (at >= end) return false;
      const head = bytes[at] as number; // in range: at < end
      if (head === 0xa2 && at + 3 < end && bytes[at + 1] === 0x69 && bytes[at + 2] === 0x64) {
        if (bytes[at + 3] === 0xc0) at += 4;
        else {
          const value = this.#number(bytes, at + 3, end);
          if (Number.isNaN(value)) return false;
          this.id = value;
          at = this.#at;
        }
        hasId = true;
      } else if (head === 0xa2 && at + 3 < end && bytes[at + 1] === 0x6f && bytes[at + 2] === 0x6b) {
        this.isOk = bytes[at + 3] !== 0xc2;
        at += 4;
        hasOk = true;
      } else if (head === 0xac && isKey(bytes, at, end, SERVER_MICROS)) {
        this.serverMicros = this.#number(bytes, at + 1 + SERVER_MICROS.length, end);
        if (Number.isNaN(this.serverMicros)) return false;
        at = this.#at;
      } else if (head === 0xaa && isKey(bytes, at, end, DECISION_ID)) {
        const value = at + 1 + DECISION_ID.length;
        const after = skipValue(bytes, value, end);
        if (after < 0) return false;
        const tag = bytes[value] as number; // in range: skipValue succeeded
        if (tag >= 0xa0 && tag <= 0xbf) this.decisionIdStart = value + 1;
        else if (tag === 0xd9) this.decisionIdStart = value + 2;
        this.decisionIdEnd = this.decisionIdStart < 0 ? -1 : after;
        at = after;
      } else {
        if (hasId && hasOk) return true;
        at = skipValue(bytes, skipValue(bytes, at, end), end);
        if (at < 0) return false;
      }
    }
    return true;
  }

  /** The number at `at`, NaN when there is none; its end is left in `#at`. */
  #number(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) return Number.NaN;
    const tag = bytes[at] as number; // in range: at < end
    if (tag <= 0x7f) {
      this.#at = at + 1;
      return tag;
    }
    const width =
      tag === 0xcc ? 1 : tag === 0xcd ? 2 : tag === 0xce || tag === 0xca ? 4 : tag === 0xcf || tag === 0xcb ? 8 : 0;
    if (width === 0 || at + 1 + width > end) return Number.NaN;
    this.#at = at + 1 + width;
    if (tag === 0xca || tag === 0xcb) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at + 1, width);
      return tag === 0xca ? view.getFloat32(0) : view.getFloat64(0);
    }
    let value = 0;
    for (let i = at + 1; i < this.#at; i += 1) value = value * 256 + (bytes[i] as number); // in range: checked above
    return value;
  }
}

const SERVER_MICROS = new TextEncoder().encode('serverMicros');
const DECISION_ID = new TextEncoder().encode('decisionId');

function isKey(bytes: Uint8Array, at: number, end: number, key: Uint8Array): boolean {
  if (at + 1 + key.length >= end) return false;
  for (let i = 0; i < key.length; i += 1) if (bytes[at + 1 + i] !== key[i]) return false;
  return true;
}

/** Entries of the array that begins at `start`, or −1 when no array does. Its first item is at `arrayItems`. */
export function arrayLength(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1;
  const tag = bytes[start] as number; // in range: start < end
  if (tag >= 0x90 && tag <= 0x9f) return tag & 0x0f;
  if (tag === 0xdc && start + 3 <= end) return bigEndian(bytes, start + 1, 2);
  if (tag === 0xdd && start + 5 <= end) return bigEndian(bytes, start + 1, 4);
  return -1;
}

/** Offset of the first item of the array at `start`. */
export function arrayItems(bytes: Uint8Array, start: number): number {
  const tag = bytes[start];
  return start + (tag === 0xdc ? 3 : tag === 0xdd ? 5 : 1);
}

function bigEndian(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = at; i < at + width; i += 1) value = value * 256 + (bytes[i] as number); // in range: callers checked
  return value;
}

/**
 * Offset just after the MessagePack value at `at`, or −1 when it is cut or has no meaning. Walks
 * containers with a count of values still owed, so nesting costs no stack.
 */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  if (at < 0) return -1;
  let owed = 1;
  let offset = at;
  while (owed > 0) {
    if (offset >= end) return -1;
    const tag = bytes[offset] as number; // in range: offset < end
    offset += 1;
    owed -= 1;
    if (tag <= 0x7f || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) continue;
    if (tag <= 0x8f) owed += 2 * (tag & 0x0f);
    else if (tag <= 0x9f) owed += tag & 0x0f;
    else if (tag <= 0xbf) offset += tag & 0x1f;
    else {
      const width = SIZE_BYTES[tag - 0xc0] as number; // in range: tag is 0xc0 to 0xdf here
      if (width === 0) return -1;
      if (width < 0) {
        // A value of fixed size: `-width` bytes follow the tag.
        offset -= width;
      } else {
        if (offset + width > end) return -1;
        const size = bigEndian(bytes, offset, width);
        offset += width;
        if (tag >= 0xde) owed += 2 * size;
        else if (tag >= 0xdc) owed += size;
        // Extensions carry a type byte beside their data.
        else offset += size + (tag >= 0xc7 && tag <= 0xc9 ? 1 : 0);
      }
    }
    // Each value owed takes a byte at least: a forged count cannot make this loop long.
    if (offset > end || owed > end - offset) return -1;
  }
  return offset;
}

/** For tags 0xc0 to 0xdf: bytes of the length field; negative: bytes of a fixed value; 0: no such value. */
const SIZE_BYTES = [
  0, 0, 0, 0, 1, 2, 4, 1, 2, 4, -4, -8, -1, -2, -4, -8, -1, -2, -4, -8, -2, -3, -5, -9, -17, 1, 2, 4, 2, 4, 2, 4,
] as const;
