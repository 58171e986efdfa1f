import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  QUOTE_BYTES_MAX,
  QUOTE_TEXT_BYTES_MAX,
  type Quote,
  quoteBytes,
  standingQuotePrice,
} from '../../decision/quote.ts';

const QUOTE: Quote = {
  quoteId: 'q1',
  sku: 'kg',
  currency: 'CNY',
  priceMinor: 12_900,
  expiresAtEpochMillis: 2 ** 40 + 5,
};

function bytesOf(quote: Quote): string {
  const out = new Uint8Array(QUOTE_BYTES_MAX);
  const length = quoteBytes(quote, out);
  return length < 0 ? 'refused' : Buffer.from(out.subarray(0, length)).toString('hex');
}

describe('standingQuotePrice', () => {
  it.each([
    ['kept when the quote stands and the new price is higher', 100, 1000, 999, 120, 100],
    ['lowered when the quote stands and the new price is lower', 100, 1000, 999, 80, 80],
    ['new when the quote has just expired', 100, 1000, 1000, 120, 120],
    ['new when there was none', -1, 1e15, 0, 120, 120],
    ['kept when it was free', 0, 1000, 0, 120, 0],
    ['new when its expiry is unknown', 100, Number.NaN, 0, 120, 120],
  ])('standingQuotePrice: %s', (_, previous, expiresAt, now, next, expected) => {
    expect(standingQuotePrice(previous, expiresAt, now, next)).toBe(expected);
  });

  it('standingQuotePrice: never rises through any chain of reloads while the quote stands', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 2 }), (prices) => {
        let held = prices[0] ?? 0;
        for (const price of prices.slice(1)) {
          const next = standingQuotePrice(held, 10, 9, price);
          expect(next).toBeLessThanOrEqual(held);
          held = next;
        }
        expect(held).toBe(Math.min(...prices));
      }),
    );
  });
});

describe('quoteBytes', () => {
  it('quoteBytes: the layout of version 1 when written', () => {
    expect(bytesOf(QUOTE)).toBe(`01${'00000000003264'}${'010000000005'}${'027131'}${'026b67'}${'03434e59'}`);
  });

  it('quoteBytes: different when any field differs, also when text moves between fields', () => {
    const quotes: Quote[] = [
      QUOTE,
      { ...QUOTE, quoteId: 'q1k', sku: 'g' },
      { ...QUOTE, quoteId: 'q2' },
      { ...QUOTE, quoteId: 'x'.repeat(127) },
      { ...QUOTE, quoteId: 'x'.repeat(128) },
      { ...QUOTE, quoteId: 'x'.repeat(256) },
      { ...QUOTE, sku: 'kG' },
      { ...QUOTE, currency: 'CNX' },
      { ...QUOTE, priceMinor: 12_901 },
      { ...QUOTE, priceMinor: 12_900 + 2 ** 32 },
      { ...QUOTE, expiresAtEpochMillis: 5 },
    ];
    expect(new Set(quotes.map(bytesOf)).size).toBe(quotes.length);
  });

  it('quoteBytes: equal bytes only for equal quotes when texts are arbitrary', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 6 });
    fc.assert(
      fc.property(fc.tuple(text, text, text), fc.tuple(text, text, text), (left, right) => {
        const of = ([quoteId, sku, currency]: [string, string, string]): string =>
          bytesOf({ ...QUOTE, quoteId, sku, currency });
        expect(of(left) === of(right)).toBe(left.every((part, i) => part === right[i]));
      }),
    );
  });

  it.each([
    ['price negative', { priceMinor: -1 }],
    ['price a fraction', { priceMinor: 0.5 }],
    ['price past 2^53', { priceMinor: 2 ** 53 }],
    ['price NaN', { priceMinor: Number.NaN }],
    ['expiry infinite', { expiresAtEpochMillis: Infinity }],
    ['expiry past 2^48', { expiresAtEpochMillis: 2 ** 48 }],
    ['a lone surrogate', { sku: 'a\ud800' }],
    ['text one byte too long', { sku: 'x'.repeat(QUOTE_TEXT_BYTES_MAX + 1) }],
    ['text too long in bytes only', { quoteId: '上'.repeat(342) }],
  ])('quoteBytes: refused when %s', (_, overrides: Partial<Quote>) => {
    expect(bytesOf({ ...QUOTE, ...overrides })).toBe('refused');
  });

  it('quoteBytes: fits the buffer when every text is as long as allowed', () => {
    const long = `${'上'.repeat(341)}x`;
    const out = new Uint8Array(QUOTE_BYTES_MAX);
    const quote = { ...QUOTE, quoteId: long, sku: long, currency: long, priceMinor: Number.MAX_SAFE_INTEGER };
    expect(quoteBytes(quote, out)).toBe(QUOTE_BYTES_MAX);
    expect(Buffer.from(out.subarray(1, 8)).toString('hex')).toBe('1fffffffffffff');
  });
});
