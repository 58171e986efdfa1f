/**
 * What every implementation of the `Store` port must do, run against a factory: the LMDB store here,
 * an in-memory one where there is one. Nothing in it knows how bytes are kept.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type JournalPosition, STORE_KEY_BYTES, type Store } from '../../../actors/store.ts';

export interface StoreUnderTest {
  readonly epoch: number;
  readonly stream: number;
  readonly store: Store;
  /** Closes the store and opens what it left as the same epoch and stream. */
  reopen(): Promise<Store>;
  dispose(): Promise<void>;
}

export function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(STORE_KEY_BYTES);
  new DataView(key.buffer).setUint32(STORE_KEY_BYTES - 4, number);
  return key;
}

export function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

export function describeStoreContract(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a Store`, () => {
    let subject: StoreUnderTest;
    let store: Store;

    beforeEach(async () => {
      subject = await create();
      store = subject.store;
    });
    afterEach(async () => {
      await subject.dispose();
    });

    function putText(key: Uint8Array, text: string): void {
      const bytes = textBytes(text);
      store.putRecord(key, bytes, 0, bytes.length);
    }
    function appendText(text: string): number {
      const bytes = textBytes(text);
      return store.appendJournal(bytes, 0, bytes.length);
    }
    function position(batch: number): JournalPosition {
      return { epoch: subject.epoch, stream: subject.stream, batch };
    }
    function scan(from: readonly JournalPosition[]): [number, string][] {
      const seen: [number, string][] = [];
      store.scanJournal(from, (batch) => seen.push([batch.batch, textOf(batch.bytes) ?? '']));
      return seen;
    }

    test('getRecord, getCold, getMeta: undefined when nothing was put', () => {
      expect(store.getRecord(keyOf(1))).toBeUndefined();
      expect(store.getCold(keyOf(1))).toBeUndefined();
      expect(store.getMeta('checkpoint')).toBeUndefined();
      expect(store.readJournal(position(1))).toBeUndefined();
    });

    test('a put: seen at once, while its commit is under way, after it, and after reopening', async () => {
      putText(keyOf(1), 'ada');
      store.putCold(keyOf(1), textBytes('cold ada'));
      store.putMeta('checkpoint', textBytes('17'));
      const expectAll = (): void => {
        expect(textOf(store.getRecord(keyOf(1)))).toBe('ada');
        expect(textOf(store.getCold(keyOf(1)))).toBe('cold ada');
        expect(textOf(store.getMeta('checkpoint'))).toBe('17');
      };
      expectAll();
      const committed = store.commit();
      expectAll();
      await committed;
      expectAll();
      store = await subject.reopen();
      expectAll();
    });

    test('a put: gone after reopening when it was never committed', async () => {
      putText(keyOf(1), 'first');
      await store.commit();
      putText(keyOf(1), 'second');
      putText(keyOf(2), 'new');
      appendText('lost');
      store = await subject.reopen();
      expect(textOf(store.getRecord(keyOf(1)))).toBe('first');
      expect(store.getRecord(keyOf(2))).toBeUndefined();
      expect(scan([])).toEqual([]);
    });

    test('putRecord: takes the named slice, and copies key and bytes before it returns', async () => {
      const key = keyOf(1);
      const bytes = textBytes('--ada--');
      store.putRecord(key, bytes, 2, 3);
      bytes.fill(0);
      key.fill(9);
      expect(textOf(store.getRecord(keyOf(1)))).toBe('ada');
      await store.commit();
      expect(textOf(store.getRecord(keyOf(1)))).toBe('ada');
    });

    test('getRecord: returns a copy of its own when called twice', async () => {
      putText(keyOf(1), 'ada');
      store.getRecord(keyOf(1))?.fill(0);
      expect(textOf(store.getRecord(keyOf(1)))).toBe('ada');
      await store.commit();
      const first = store.getRecord(keyOf(1));
      first?.fill(0);
      const second = store.getRecord(keyOf(1));
      store.getRecord(keyOf(2));
      expect(textOf(second)).toBe('ada');
    });

    test('putRecord: the last put wins within a batch, shorter or longer', async () => {
      for (const text of ['grace', 'ada', 'katherine']) putText(keyOf(1), text);
      expect(textOf(store.getRecord(keyOf(1)))).toBe('katherine');
      putText(keyOf(1), 'x');
      await store.commit();
      expect(textOf(store.getRecord(keyOf(1)))).toBe('x');
    });

    test('putRecord: the newer batch wins while the older one is still under way and after it', async () => {
      putText(keyOf(1), 'one');
      const first = store.commit();
      putText(keyOf(1), 'two');
      const second = store.commit();
      putText(keyOf(1), 'three');
      expect(textOf(store.getRecord(keyOf(1)))).toBe('three');
      await first;
      expect(textOf(store.getRecord(keyOf(1)))).toBe('three');
      await second;
      expect(textOf(store.getRecord(keyOf(1)))).toBe('three');
      await store.commit();
      expect(textOf(store.getRecord(keyOf(1)))).toBe('three');
    });

    test('records: an empty value is stored and is not undefined', async () => {
      store.putRecord(keyOf(1), new Uint8Array(0), 0, 0);
      expect(store.getRecord(keyOf(1))).toHaveLength(0);
      await store.commit();
      expect(store.getRecord(keyOf(1))).toHaveLength(0);
    });

    test('removeProfile: reads find nothing at once, after the commit and after a start; a later put is there', async () => {
      for (const number of [1, 2]) {
        putText(keyOf(number), 'old');
        store.putCold(keyOf(number), textBytes('cold'));
      }
      await store.commit();
      store.removeProfile(keyOf(1));
      store.removeProfile(keyOf(3));
      expect([store.getRecord(keyOf(1)), store.getCold(keyOf(1))]).toEqual([undefined, undefined]);
      expect(textOf(store.getCold(keyOf(2)))).toBe('cold');
      const settled = store.commit();
      expect(store.getRecord(keyOf(1))).toBeUndefined();
      await settled;
      expect([store.getRecord(keyOf(1)), store.getCold(keyOf(1))]).toEqual([undefined, undefined]);
      store.removeProfile(keyOf(2));
      putText(keyOf(2), 'anew');
      await store.commit();
      store = await subject.reopen();
      expect([store.getRecord(keyOf(1)), store.getRecord(keyOf(3))]).toEqual([undefined, undefined]);
      expect([textOf(store.getRecord(keyOf(2))), store.getCold(keyOf(2))]).toEqual(['anew', undefined]);
    });

    test('records and cold records: keys that differ in any byte are different', async () => {
      for (let index = 0; index < STORE_KEY_BYTES; index++) {
        const key = new Uint8Array(STORE_KEY_BYTES);
        key[index] = 1;
        putText(key, `record ${index}`);
        store.putCold(key, textBytes(`cold ${index}`));
      }
      await store.commit();
      for (let index = 0; index < STORE_KEY_BYTES; index++) {
        const key = new Uint8Array(STORE_KEY_BYTES);
        key[index] = 1;
        expect(textOf(store.getRecord(key))).toBe(`record ${index}`);
        expect(textOf(store.getCold(key))).toBe(`cold ${index}`);
      }
    });

    test('appendJournal: returns offsets in the open batch, which is readable once committed', async () => {
      expect(store.openBatch).toBe(1);
      expect(appendText('one')).toBe(0);
      expect(appendText('')).toBe(3);
      expect(store.appendJournal(textBytes('--two--'), 2, 3)).toBe(3);
      expect(store.openBatchBytes).toBe(6);
      // Its own batch is readable at once, by position; a scan sees committed ones only.
      expect(textOf(store.readJournal(position(1)))).toBe('onetwo');
      expect(store.readJournal({ ...position(1), stream: subject.stream + 1 })).toBeUndefined();
      const committed = store.commit();
      expect(textOf(store.readJournal(position(1)))).toBe('onetwo');
      expect(store.openBatch).toBe(2);
      expect(store.openBatchBytes).toBe(0);
      expect(store.readJournal(position(2))).toBeUndefined();
      await committed;
      expect(textOf(store.readJournal(position(1)))).toBe('onetwo');
    });

    test('commit: keeps the batch number when there is nothing to write', async () => {
      await store.commit();
      expect(store.openBatch).toBe(1);
      appendText('one');
      const first = store.commit();
      let isFirstSettled = false;
      void first.then(() => {
        isFirstSettled = true;
      });
      await store.commit();
      expect(isFirstSettled).toBe(true);
      expect(store.openBatch).toBe(2);
    });

    test('commit: settles in order when several are under way', async () => {
      const settled: number[] = [];
      const commits: Promise<void>[] = [];
      for (let batch = 1; batch <= 20; batch++) {
        appendText(`entry ${batch}`);
        commits.push(store.commit().then(() => void settled.push(batch)));
        if (batch % 7 === 0) await commits[0];
      }
      await Promise.all(commits);
      expect(settled).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
      expect(scan([]).map(([batch]) => batch)).toEqual(settled);
    });

    test('batch numbers: go on after the last committed one when reopened', async () => {
      appendText('one');
      await store.commit();
      appendText('two');
      await store.commit();
      store = await subject.reopen();
      expect(store.openBatch).toBe(3);
      appendText('three');
      await store.commit();
      expect(scan([])).toEqual([
        [1, 'one'],
        [2, 'two'],
        [3, 'three'],
      ]);
    });

    test('scanJournal: begins at the position, inclusive, and skips batches without entries', async () => {
      for (let batch = 1; batch <= 50; batch++) {
        if (batch % 5 === 0) putText(keyOf(batch), 'record only');
        else appendText(`entry ${batch}`);
        await store.commit();
      }
      expect(scan([]).length).toBe(40);
      expect(scan([position(0)]).length).toBe(40);
      expect(scan([position(47)])).toEqual([
        [47, 'entry 47'],
        [48, 'entry 48'],
        [49, 'entry 49'],
      ]);
      expect(scan([position(51)])).toEqual([]);
      expect(scan([{ epoch: subject.epoch + 1, stream: 0, batch: 0 }])).toEqual([]);
    });

    test('scanJournal: sees nothing of a batch that is not committed', async () => {
      appendText('open');
      expect(scan([])).toEqual([]);
      await store.commit();
      expect(scan([])).toEqual([[1, 'open']]);
    });

    test('recover: true when nothing had failed, and puts stay', async () => {
      putText(keyOf(1), 'ada');
      expect(await store.recover()).toBe(true);
      expect(textOf(store.getRecord(keyOf(1)))).toBe('ada');
    });

    test('close: refuses every call afterwards', async () => {
      appendText('one');
      void store.commit();
      await store.close();
      await store.close();
      expect(() => store.getRecord(keyOf(1))).toThrow(expect.objectContaining({ code: 'CLOSED' }));
      expect(() => putText(keyOf(1), 'x')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
      expect(() => appendText('x')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
      expect(() => scan([])).toThrow(expect.objectContaining({ code: 'CLOSED' }));
      await expect(store.commit()).rejects.toMatchObject({ code: 'CLOSED' });
      await expect(store.recover()).rejects.toMatchObject({ code: 'CLOSED' });
      store = await subject.reopen();
      expect(scan([])).toEqual([[1, 'one']]);
    });

    test('any sequence of puts, commits and reopenings: reads equal a model in plain maps', async () => {
      const step = fc.oneof(
        { weight: 8, arbitrary: fc.record({ do: fc.constant('record' as const), key: fc.nat(6), size: fc.nat(300) }) },
        { weight: 3, arbitrary: fc.record({ do: fc.constant('cold' as const), key: fc.nat(6), size: fc.nat(300) }) },
        { weight: 3, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
      );
      let fill = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const seen = { record: new Map<number, Uint8Array>(), cold: new Map<number, Uint8Array>() };
          // Start from a known state: the store is shared by the runs.
          for (let key = 0; key <= 6; key++) {
            const bytes = textBytes(`start ${key}`);
            store.putRecord(keyOf(key), bytes, 0, bytes.length);
            store.putCold(keyOf(key), bytes);
            seen.record.set(key, bytes);
            seen.cold.set(key, bytes);
          }
          let committed = { record: new Map(seen.record), cold: new Map(seen.cold) };
          let last = store.commit();
          for (const action of steps) {
            if (action.do === 'record' || action.do === 'cold') {
              const bytes = new Uint8Array(action.size).fill(++fill & 0xff);
              if (action.do === 'record') store.putRecord(keyOf(action.key), bytes, 0, bytes.length);
              else store.putCold(keyOf(action.key), bytes);
              seen[action.do].set(action.key, bytes);
            } else if (action.do === 'commit') {
              last = store.commit();
              committed = { record: new Map(seen.record), cold: new Map(seen.cold) };
            } else if (action.do === 'settle') {
              await last;
            } else {
              store = await subject.reopen();
              seen.record = new Map(committed.record);
              seen.cold = new Map(committed.cold);
            }
            for (const [key, bytes] of seen.record) expect(store.getRecord(keyOf(key))).toEqual(bytes);
            for (const [key, bytes] of seen.cold) expect(store.getCold(keyOf(key))).toEqual(bytes);
          }
          await store.commit();
        }),
        { numRuns: 40, seed: 20_240_601 },
      );
    });
  });
}
