/** The file of data keys: wrapped under one master key, erased for good, wrapped anew in one step whatever happens. */
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DataKeys, keysFingerprint, keysPathOf } from '../../../workers/vault/data-keys.ts';
import {
  fingerprintOf,
  keepNextKey,
  makeNextKey,
  parseMasterKey,
  readGivenKey,
} from '../../../workers/vault/master-key.ts';
import { openVault } from '../../../workers/vault/open-vault.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const MASTER = new Uint8Array(32).fill(1);
const NEXT = new Uint8Array(32).fill(2);
const NONE = { text: null, command: null };

async function madeKeys(count: number): Promise<DataKeys> {
  const keys = DataKeys.open(keysPathOf(temporaryFolder()), MASTER, true);
  await keys.append(count);
  return keys;
}
function keyIn(keys: DataKeys, slot: number): string {
  const key = keys.read(slot);
  return typeof key === 'string' ? key : Buffer.from(key).toString('hex');
}

describe('data keys', () => {
  it('append: every key is another one, none of them in the file in plain, all there for who opens it again', async () => {
    const keys = await madeKeys(300);
    expect(await keys.append(1)).toBe(300);
    const bytes = readFileSync(keys.path);
    const seen = new Set<string>();
    const again = DataKeys.open(keys.path, MASTER, false);
    for (let slot = 0; slot < 301; slot++) {
      const key = keys.read(slot);
      if (!(key instanceof Uint8Array)) throw new Error(`slot ${slot} is ${key}`);
      expect(key.length).toBe(32);
      expect(again.read(slot)).toEqual(key);
      expect(bytes.includes(Buffer.from(key))).toBe(false);
      seen.add(Buffer.from(key).toString('hex'));
    }
    expect(seen.size).toBe(301);
    expect(again.slotOf(again.idOf(300))).toBe(300);
    expect(again.slotOf('0000000000000001')).toBe(-1);
    expect(keys.read(301)).toBe('missing');
    expect(keys.read(-1)).toBe('missing');
    again.close();
    keys.close();
  });

  it('erase: overwrites one key, at once for every reader; a second time and elsewhere it says false', async () => {
    const keys = await madeKeys(3);
    const other = DataKeys.open(keys.path, MASTER, true);
    const before = keyIn(keys, 0);
    expect(other.erase(1)).toBe(true);
    expect(keys.read(1)).toBe('erased');
    expect(keyIn(keys, 0)).toBe(before);
    expect([other.erase(1), other.erase(3), other.erase(-1)]).toEqual([false, false, false]);
    expect(
      readFileSync(keys.path)
        .subarray(128, 192)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  it('read: any changed byte of a slot is found, and slots that were swapped too', async () => {
    const keys = await madeKeys(2);
    const good = readFileSync(keys.path);
    for (let at = 64; at < 128; at++) {
      if (at >= 65 && at < 68) continue; // not used
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] as number) ^ (at === 64 ? 2 : 1);
      writeFileSync(keys.path, bytes);
      if (at === 64) continue; // the state: any but 0 is read as a key
      expect(() => keys.read(0)).toThrow(/slot 0 .* was changed/);
    }
    const swapped = Buffer.concat([good.subarray(0, 64), good.subarray(128, 192), good.subarray(64, 128)]);
    writeFileSync(keys.path, swapped);
    expect(() => keys.read(0)).toThrow(expect.objectContaining({ code: 'KEYS_DAMAGED' }));
  });

  it('open: another master key is named by fingerprints, a cut file by its name; a torn slot is never written again', async () => {
    const keys = await madeKeys(2);
    keys.close();
    expect(() => DataKeys.open(keys.path, NEXT, true)).toThrow(
      new RegExp(`${fingerprintOf(MASTER)}.*${fingerprintOf(NEXT)}`),
    );
    truncateSync(keys.path, 64 + 64 + 10);
    const again = DataKeys.open(keys.path, MASTER, true);
    expect(await again.append(1)).toBe(2);
    expect(again.read(2)).toBeInstanceOf(Uint8Array);
    expect(() => again.read(1)).toThrow(expect.objectContaining({ code: 'KEYS_DAMAGED' }));
    writeFileSync(keys.path, Buffer.alloc(200));
    expect(() => DataKeys.open(keys.path, MASTER, true)).toThrow(/not a file of data keys/);
    expect(() => DataKeys.open(join(temporaryFolder(), 'keys'), MASTER, false)).toThrow(
      expect.objectContaining({ code: 'KEYS_ABSENT' }),
    );
  });
});

describe('rotation', () => {
  it('rewrap: every key is the same under the new master key, erased ones stay erased, the old key opens nothing', async () => {
    const keys = await madeKeys(5);
    keys.erase(2);
    const before = [0, 1, 3, 4].map((slot) => keyIn(keys, slot));
    expect(keys.rewrap(NEXT)).toBe(4);
    expect(() => DataKeys.open(keys.path, MASTER, true)).toThrow(expect.objectContaining({ code: 'MASTER_KEY_OTHER' }));
    const again = DataKeys.open(keys.path, NEXT, true);
    expect([0, 1, 3, 4].map((slot) => keyIn(again, slot))).toEqual(before);
    expect([again.read(2), again.count]).toEqual(['erased', 5]);
  });

  it('rewrap: an erasure in a file that was replaced meanwhile holds in the new one', async () => {
    const keys = await madeKeys(3);
    const eraser = DataKeys.open(keys.path, MASTER, true);
    keys.rewrap(NEXT);
    // `eraser` still has the old file open.
    expect(eraser.erase(1)).toBe(true);
    expect(DataKeys.open(keys.path, NEXT, true).read(1)).toBe('erased');
  });

  it('start: after a crash at any step of a rotation the keys open, under the old or the new master key', async () => {
    for (const step of ['next written', 'half copied', 'replaced', 'done'] as const) {
      const folder = temporaryFolder();
      const first = await openVault(folder, NONE);
      expect(first.master.origin).toBe('made');
      await first.keys.append(4);
      const before = keyIn(first.keys, 3);
      const next = await makeNextKey(folder);
      if (step === 'half copied') copyFileSync(first.keys.path, `${first.keys.path}.new`);
      if (step === 'half copied') truncateSync(`${first.keys.path}.new`, 150);
      if (step === 'replaced' || step === 'done') first.keys.rewrap(next);
      if (step === 'done') await keepNextKey(folder);
      const again = await openVault(folder, NONE);
      const isNew = step === 'replaced' || step === 'done';
      expect(again.master.origin, step).toBe('kept');
      expect(Buffer.from(again.master.key).equals(isNew ? next : first.master.key), step).toBe(true);
      expect(keyIn(again.keys, 3), step).toBe(before);
      expect(existsSync(join(folder, 'master-key.new')), step).toBe(false);
    }
  });

  it('start: without the master key that the data keys are under it does not make another', async () => {
    const folder = temporaryFolder();
    const text = Buffer.from(MASTER).toString('hex');
    const { keys } = await openVault(folder, { text, command: null });
    keys.close();
    expect(keysFingerprint(keysPathOf(folder))).toBe(fingerprintOf(MASTER));
    await expect(openVault(folder, NONE)).rejects.toThrow(/none is given/);
    expect(existsSync(join(folder, 'master-key'))).toBe(false);
  });
});

describe('master key', () => {
  it('parseMasterKey: hexadecimal digits or base64 of 32 bytes, and nothing else; the text is in no message', () => {
    expect(parseMasterKey('ab'.repeat(32), 'x')).toEqual(new Uint8Array(32).fill(0xab));
    expect(parseMasterKey(` ${Buffer.alloc(32, 3).toString('base64')}\n`, 'x')).toEqual(new Uint8Array(32).fill(3));
    for (const bad of ['', 'ab'.repeat(31), `${'ab'.repeat(32)}a`, 'pass phrase of somebody', 'zz'.repeat(32)]) {
      expect(() => parseMasterKey(bad, 'the file'), bad).toThrow(/the file is not 32 bytes/);
      if (bad !== '') expect(() => parseMasterKey(bad, 'the file')).not.toThrow(bad);
    }
  });

  it('readGivenKey: from a command; one that fails is named without what it printed; two places are refused', async () => {
    const hex = '0f'.repeat(32);
    const given = await readGivenKey({ text: null, command: `echo ${hex}` });
    expect(given).toEqual({ key: new Uint8Array(32).fill(15), origin: 'command' });
    const failing = readGivenKey({ text: null, command: `echo ${hex}; exit 3` });
    await expect(failing).rejects.toThrow(/ended with 3/);
    await expect(failing).rejects.not.toThrow(hex);
    await expect(readGivenKey({ text: hex, command: 'true' })).rejects.toMatchObject({ code: 'MASTER_KEY_TWICE' });
    expect(await readGivenKey(NONE)).toBeNull();
  });
});
