/** Pushes to the feeds of a tenant: what is taken, what a restart finds, and that a failed write changes nothing. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FeedSpec } from '../../decision/feed-table.ts';
import { FeedBook } from '../../workers/feed-book.ts';
import { FEED_TEXT_LENGTH_MAX } from '../../workers/feed-push.ts';

const STOCK: FeedSpec = {
  name: 'stock',
  fields: [{ name: 'left', type: 'number', min: 0, max: 100, values: [] }],
  timeToLiveMillis: 1000,
  rowsMax: 2,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'feed-book-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (spec = STOCK, now = 0) => new FeedBook(join(folder, 'feeds'), [spec], now);
const left = (key: string, value: unknown) => ({ key, fields: { left: value } });
const push = (book: FeedBook, rows: unknown[], more: object = {}, isStrict = false) =>
  book.push({ feed: 'stock', rows, ...more }, isStrict, 0);
const heldBy = (book: FeedBook, now = 0) => book.list(now).map(({ version, rows }) => [version, rows]);

describe('feed book', () => {
  it('feed book: a restart finds what was taken, under the version it had', () => {
    push(open(), [left('a', 5)], { version: 9 });
    const again = open();
    expect(again.list(0)).toEqual([
      { feed: 'stock', version: 9, pushedAtEpochMillis: 0, rows: 1, rowsMax: 2, expiresAtEpochMillis: 1000 },
    ]);
    expect(again.table('stock')?.number('a', 0, 999)).toBe(5);
    expect(push(again, [left('a', 6)], { version: 9 })).toMatchObject({ taken: null, refusal: 'stale' });
    expect(push(again, [left('a', 6)])).toMatchObject({ refusal: null, taken: { version: 10, rows: [{ key: 'a' }] } });
    expect(again.snapshots(0)).toMatchObject([{ feed: 'stock', version: 10, replace: true, rows: [{ values: [6] }] }]);
    expect(again.list(1000)).toMatchObject([{ version: 10, rows: 0, expiresAtEpochMillis: null }]);
  });

  it('feed book: good rows are taken beside bad ones, but not when strict, replacing, or all are bad', () => {
    const book = open();
    const mixed = [left('a', 1), left('b', 101)];
    expect(push(book, mixed, {}, true)).toMatchObject({ refusal: 'bad', problems: [{ index: 1 }] });
    expect(push(book, mixed, { replace: true })).toMatchObject({ refusal: 'bad', problems: [{ index: 1 }] });
    expect(push(book, [left('b', 101)])).toMatchObject({ refusal: 'bad', problems: [{ index: 0 }] });
    expect(heldBy(book)).toEqual([[0, 0]]);
    expect(push(book, mixed)).toMatchObject({ taken: { rows: [{ key: 'a' }] }, problems: [{ index: 1 }] });
    expect(heldBy(book)).toEqual([[1, 1]]);
  });

  it('feed book: one key more than allowed is refused, and nothing of it is found after a restart', () => {
    const book = open();
    push(book, [left('a', 1), left('b', 2)]);
    expect(push(book, [left('c', 3)])).toMatchObject({ taken: null, refusal: 'full' });
    for (const one of [book, open()]) expect(heldBy(one)).toEqual([[1, 2]]);
    expect(() => open({ ...STOCK, rowsMax: 1 })).toThrow('holds 2 rows and the catalog allows 1');
    expect(heldBy(open({ ...STOCK, rowsMax: 1 }, 1000))).toEqual([[1, 0]]);
  });

  it('feed book: more bytes than all feeds may have are refused', () => {
    const fields = ['a', 'b', 'c', 'd'].map(
      (name) => ({ name, type: 'text', min: null, max: null, values: [] }) as const,
    );
    const book = open({ ...STOCK, fields, rowsMax: 10_000 });
    const text = 'x'.repeat(FEED_TEXT_LENGTH_MAX);
    const rows = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ key: `k${i}`, fields: { a: text, b: text, c: text, d: text } }));
    expect(push(book, rows(3000))).toMatchObject({ refusal: null });
    expect(push(book, rows(5000))).toMatchObject({ refusal: 'full', reason: expect.stringMatching(/bytes/) });
    expect(heldBy(book)).toEqual([[1, 3000]]);
  });

  it('feed book: reads what still fits under a new declaration, and takes no push where nothing is declared', () => {
    const book = open();
    push(book, [left('a', 1), left('b', 2)]);
    const shop = { name: 'shop', type: 'text', min: null, max: null, values: [] } as const;
    const wider = { ...STOCK, fields: [shop, ...STOCK.fields] };
    expect(open(wider).table('stock')?.number('b', 1, 0)).toBe(2);
    expect(open(wider).table('stock')?.text('b', 0, 0)).toBeUndefined();
    const none = new FeedBook(join(folder, 'feeds'), [], 0);
    expect(push(none, [left('a', 1)])).toMatchObject({ refusal: 'bad', reason: expect.stringMatching(/no `feeds`/) });
  });

  it('feed book: a write that fails throws, and what is read stays as it was', () => {
    const book = open();
    push(book, [left('a', 1)]);
    mkdirSync(join(folder, 'feeds', 'stock.feed.writing'));
    expect(() => push(book, [left('a', 2)])).toThrow('EISDIR');
    expect(book.table('stock')?.number('a', 0, 0)).toBe(1);
    expect(heldBy(open())).toEqual([[1, 1]]);
  });
});
