/**
 * Follows the journal and prints `<epoch>.<stream>.<batch> <bytes>` a batch, `ready` once it is open.
 *
 * node read-journal.mjs <built store> <store path>
 */
const [built, path] = process.argv.slice(2);
const { JournalReader } = await import(`${built}journal-reader.js`);
const reader = JournalReader.open(path);
console.log('ready');
for await (const { epoch, stream, batch, bytes } of reader.follow({ pollMillis: 5 })) {
  console.log(`${epoch}.${stream}.${batch} ${bytes.length}`);
}
