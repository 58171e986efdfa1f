/** A context feed on disk: read back as it was, by a changed catalog as far as it fits, and never when damaged. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FeedField, FeedPush, FeedSpec } from '../../decision/feed-table.ts';
import { feedBytes, readFeedFile, writeFeedFile } from '../../workers/feed-file.ts';

const LEFT: FeedField = { name: 'left', type: 'number', min: 0, max: 1000, values: [] };
const SHOP: FeedField = { name: 'shop', type: 'text', min: null, max: null, values: [] };
const specOf = (...fields: FeedField[]): FeedSpec => ({ name: 'stock', fields, timeToLiveMillis: 1, rowsMax: 10 });

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'feed-file-'));
  path = join(folder, 'stock');
});
afterEach(() => rmSync(folder, { recursive: true }));

function stock(version: number, left: number): FeedPush {
  const rows = [{ key: 'sku-é', values: [left, null], expiresAtEpochMillis: 50 }];
  return { feed: 'stock', version, atEpochMillis: 7, replace: true, rows };
}
const write = (version: number, left: number): void =>
  writeFeedFile(path, feedBytes(specOf(LEFT, SHOP), stock(version, left)));

describe('feed file', () => {
  it('feed file: gives back version, instant, rows and expiry of the last write', () => {
    expect(readFeedFile(path, specOf(LEFT, SHOP))).toBeNull();
    write(1, 3);
    write(7, 4);
    expect(readFeedFile(path, specOf(LEFT, SHOP))).toEqual(stock(7, 4));
  });

  it('feed file: a changed catalog reads what still fits and nothing elsewhere', () => {
    write(1, 500);
    const added: FeedField = { name: 'open', type: 'boolean', min: null, max: null, values: [] };
    const valuesBy = (...fields: FeedField[]) => readFeedFile(path, specOf(...fields))?.rows[0]?.values;
    expect(valuesBy(added, SHOP, { ...LEFT, max: 499 })).toEqual([null, null, null]);
    expect(valuesBy(SHOP, { ...LEFT, max: 500 })).toEqual([null, 500]);
  });

  it('feed file: any flipped byte and any missing end is refused by the name of the feed', () => {
    write(1, 3);
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      for (const damaged of [flipped, whole.subarray(0, at)]) {
        writeFileSync(path, damaged);
        expect(() => readFeedFile(path, specOf(LEFT, SHOP))).toThrow(/database "feeds"/);
      }
    }
  });

  it('feed file: a half-written file beside it is not read, and the next write takes its place', () => {
    write(1, 3);
    writeFileSync(`${path}.writing`, 'half');
    expect(readFeedFile(path, specOf(LEFT, SHOP))?.version).toBe(1);
    write(2, 3);
    expect(readFeedFile(path, specOf(LEFT, SHOP))?.version).toBe(2);
  });
});
