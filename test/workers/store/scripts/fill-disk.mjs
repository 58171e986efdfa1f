/**
 * Writes until LMDB itself runs out of disk: the store keeps no reserve here. Prints one line of JSON a
 * step, and `done`. In a process of its own, because lmdb 3.5.6 can corrupt its heap on a disk that is
 * full to the last block; this one leaves some blocks, which LMDB meets as a short write.
 *
 * node fill-disk.mjs <built store> <mount point>
 */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [built, mountPoint] = process.argv.slice(2);
const { LmdbStore } = await import(`${built}lmdb-store.js`);
const unhandled = [];
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
const print = (step) => console.log(JSON.stringify(step));

const path = join(mountPoint, 'store');
// A negative reserve takes the store's own look at the free space out of the way.
let store = LmdbStore.open({ path, epoch: 1, stream: 0, commitTimeoutMillis: 10_000, reserveBytes: -(2 ** 30) });
const key = new Uint8Array(11);
const record = new Uint8Array(1000);
const put = (value) => store.putRecord(key, record.fill(value), 0, record.length);
put(1);
await store.commit();

const disk = statfsSync(mountPoint);
const ballast = join(mountPoint, 'ballast');
writeFileSync(ballast, new Uint8Array(disk.bavail * disk.bsize - 256 * 1024));

const large = new Uint8Array(2 * 1024 * 1024);
store.appendJournal(large, 0, large.length);
put(2);
const order = [];
const first = store.commit().catch((error) => order.push(`first ${error.code}`));
put(3);
const second = store.commit().catch((error) => order.push(`second ${error.code}`));
await Promise.all([first, second]);
let batches = 0;
store.scanJournal([], () => batches++);
print({ order, hasCause: store.failure?.cause !== undefined, record: store.getRecord(key)[0], batches });

rmSync(ballast);
const hasRecovered = await store.recover();
put(4);
store.appendJournal(large, 0, large.length);
await store.commit();
await store.close();
store = LmdbStore.open({ path, epoch: 1, stream: 0 });
print({ hasRecovered, record: store.getRecord(key)[0], unhandled });
await store.close();
console.log('done');
