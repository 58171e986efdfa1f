/**
 * Bytes and text: bounds-free byte access, strict UTF-8 and a cache of short strings.
 *
 * UTF-8 is validated here, byte by byte (no overlong forms, no surrogates, nothing above U+10FFFF),
 * because `TextDecoder` either throws or replaces, and neither is wanted on the hot path. Short strings
 * that come again and again (keys, slots, skus) are answered from a direct-mapped cache, so a repeated
 * word allocates nothing; a miss costs one decode and evicts whatever sat in that place. The cache is
 * one per thread (module state), never holds more than its slots, and changes speed only, never results.
 */

/** No bytes; the resting value of every byte field, so that the field's shape never changes. */
export const EMPTY_BYTES = new Uint8Array(0);

/** The byte at `index`. The caller has checked the bound; beyond it the result is not a number. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] as number; // the caller has checked the bound
}

/** What `classifyUtf8` found. */
export const UTF8 = { invalid: -1, ascii: 0, multibyte: 1 } as const;
export type Utf8Class = (typeof UTF8)[keyof typeof UTF8];

/** Validates `length` bytes from `start` as UTF-8 (RFC 3629, table 3-7 of the Unicode standard). */
export function classifyUtf8(bytes: Uint8Array, start: number, length: number): Utf8Class {
  const end = start + length;
  let index = start;
  while (index < end && byteAt(bytes, index) < 0x80) index++;
  if (index === end) return UTF8.ascii;
  while (index < end) {
    const lead = byteAt(bytes, index++);
    if (lead < 0x80) continue;
    // The second byte's range is what excludes overlong forms, surrogates and values above U+10FFFF.
    let low = 0x80;
    let high = 0xbf;
    let more: number;
    if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      else if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      else if (lead === 0xf4) high = 0x8f;
    } else return UTF8.invalid;
    if (index + more > end) return UTF8.invalid;
    const second = byteAt(bytes, index++);
    if (second < low || second > high) return UTF8.invalid;
    for (more--; more > 0; more--) {
      if ((byteAt(bytes, index++) & 0xc0) !== 0x80) return UTF8.invalid;
    }
  }
  return UTF8.multibyte;
}

// `ignoreBOM` keeps a leading U+FEFF: a decoder that drops it would make two keys one.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
/** Below this many bytes, building from character codes beats the call into `TextDecoder`. */
const ASCII_BUILD_BYTES_MAX = 48;

function buildAscii(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  let index = start;
  for (; index + 8 <= end; index += 8) {
    text += String.fromCharCode(
      byteAt(bytes, index),
      byteAt(bytes, index + 1),
      byteAt(bytes, index + 2),
      byteAt(bytes, index + 3),
      byteAt(bytes, index + 4),
      byteAt(bytes, index + 5),
      byteAt(bytes, index + 6),
      byteAt(bytes, index + 7),
    );
  }
  if (index + 4 <= end) {
    text += String.fromCharCode(
      byteAt(bytes, index),
      byteAt(bytes, index + 1),
      byteAt(bytes, index + 2),
      byteAt(bytes, index + 3),
    );
    index += 4;
  }
  for (; index < end; index++) text += String.fromCharCode(byteAt(bytes, index));
  return text;
}

/** The text of `length` bytes from `start`, or undefined when they are not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start: number, length: number): string | undefined {
  const found = classifyUtf8(bytes, start, length);
  if (found === UTF8.invalid) return undefined;
  if (found === UTF8.ascii && length <= ASCII_BUILD_BYTES_MAX) return buildAscii(bytes, start, start + length);
  return decoder.decode(bytes.subarray(start, start + length));
}

const INTERN_SLOTS = 4096;
const INTERN_BYTES_MAX = 32;
const internHashes = new Int32Array(INTERN_SLOTS);
const internLengths = new Uint8Array(INTERN_SLOTS);
const internBytes = new Uint8Array(INTERN_SLOTS * INTERN_BYTES_MAX);
const internTexts: string[] = Array.from({ length: INTERN_SLOTS }, () => '');

/**
 * As `decodeUtf8`, through the cache when the text is at most 32 bytes. For words with few distinct
 * values; unique values (message ids) would only evict them.
 */
export function internUtf8(bytes: Uint8Array, start: number, length: number): string | undefined {
  if (length > INTERN_BYTES_MAX || length === 0) return decodeUtf8(bytes, start, length);
  let hash = length;
  const end = start + length;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ byteAt(bytes, index), 0x01000193);
  const slot = (hash ^ (hash >>> 15)) & (INTERN_SLOTS - 1);
  const base = slot * INTERN_BYTES_MAX;
  if (internHashes[slot] === hash && internLengths[slot] === length) {
    let offset = 0;
    while (offset < length && internBytes[base + offset] === bytes[start + offset]) offset++;
    // A hit needs no validation: these very bytes were valid when they were stored.
    if (offset === length) return internTexts[slot];
  }
  const text = decodeUtf8(bytes, start, length);
  if (text === undefined) return undefined;
  internHashes[slot] = hash;
  internLengths[slot] = length;
  for (let offset = 0; offset < length; offset++) internBytes[base + offset] = byteAt(bytes, start + offset);
  internTexts[slot] = text;
  return text;
}
