/** A data folder as a node leaves it, from what a shard without disk has journalled. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { JournalLines } from '../../../workers/jobs/journal-lines.ts';
import { LAYOUT_VERSION } from '../../../workers/store/data-folder.ts';
import { JournalReader } from '../../../workers/store/journal-reader.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import type { MemoryDisk } from '../../actors/memory-store.ts';
import { SECRET_BYTES } from '../../actors/one-shard.ts';

/** Writes store, secret and, as `opportune log` does, `log.ndjson`. One epoch, one stream, no batch left out. */
export async function writeDataFolder(folder: string, disk: MemoryDisk): Promise<void> {
  writeFileSync(join(folder, 'format'), `opportune data folder, layout ${LAYOUT_VERSION}\n`);
  writeFileSync(join(folder, 'secret'), SECRET_BYTES);
  const store = LmdbStore.open({ path: join(folder, 'store'), epoch: 1, stream: 0 });
  for (const [name, bytes] of disk.meta) store.putMeta(name, bytes);
  for (const { position, bytes } of disk.journal.values()) {
    if (store.openBatch !== position.batch) throw new RangeError(`batch ${store.openBatch} of the journal is missing`);
    store.appendJournal(bytes, 0, bytes.length);
    await store.commit();
  }
  await store.close();
  const reader = JournalReader.open(join(folder, 'store'));
  writeFileSync(join(folder, 'log.ndjson'), [...new JournalLines(reader).read()].join(''));
  await reader.close();
}
