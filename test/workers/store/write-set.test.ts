import fc from 'fast-check';
import { expect, test } from 'vitest';
import { STORE_KEY_BYTES } from '../../../actors/store.ts';
import { checkSeal, SEAL_BYTES } from '../../../workers/store/sealed-value.ts';
import { WriteSet } from '../../../workers/store/write-set.ts';
import { keyOf } from './store-contract.ts';

function contentsOf(set: WriteSet): Map<string, string> {
  const contents = new Map<string, string>();
  set.forEachSealed((key, sealed) => {
    if (sealed === null) throw new Error('nothing was removed');
    const length = checkSeal(sealed, 'records', key);
    expect(sealed.length).toBe(length + SEAL_BYTES);
    const name = Buffer.from(key).toString('hex');
    expect(contents.has(name)).toBe(false);
    contents.set(name, Buffer.from(sealed.subarray(0, length)).toString('hex'));
  });
  return contents;
}

test('write set: holds nothing when new and when cleared', () => {
  const set = new WriteSet();
  expect(set.find(keyOf(0))).toBe(-1);
  expect(contentsOf(set).size).toBe(0);
  set.put(keyOf(0), new Uint8Array(3), 0, 3);
  expect(set.count).toBe(1);
  set.clear();
  expect([set.count, set.sizeBytes, set.find(keyOf(0))]).toEqual([0, 0, -1]);
});

test('write set: keeps every entry when table and arena grow many times over', () => {
  const set = new WriteSet();
  const bytes = new Uint8Array(700);
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 10_000; number++) {
      new DataView(bytes.buffer).setUint32(0, number ^ round);
      set.put(keyOf(number), bytes, 0, bytes.length);
    }
    expect(set.count).toBe(10_000);
    for (let number = 0; number < 10_000; number++) {
      const copy = set.copyOf(set.find(keyOf(number))) as Uint8Array; // put above
      expect(new DataView(copy.buffer).getUint32(0)).toBe(number ^ round);
    }
    expect(set.find(keyOf(10_000))).toBe(-1);
    set.clear();
  }
});

test('write set: uses no more of its arena when records of one size are put again and again', () => {
  const set = new WriteSet();
  for (let round = 0; round < 1000; round++) set.put(keyOf(round % 10), new Uint8Array(100), 0, 100);
  expect(set.sizeBytes).toBe(10 * (100 + SEAL_BYTES));
});

test('write set: equals a Map for any sequence of puts', () => {
  const key = fc.uint8Array({ minLength: STORE_KEY_BYTES, maxLength: STORE_KEY_BYTES, max: 1 });
  const put = fc.record({ key, bytes: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.array(put, { maxLength: 600 }), (puts) => {
      const set = new WriteSet();
      const model = new Map<string, string>();
      for (const { key, bytes } of puts) {
        set.put(key, bytes, 0, bytes.length);
        model.set(Buffer.from(key).toString('hex'), Buffer.from(bytes).toString('hex'));
      }
      expect(contentsOf(set)).toEqual(model);
      for (const { key } of puts) {
        const copy = Buffer.from(set.copyOf(set.find(key)) ?? []).toString('hex');
        expect(copy).toBe(model.get(Buffer.from(key).toString('hex')));
      }
    }),
    { numRuns: 60 },
  );
});
