/**
 * Opens a store beside its writer again and again, as commands do that read a log: `open-store.mjs BUILT PATH TIMES`.
 * With TIMES `halt` it asks for leave, says so once it has it, and never comes back.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const [built, path, times] = process.argv.slice(2);
const { StoreEnvironment } = await import(`${built}environment.js`);
const { openBesideWriter } = await import(`${built}store-opening.js`);

if (times === 'halt') {
  openBesideWriter(path, () => {
    process.stdout.write(`has leave among ${readdirSync(join(path, 'opening')).length} files\n`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
for (let time = 0; time < Number(times); time++) {
  const environment = StoreEnvironment.open({ path, isReadOnly: true });
  await environment.close();
}
process.stdout.write(`opened ${times}\n`);
