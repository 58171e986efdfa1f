import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspectDataFolder, LAYOUT_VERSION, openDataFolder, SECRET_BYTES } from '../../../workers/store/data-folder.ts';
import { folderError } from '../../../workers/store/data-folder-error.ts';
import { runScript } from './built-store.ts';
import { temporaryFolder } from './temporary-folder.ts';

const NOBODY_UID = 65_534;

test('openDataFolder: makes a private folder with format, lock and secret when there is none', async () => {
  const path = join(temporaryFolder(), 'deep', 'data');
  const folder = await openDataFolder(path);
  expect(folder).toMatchObject({ path, storePath: join(path, 'store'), isNew: true });
  expect(readdirSync(path).toSorted()).toEqual(['format', 'lock', 'secret']);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, 'secret')).mode & 0o777).toBe(0o600);
  expect(folder.secret).toHaveLength(SECRET_BYTES);
  expect(new Set(folder.secret).size).toBeGreaterThan(8);
  await folder.close();
  await folder.close();
  expect(readdirSync(path).toSorted()).toEqual(['format', 'secret']);
});

test('openDataFolder: finds the same secret again, and another one in another folder', async () => {
  const path = join(temporaryFolder(), 'data');
  const first = await openDataFolder(path);
  await first.close();
  const second = await openDataFolder(path);
  expect(second.isNew).toBe(false);
  expect(Buffer.compare(first.secret, second.secret)).toBe(0);
  const other = await openDataFolder(join(temporaryFolder(), 'data'));
  expect(Buffer.compare(first.secret, other.secret)).not.toBe(0);
  await second.close();
  await other.close();
});

test('openDataFolder: LOCKED with the process id and what to do when it is held, by this process too', async () => {
  const path = join(temporaryFolder(), 'data');
  const folder = await openDataFolder(path);
  const refused = { name: 'DataFolderError', code: 'LOCKED', path, holderPid: process.pid };
  await expect(openDataFolder(path)).rejects.toMatchObject(refused);
  await expect(openDataFolder(path)).rejects.toThrow(`in use by process ${process.pid}. Stop it`);
  await folder.close();
  await (await openDataFolder(path)).close();
});

test('the lock: is refused to a second process, and taken over at once when the first was killed', {
  timeout: 60_000,
}, async () => {
  const path = join(temporaryFolder(), 'data');
  const first = runScript('hold-data-folder.mjs', [path]);
  await first.line((line) => line === 'held');
  const second = runScript('hold-data-folder.mjs', [path]);
  const answer = await second.line(() => true);
  expect(answer).toContain(`refused LOCKED ${first.child.pid}`);
  first.child.kill('SIGKILL');
  await first.ended;
  const folder = await openDataFolder(path);
  expect(folder.isNew).toBe(false);
  await folder.close();
});

test('the lock: goes to exactly one of several starters racing for a dead one', { timeout: 60_000 }, async () => {
  const path = join(temporaryFolder(), 'data');
  await (await openDataFolder(path)).close();
  for (let round = 0; round < 3; round++) {
    const dead = { pid: 2 ** 22 - 1, startTicks: '1', bootId: null, nonce: `${round}`.padStart(16, '0') };
    writeFileSync(join(path, 'lock'), JSON.stringify(dead));
    const starters = Array.from({ length: 4 }, () => runScript('hold-data-folder.mjs', [path]));
    const answers = await Promise.all(starters.map((starter) => starter.line(() => true)));
    expect(answers.filter((answer) => answer === 'held')).toHaveLength(1);
    expect(answers.filter((answer) => answer.startsWith('refused LOCKED'))).toHaveLength(3);
    for (const starter of starters) starter.child.kill('SIGKILL');
    await Promise.all(starters.map((starter) => starter.ended));
    rmSync(join(path, 'lock'));
  }
});

test.each([
  ['a process that is gone', { pid: 2 ** 22 - 1 }],
  ['our own process id from before this process started', { pid: process.pid, startTicks: '1' }],
  ['our own process from another boot', { pid: process.pid, bootId: '00000000-0000-0000-0000-000000000000' }],
])('the lock: is taken over when it names %s', async (_, holder) => {
  const path = join(temporaryFolder(), 'data');
  mkdirSync(path);
  const lock = { startTicks: ownStartTicks(), bootId: null, nonce: '0123456789abcdef', ...holder };
  writeFileSync(join(path, 'lock'), JSON.stringify(lock));
  const folder = await openDataFolder(path);
  expect(JSON.parse(readFileSync(join(path, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid });
  expect(readdirSync(path).filter((name) => name.startsWith('lock'))).toEqual(['lock']);
  await folder.close();
});

test.each([
  ['empty', ''],
  ['cut off', '{"pid":1,"sta'],
  ['of another shape', '[1]'],
  ['with a name that is a path', '{"pid":1,"nonce":"../../etc/passwd"}'],
])('the lock: is taken over when its file is %s', async (_, text) => {
  const path = join(temporaryFolder(), 'data');
  mkdirSync(path);
  writeFileSync(join(path, 'lock'), text);
  const folder = await openDataFolder(path);
  expect(readdirSync(path).toSorted()).toEqual(['format', 'lock', 'secret']);
  await folder.close();
});

test('the lock: is taken over although an earlier starter died while taking it over', async () => {
  const path = join(temporaryFolder(), 'data');
  mkdirSync(path);
  const dead = { pid: 2 ** 22 - 1, startTicks: '1', bootId: null };
  writeFileSync(join(path, 'lock'), JSON.stringify({ ...dead, nonce: 'a'.repeat(16) }));
  writeFileSync(join(path, `lock.${'a'.repeat(16)}`), JSON.stringify({ ...dead, nonce: 'b'.repeat(16) }));
  const folder = await openDataFolder(path);
  expect(readdirSync(path).filter((name) => name.startsWith('lock'))).toEqual(['lock']);
  await folder.close();
});

test('close: leaves a lock alone that is not ours any more', async () => {
  const path = join(temporaryFolder(), 'data');
  const folder = await openDataFolder(path);
  writeFileSync(join(path, 'lock'), JSON.stringify({ pid: 1, nonce: 'c'.repeat(16) }));
  await folder.close();
  expect(readdirSync(path)).toContain('lock');
});

test.each([
  ['newer', `opportune data folder, layout ${LAYOUT_VERSION + 1}\n`, 'FORMAT_NEWER', /newer version/],
  ['older', 'opportune data folder, layout 1\n', 'FORMAT_OLDER', /layout 1, this version needs 2/],
  ['empty', '', 'DAMAGED', /format/],
  ['layout 0', 'opportune data folder, layout 0\n', 'DAMAGED', /format/],
  ['something else', 'hello', 'DAMAGED', /format/],
  ['a digest cut off', `opportune data folder, layout ${LAYOUT_VERSION}\nsecret 0123`, 'DAMAGED', /format/],
  ['a third line', `opportune data folder, layout ${LAYOUT_VERSION}\n\nx`, 'DAMAGED', /format/],
])('format: is refused with %s contents, and the folder is not held', async (_, text, code, message) => {
  const path = join(temporaryFolder(), 'data');
  await (await openDataFolder(path)).close();
  writeFileSync(join(path, 'format'), text);
  await expect(openDataFolder(path)).rejects.toMatchObject({ code, path, message: expect.stringMatching(message) });
  expect(readdirSync(path)).not.toContain('lock');
});

test.each([0, SECRET_BYTES - 1, SECRET_BYTES + 1])(
  'secret: is refused, not replaced, with %d bytes',
  async (length) => {
    const path = join(temporaryFolder(), 'data');
    await (await openDataFolder(path)).close();
    writeFileSync(join(path, 'secret'), new Uint8Array(length));
    await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'DAMAGED', path });
    expect(statSync(join(path, 'secret')).size).toBe(length);
  },
);

test.each([0, 1, 17, SECRET_BYTES - 1])('secret: is refused when a bit of byte %d was flipped', async (at) => {
  const path = join(temporaryFolder(), 'data');
  await (await openDataFolder(path)).close();
  const secret = readFileSync(join(path, 'secret'));
  secret[at] = (secret[at] ?? 0) ^ 0x04;
  writeFileSync(join(path, 'secret'), secret);
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'DAMAGED', path, message: /secret.*differs/ });
  await expect(inspectDataFolder(path)).rejects.toMatchObject({ code: 'DAMAGED', path });
});

test('secret: one that is missing from a folder that was used is not made anew', async () => {
  const path = join(temporaryFolder(), 'data');
  await (await openDataFolder(path)).close();
  rmSync(join(path, 'secret'));
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'DAMAGED', path, message: /secret is missing/ });
  // A folder of an earlier version has no digest: there the store says that it was used.
  writeFileSync(join(path, 'format'), `opportune data folder, layout ${LAYOUT_VERSION}\n`);
  mkdirSync(join(path, 'store'));
  writeFileSync(join(path, 'store', 'data.mdb'), '');
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'DAMAGED', message: /secret is missing/ });
  expect(readdirSync(path)).not.toContain('secret');
});

test('secret: its digest is added to the folder of an earlier version, and holds from then on', async () => {
  const path = join(temporaryFolder(), 'data');
  const first = await openDataFolder(path);
  await first.close();
  writeFileSync(join(path, 'format'), `opportune data folder, layout ${LAYOUT_VERSION}\n`);
  const second = await openDataFolder(path);
  expect(Buffer.compare(first.secret, second.secret)).toBe(0);
  await second.close();
  expect(readFileSync(join(path, 'format'), 'utf8')).toMatch(/\nsecret [0-9a-f]{32}\n$/);
});

test('openDataFolder: FOREIGN when the folder holds other files, which stay as they are', async () => {
  const path = temporaryFolder();
  writeFileSync(join(path, 'thesis.txt'), 'years of work');
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'FOREIGN', path, message: /thesis\.txt/ });
  expect(readdirSync(path)).toEqual(['thesis.txt']);
});

test('openDataFolder: accepts the root of a fresh file system', async () => {
  const path = temporaryFolder();
  mkdirSync(join(path, 'lost+found'));
  await (await openDataFolder(path)).close();
});

test('openDataFolder: NOT_A_FOLDER when a file is in its place, or on the way to it', async () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  await expect(openDataFolder(file)).rejects.toMatchObject({ code: 'NOT_A_FOLDER', path: file });
  const below = join(file, 'data');
  await expect(openDataFolder(below)).rejects.toMatchObject({ code: 'NOT_A_FOLDER', path: below });
});

test('openDataFolder: NOT_WRITABLE when this user may not write there', { timeout: 60_000 }, async (context) => {
  const path = temporaryFolder();
  mkdirSync(join(path, 'data'));
  chmodSync(path, 0o755);
  chmodSync(join(path, 'data'), 0o555);
  if (process.getuid?.() === 0) {
    // Root may write anywhere, so somebody else tries.
    const other = runScript('hold-data-folder.mjs', [join(path, 'data')], NOBODY_UID);
    const answer = await other.line(() => true).catch((error: Error) => error.message);
    if (/EACCES|Cannot find module/.test(answer)) {
      console.warn(`SKIPPED unwritable folder: another user cannot read this checkout (${answer.slice(0, 200)})`);
      return context.skip();
    }
    expect(answer).toMatch(/^refused NOT_WRITABLE .*--data/);
  } else {
    await expect(openDataFolder(join(path, 'data'))).rejects.toMatchObject({ code: 'NOT_WRITABLE' });
  }
});

test('openDataFolder: READ_ONLY when the file system is', async (context) => {
  const path = temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro,size=1m', 'none', path], { stdio: 'pipe' });
  } catch (error) {
    console.warn(`SKIPPED read-only file system: mounting is not allowed here (${(error as Error).message.trim()})`);
    return context.skip();
  }
  try {
    await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'READ_ONLY', path });
    const below = join(path, 'data');
    await expect(openDataFolder(below)).rejects.toMatchObject({ code: 'READ_ONLY', path: below });
  } finally {
    execFileSync('umount', [path]);
  }
});

test.each([
  ['EACCES', 'NOT_WRITABLE'],
  ['EPERM', 'NOT_WRITABLE'],
  ['EROFS', 'READ_ONLY'],
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'DISK_FULL'],
  ['ENOTDIR', 'NOT_A_FOLDER'],
  ['EIO', 'FAILED'],
])('folderError: %s becomes %s, with path, cause and what to do', (errno, code) => {
  const cause = Object.assign(new Error('from the system'), { code: errno });
  const error = folderError('/some/where', cause);
  expect(error).toMatchObject({ code, path: '/some/where', cause });
  expect(error.message).toContain('/some/where');
  expect(error.message).toContain('--data');
  expect(folderError('/else', error)).toBe(error);
});

/** Start of this process as the kernel tells it: field 22 of its stat file; null on other systems. */
function ownStartTicks(): string | null {
  try {
    return readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
