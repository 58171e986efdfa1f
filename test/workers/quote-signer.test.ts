/** Our SHA-256 against the platform's: every length over some blocks, and keys of every length. */
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuoteSigner } from '../../workers/quote-signer.ts';

function expected(key: Uint8Array, message: Uint8Array): string {
  return createHmac('sha256', key).update(message).digest('base64url');
}

describe('QuoteSigner', () => {
  it('sign: equals HMAC-SHA-256 for every length of up to five blocks, one instance signing all', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => 255 - 7 * i);
    const signer = new QuoteSigner(key);
    const bytes = Uint8Array.from({ length: 330 }, (_, i) => (i * 31) & 255);
    for (let length = 0; length <= 320; length++) {
      expect(signer.sign(bytes, length), `${length} bytes`).toBe(expected(key, bytes.subarray(0, length)));
    }
  });

  it('sign: equals HMAC-SHA-256 for any key of at most a block and any message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 200 }), (key, message) => {
        expect(new QuoteSigner(key).sign(message, message.length)).toBe(expected(key, message));
      }),
    );
  });

  it('sign: the published vector of RFC 4231, test case 2', () => {
    const signer = new QuoteSigner(Buffer.from('Jefe'));
    const message = Buffer.from('what do ya want for nothing?');
    const digest = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
    expect(Buffer.from(signer.sign(message, message.length), 'base64url').toString('hex')).toBe(digest);
  });

  it('constructor: refuses a key longer than a block', () => {
    expect(() => new QuoteSigner(new Uint8Array(65))).toThrow('at most 64');
  });
});
