/**
 * `opportune compact`: writes the data file of a stopped node anew, with what is in force and nothing else. After
 * erasures this is what ends the last trace of the erased in pages that LMDB has given up; it also shrinks the file.
 */
import { openDataFolder } from '../../workers/store/data-folder.ts';
import { rewriteStore } from '../../workers/store/rewrite-store.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder } from './command-audit.ts';
import { formatCount } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const config = configOfFolder(call);
  // Taken as a start takes it, so that no node can write meanwhile.
  const folder = await openDataFolder(config.data);
  try {
    const { values, bytesBefore, bytesAfter } = await rewriteStore(folder.storePath);
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
    call.io.out(
      `${formatCount(values, 'value')} written anew: ${megabytes(bytesBefore)} MB before, ${megabytes(bytesAfter)} MB now\n`,
    );
    return EXIT.ok;
  } finally {
    await folder.close();
  }
}
