import fc from 'fast-check';
import { expect, test } from 'vitest';
import { murmur3Text } from '../../proto/murmur3.ts';
import { partitionOf, partitionOfDecisionId, partitionOfKey } from '../../proto/partition.ts';

test('partitionOfKey: low byte of the hash when the key is any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (key) => {
      const bytes = new TextEncoder().encode(key);
      expect(partitionOfKey(key)).toBe(murmur3Text(key, 0) & 255);
      expect(partitionOf(bytes, 0, bytes.length)).toBe(partitionOfKey(key));
    }),
  );
});

test('partitionOfKey: every partition is reached when there are many keys', () => {
  const seen = new Set<number>();
  for (let index = 0; index < 5000; index++) seen.add(partitionOfKey(`customer-${index}`));
  expect(seen.size).toBe(256);
});

test('partitionOfDecisionId: the first byte when the id is base64url of 15 bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 15, maxLength: 15 }), (bytes) => {
      expect(partitionOfDecisionId(Buffer.from(bytes).toString('base64url'))).toBe(bytes[0]);
    }),
  );
});

test.each([
  '',
  'A'.repeat(19),
  'A'.repeat(21),
  `${'A'.repeat(19)}=`,
  `${'A'.repeat(19)}+`,
  `${'A'.repeat(19)}/`,
  `${'A'.repeat(19)}é`,
  `${'A'.repeat(19)}@`,
  `${'A'.repeat(19)}[`,
])('partitionOfDecisionId: -1 when the form is not the one issued: %j', (id) => {
  expect(partitionOfDecisionId(id)).toBe(-1);
});
