import { expect, test } from 'vitest';
import { checkSeal, SEAL_BYTES, sealedCopy } from '../../../workers/store/sealed-value.ts';
import { StoreError } from '../../../workers/store/store-error.ts';
import { textBytes } from './store-contract.ts';

const KEY = Uint8Array.from([0, 1, 254, 255]);

test('seal: is the CRC-32 of ISO 3309, little-endian', () => {
  // The check value of "123456789" in every catalogue of CRCs is cbf43926.
  expect(Buffer.from(sealedCopy(textBytes('123456789')).subarray(9)).toString('hex')).toBe('2639f4cb');
});

test('checkSeal: returns the length of the payload when it is intact, empty or not', () => {
  expect(checkSeal(sealedCopy(new Uint8Array(0)), 'meta', KEY)).toBe(0);
  expect(checkSeal(sealedCopy(new Uint8Array(1000)), 'meta', KEY)).toBe(1000);
});

test('checkSeal: names database and key when any single bit of payload or seal is flipped', () => {
  const intact = sealedCopy(textBytes('a balance'));
  for (let bit = 0; bit < intact.length * 8; bit++) {
    const damaged = intact.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(() => checkSeal(damaged, 'records', KEY)).toThrow(StoreError);
  }
  const facts = { code: 'CORRUPT', database: 'records', keyHex: '0001feff', isRetryable: false };
  const damaged = intact.slice(0, -1);
  expect(() => checkSeal(damaged, 'records', KEY)).toThrow(expect.objectContaining(facts));
  expect(() => checkSeal(damaged, 'records', KEY)).toThrow(/0001feff.*"records"/);
});

test('checkSeal: refuses a value shorter than a seal', () => {
  for (let length = 0; length < SEAL_BYTES; length++) {
    expect(() => checkSeal(new Uint8Array(length), 'cold', KEY)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  }
});
