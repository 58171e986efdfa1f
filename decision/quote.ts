/**
 * A quote is a price that holds: id, product, currency, minor units and expiry under a signature. Here
 * is what is pure about it: that a standing quote never rises, and the exact bytes that are signed. The
 * key and the HMAC belong to a port elsewhere.
 *
 * Guarantees: two different quotes never give the same bytes (every text is preceded by its length), a
 * usual one fits one block of SHA-256 (55 bytes), and the same quote gives the same bytes on every machine and in every later version, which the leading
 * version byte tells apart. Quotes are verified long after they were made: never change a layout, add one.
 */

/** Version of the byte layout below; the first byte of every signed quote. */
export const QUOTE_VERSION = 1;
/** Longest quote id, sku and currency in UTF-8 bytes. */
export const QUOTE_TEXT_BYTES_MAX = 1024;
/** A buffer of this size holds every quote. */
export const QUOTE_BYTES_MAX = 1 + 7 + 6 + 3 * (2 + QUOTE_TEXT_BYTES_MAX);

/** What the customer was promised. */
export interface Quote {
  /** The id of the decision that priced it; it holds the profile key's hash, so the quote is this person's only. */
  readonly quoteId: string;
  readonly sku: string;
  /** ISO 4217. */
  readonly currency: string;
  /** Minor units, an integer from 0 to 2^53 - 1. */
  readonly priceMinor: number;
  /** Epoch milliseconds, an integer from 0 to 2^48 - 1 (the year 10889); from this instant on the quote no longer holds. */
  readonly expiresAtEpochMillis: number;
}

/**
 * The price to quote to someone who may hold a quote already: while that one stands the price never
 * rises, through reloads of the catalog and of the page alike; it may fall.
 * @param previousPriceMinor price of the last quote for this person and product; negative: none
 * @param previousExpiresAtEpochMillis its expiry; at that instant it has ended
 */
export function standingQuotePrice(
  previousPriceMinor: number,
  previousExpiresAtEpochMillis: number,
  nowEpochMillis: number,
  newPriceMinor: number,
): number {
  const stands = previousPriceMinor >= 0 && nowEpochMillis < previousExpiresAtEpochMillis;
  return stands && previousPriceMinor < newPriceMinor ? previousPriceMinor : newPriceMinor;
}

const EXPIRY_END = 2 ** 48;
const encoder = new TextEncoder();
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Writes the canonical bytes of a quote, all integers big-endian:
 *
 *     version u8 | price u56 | expiry u48 | length, quoteId | length, sku | length, currency      (texts in UTF-8)
 *
 * A length below 128 is one byte, a longer one two, the first with its top bit set.
 *
 * @param out at least `QUOTE_BYTES_MAX` bytes; written from its start; owned by the caller
 * @returns the number of bytes to sign, or -1 when the quote cannot be written: a text too long, holding a
 *   lone surrogate (two of them would give the same bytes), or a number outside its range
 */
export function quoteBytes(quote: Quote, out: Uint8Array): number {
  const { priceMinor, expiresAtEpochMillis } = quote;
  if (!isUnsigned(priceMinor) || !isUnsigned(expiresAtEpochMillis) || expiresAtEpochMillis >= EXPIRY_END) return -1;
  out[0] = QUOTE_VERSION;
  const priceHigh = Math.floor(priceMinor / 0x1_0000_0000);
  const expiryHigh = Math.floor(expiresAtEpochMillis / 0x1_0000_0000);
  out[1] = priceHigh >>> 16;
  out[2] = priceHigh >>> 8;
  out[3] = priceHigh;
  let at = writeWord(out, 4, priceMinor % 0x1_0000_0000);
  out[at] = expiryHigh >>> 8;
  out[at + 1] = expiryHigh;
  at = writeWord(out, at + 2, expiresAtEpochMillis % 0x1_0000_0000);
  at = writeText(out, at, quote.quoteId);
  if (at > 0) at = writeText(out, at, quote.sku);
  if (at > 0) at = writeText(out, at, quote.currency);
  return at;
}

function isUnsigned(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function writeWord(out: Uint8Array, at: number, word: number): number {
  out[at] = word >>> 24;
  out[at + 1] = word >>> 16;
  out[at + 2] = word >>> 8;
  out[at + 3] = word;
  return at + 4;
}

/** Writes a length of up to 2^15 - 1; a shorter form than needed is never written, so equal bytes mean equal lengths. */
function writeLength(out: Uint8Array, at: number, length: number): number {
  if (length < 0x80) {
    out[at] = length;
    return at + 1;
  }
  out[at] = 0x80 | (length >>> 8);
  out[at + 1] = length;
  return at + 2;
}

function writeText(out: Uint8Array, at: number, text: string): number {
  const { length } = text;
  // ASCII, which ids, skus and currencies nearly always are, needs neither the check nor the encoder.
  if (length <= QUOTE_TEXT_BYTES_MAX) {
    const start = at + (length < 0x80 ? 1 : 2);
    let ascii = 0;
    for (; ascii < length; ascii++) {
      const code = text.charCodeAt(ascii);
      if (code > 127) break;
      out[start + ascii] = code;
    }
    if (ascii === length) return writeLength(out, at, length) + length;
  }
  // encodeInto would stop short of a text that is too long and replace what is no text: both are refused.
  if (length > QUOTE_TEXT_BYTES_MAX || LONE_SURROGATE.test(text)) return -1;
  const encoded = encoder.encode(text);
  if (encoded.length > QUOTE_TEXT_BYTES_MAX) return -1;
  const start = writeLength(out, at, encoded.length);
  out.set(encoded, start);
  return start + encoded.length;
}
