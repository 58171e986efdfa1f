import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { exportLog } from '../../../workers/jobs/export-log.ts';
import { type EntryFilter, JournalLines } from '../../../workers/jobs/journal-lines.ts';
import { JournalReader } from '../../../workers/store/journal-reader.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { CATALOG_TEXT, decisionEntry, eventEntry, JournalWriter, releaseEntry } from './journal-entries.ts';

interface Line {
  readonly type: string;
  readonly atEpochMillis: number;
  readonly [key: string]: unknown;
}

function parse(lines: Iterable<string>): Line[] {
  return [...lines].map((line) => JSON.parse(line) as Line);
}

function times(lines: Iterable<string>): number[] {
  return parse(lines).map(({ atEpochMillis }) => atEpochMillis);
}

test('journal lines: streams of one start are merged by time, starts follow one another', async () => {
  const path = join(temporaryFolder(), 'store');
  for (const epoch of [1, 2]) {
    const writers = [0, 1, 2].map((stream) => new JournalWriter(path, epoch, stream));
    for (let n = 0; n < 60; n++) {
      const at = epoch * 1000 + n;
      await writers[(n * n) % 3]?.batch(releaseEntry(at), releaseEntry(at + 0.5));
    }
    for (const writer of writers) await writer.close();
  }
  const reader = JournalReader.open(path);
  const found = times(new JournalLines(reader).read());
  expect(found).toHaveLength(240);
  expect(found).toEqual([...found].sort((a, b) => a - b));
  await reader.close();
});

test('journal lines: read again, it gives what was committed since, of old and new streams and starts, once', async () => {
  const path = join(temporaryFolder(), 'store');
  const first = new JournalWriter(path, 1, 0);
  const second = new JournalWriter(path, 1, 1);
  await first.batch(releaseEntry(1));
  await second.batch(releaseEntry(2));
  const reader = JournalReader.open(path);
  const lines = new JournalLines(reader);
  expect(times(lines.read())).toEqual([1, 2]);
  expect(times(lines.read())).toEqual([]);
  await second.batch(releaseEntry(3));
  expect(times(lines.read())).toEqual([3]);
  await first.batch(releaseEntry(4));
  const third = new JournalWriter(path, 1, 2);
  await third.batch(releaseEntry(5));
  expect(times(lines.read())).toEqual([4, 5]);
  await first.close();
  await second.close();
  await third.close();
  const restarted = new JournalWriter(path, 2, 0);
  await restarted.batch(releaseEntry(6));
  expect(times(lines.read())).toEqual([6]);
  await restarted.batch(releaseEntry(7));
  expect(times(lines.read())).toEqual([7]);
  expect(times(new JournalLines(reader).read())).toEqual([1, 2, 3, 4, 5, 6, 7]);
  await restarted.close();
  await reader.close();
});

test('journal lines: names come from the catalog version of the decision, hashes where its text is gone', async () => {
  const path = join(temporaryFolder(), 'store');
  const catalog = compileCatalog(CATALOG_TEXT, 'shop.yaml');
  const welcome = catalog.actionByKey.get('welcome')?.hash ?? 0;
  const writer = new JournalWriter(path, 1, 0);
  await writer.keepCatalog(catalog.version, CATALOG_TEXT);
  await writer.batch(decisionEntry(1, catalog.versionHash), eventEntry(2, welcome), decisionEntry(3, 0xdeadbeef));
  const reader = JournalReader.open(path);
  const [known, event, unknown] = parse(new JournalLines(reader).read());
  expect(known).toMatchObject({ type: 'decision', allowed: ['welcome'], catalogVersion: catalog.version.slice(0, 8) });
  expect(event).toMatchObject({ type: 'event', event: 'click', action: 'welcome' });
  expect(unknown).toMatchObject({ type: 'decision', allowed: ['#0'], catalogVersion: 'deadbeef' });
  await writer.close();
  await reader.close();
});

test('journal lines: an event before any decision, and a catalog that no longer compiles, are still printed', async () => {
  const path = join(temporaryFolder(), 'store');
  const writer = new JournalWriter(path, 1, 0);
  await writer.keepCatalog('00000001abcd', 'version: 99');
  await writer.batch(eventEntry(1, 0xabc), decisionEntry(2, 1));
  const reader = JournalReader.open(path);
  const lines = parse(new JournalLines(reader).read());
  expect(lines.map(({ type }) => type)).toEqual(['event', 'decision']);
  expect(lines[0]?.action).toBe('unknown:00000abc');
  await writer.close();
  await reader.close();
});

test.each<[string, EntryFilter, number[]]>([
  ['everything', {}, [1, 2, 3, 4]],
  ['one type', { types: ['release'] }, [1, 4]],
  ['two types', { types: ['release', 'event'] }, [1, 3, 4]],
  ['a type that does not occur', { types: ['expire'] }, []],
  ['since, inclusive', { sinceEpochMillis: 3 }, [3, 4]],
  ['until, exclusive', { untilEpochMillis: 3 }, [1, 2]],
  ['since and until', { sinceEpochMillis: 2, untilEpochMillis: 4 }, [2, 3]],
])('journal lines: filter %s', async (_, filter, expected) => {
  const path = join(temporaryFolder(), 'store');
  const writer = new JournalWriter(path, 1, 0);
  await writer.batch(releaseEntry(1), decisionEntry(2, 7), eventEntry(3, 7), releaseEntry(4));
  const reader = JournalReader.open(path);
  expect(times(new JournalLines(reader, filter).read())).toEqual(expected);
  await writer.close();
  await reader.close();
});

test('export log: writes whole lines under the final name, also while a store is open in this process', async () => {
  const folder = temporaryFolder();
  const storePath = join(folder, 'store');
  const writer = new JournalWriter(storePath, 1, 0);
  for (let n = 1; n <= 50; n++) await writer.batch(releaseEntry(n, n));
  const outPath = join(folder, 'log.ndjson');
  const exported = await exportLog({ storePath, outPath });
  const text = readFileSync(outPath, 'utf8');
  expect(exported).toEqual({ outPath, lines: 50, fileBytes: Buffer.byteLength(text) });
  expect(times(text.trimEnd().split('\n'))).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
  expect(await exportLog({ storePath, outPath, limit: 3 })).toMatchObject({ lines: 3 });
  expect(await exportLog({ storePath, outPath, limit: 0 })).toMatchObject({ lines: 0, fileBytes: 0 });
  // The store was not disturbed by the readers that came and went.
  await writer.batch(releaseEntry(51));
  expect(await exportLog({ storePath, outPath })).toMatchObject({ lines: 51 });
  await writer.close();
});

test('export log: leaves nothing behind when the store is missing or the file cannot take its name', async () => {
  const folder = temporaryFolder();
  const storePath = join(folder, 'store');
  const outPath = join(folder, 'taken');
  await expect(exportLog({ storePath, outPath })).rejects.toMatchObject({ code: 'OPEN_FAILED' });
  const writer = new JournalWriter(storePath, 1, 0);
  await writer.batch(releaseEntry(1));
  mkdirSync(join(outPath, 'inside'), { recursive: true });
  await expect(exportLog({ storePath, outPath })).rejects.toMatchObject({ syscall: 'rename' });
  expect(readdirSync(folder).sort()).toEqual(['store', 'taken']);
  await writer.close();
});
