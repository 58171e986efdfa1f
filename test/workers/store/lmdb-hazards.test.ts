/**
 * The hazards of lmdb 3.5.6 that the store guards against, each with the test that holds the guard. Those that have
 * no place of their own are tested here.
 *
 *   full disk: rejects, read-only, recovers       workers/store/full-disk.test.ts, server/full-disk.test.ts
 *   `commitError`, an unhandled rejection         workers/store/full-disk.test.ts (under LMDB itself)
 *   `flushed` that never comes                    workers/store/lmdb-store.test.ts (a stalled disk)
 *   an iterator that pins a snapshot              workers/store/lmdb-store.test.ts (the file: stays bounded)
 *   `mapSize` is no quota                         workers/store/lmdb-store.test.ts (the file: grows past)
 *   `noSync` makes `flushed` lie                  crash/power-loss.test.ts (and fails on it)
 *   no checksum of its own                        workers/store/lmdb-store.test.ts (reading: CORRUPT), crash/damage.test.ts
 *   a head or tail that is damaged ends the process  workers/store/data-file.test.ts, crash/damage.test.ts
 *   the root database cleared aborts; `noMemInit` leaks old memory; the file's size is watched     here
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StoreEnvironment } from '../../../workers/store/environment.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { readRepositoryFile } from '../../repository/repository-files.ts';
import { scanSource } from '../../repository/source-scan.ts';
import { builtStore } from './built-store.ts';
import { temporaryFolder } from './temporary-folder.ts';

const { code } = scanSource(readRepositoryFile('workers/store/environment.ts'));

describe('lmdb hazards', () => {
  it('this table: each test it names is there', () => {
    const table = readRepositoryFile('test/workers/store/lmdb-hazards.test.ts').split('*/')[0] ?? '';
    const named = [...table.matchAll(/[\w/-]+\.test\.ts/g)].map(([path]) => path);
    expect(named.length).toBeGreaterThan(8);
    for (const path of named) expect(readRepositoryFile(`test/${path}`).length, path).toBeGreaterThan(0);
  });

  it('root database: nothing can clear or drop it, nor write to it: all values are in named ones', async () => {
    expect(code).not.toMatch(/\.\s*(?:clear|drop)(?:Async|Sync)?\s*\(/);
    expect(code).not.toMatch(/#root\s*\.\s*(?:put|remove|transaction|getRange)/);
    const path = join(temporaryFolder(), 'store');
    const environment = StoreEnvironment.open({ path });
    await environment.write(1, 4, () => environment.meta.put(Buffer.from('name'), new Uint8Array(4)));
    expect(environment.meta.entryCount()).toBe(1);
    expect(Object.keys(environment)).not.toContain('root');
    await environment.close();
  });

  it('options: noSync, noMetaSync, noMemInit, useWritemap and encryption are never turned on', () => {
    expect(code).not.toMatch(/noSync|noMetaSync|noMemInit|useWritemap|encryptionKey|overlappingSync/);
  });

  it('noMemInit is off: the file holds nothing but what was put, whatever lay in memory before', async () => {
    const script = resolve('test/workers/store/scripts/leave-memory.mjs');
    const output = execFileSync(process.execPath, [script, builtStore(), temporaryFolder()], {
      encoding: 'utf8',
      env: { ...process.env, MALLOC_PERTURB_: '90' },
    });
    const marks = JSON.parse(output) as Record<string, number>; // what the script prints
    expect(marks.store).toBe(0);
    // With the option on the same memory is in the file: the mark is where it would leak from.
    if (isGlibc()) expect(marks.careless).toBeGreaterThan(0);
    else console.warn('SKIPPED the control of noMemInit: only glibc fills fresh memory');
  });

  it('size: what the store says of its file is what the file system says, and it only grows', async () => {
    const path = join(temporaryFolder(), 'store');
    const store = LmdbStore.open({ path, epoch: 1, stream: 0 });
    let before = 0;
    for (let round = 0; round < 5; round++) {
      store.appendJournal(new Uint8Array(100_000), 0, 100_000);
      await store.commit();
      expect(store.sizeBytes()).toBe(statSync(join(path, 'data.mdb')).size);
      expect(store.sizeBytes()).toBeGreaterThan(before);
      before = store.sizeBytes();
    }
    await store.close();
  });
});

/** Whether this runtime is linked to glibc, as its own report says. */
function isGlibc(): boolean {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }; // of Node's own making
  return header.glibcVersionRuntime !== undefined;
}
