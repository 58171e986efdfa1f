/** Which transport is chosen, what is said about it, and that no unknown native code is ever loaded. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { assertPortFree, findFreePort, listenError } from '../../server/listen-port.ts';
import { selectTransport } from '../../server/select-transport.ts';
import { TransportError } from '../../server/transport-error.ts';
import { loadNative, loadPinnedBinary } from '../../server/uws-native.ts';

const key = `${process.platform}_${process.arch}_${process.versions.modules}`;
const folders: string[] = [];

function binariesFolder(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve('@trufflesuite/uws-js-unofficial/package.json');
    return join(dirname(manifest), 'binaries');
  } catch {
    return undefined;
  }
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'opportune-native-'));
  folders.push(folder);
  return folder;
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe('selectTransport', () => {
  it('takes ws and says so when asked for it', async () => {
    const { factory, note } = await selectTransport('ws');
    expect(factory.name).toBe('ws');
    expect(note).toBe('ws, as asked');
  });

  it('takes uws with its provenance, or ws with the reason, when left to choose', async () => {
    const { factory, note } = await selectTransport('auto');
    const load = loadNative();
    expect(factory.name).toBe(load.library === undefined ? 'ws' : 'uws');
    expect(note).toContain(load.library === undefined ? load.reason : load.provenance);
    expect(note).not.toContain('\n');
  });

  it('takes uws or refuses with TRANSPORT_UNAVAILABLE when asked for it, never ws', async () => {
    if (loadNative().library === undefined) {
      await expect(selectTransport('uws')).rejects.toMatchObject({ code: 'TRANSPORT_UNAVAILABLE' });
    } else {
      expect((await selectTransport('uws')).factory.name).toBe('uws');
    }
  });
});

describe('selectTransport with needs', () => {
  const load = loadNative();
  it.each([
    ['TLS', { tls: true, lateVerdicts: false }, true],
    ['late verdicts', { tls: false, lateVerdicts: true }, load.library !== undefined && load.isPinned],
    ['nothing more', { tls: false, lateVerdicts: false }, false],
  ])('needs %s: what uws cannot do is left to ws, and uws by name is refused', async (_what, needs, isRefused) => {
    const { factory, note } = await selectTransport('auto', needs);
    const isNative = load.library !== undefined && !isRefused;
    expect(factory.name).toBe(isNative ? 'uws' : 'ws');
    if (!isNative) expect(note).toMatch(/^ws, because uws cannot be used: /);
    if (isNative) expect((await selectTransport('uws', needs)).factory.name).toBe('uws');
    else await expect(selectTransport('uws', needs)).rejects.toMatchObject({ code: 'TRANSPORT_UNAVAILABLE' });
    expect((await selectTransport('ws', needs)).factory.speaksTls).toBe(true);
  });
});

describe('loadPinnedBinary', () => {
  const folder = binariesFolder();
  const isPinnedHere = folder !== undefined && loadPinnedBinary(folder).library !== undefined;
  if (!isPinnedHere) console.warn(`SKIPPED: tampering with the native binary: there is none for ${key}`);

  it('names the platform when there is no build for it', () => {
    const load = loadPinnedBinary('/nowhere', 'linux_x64_999');
    expect(load).toMatchObject({ library: undefined, reason: expect.stringContaining('linux_x64_999') });
  });

  it('says that the package is missing when it is not installed', () => {
    expect(loadPinnedBinary(undefined, 'linux_x64_115')).toMatchObject({
      reason: expect.stringContaining('not installed'),
    });
  });

  it('gives the reason when the file is missing', () => {
    expect(loadPinnedBinary(temporaryFolder(), 'linux_x64_115')).toMatchObject({
      library: undefined,
      reason: expect.stringContaining('ENOENT'),
    });
  });

  it.each([
    ['empty', () => Buffer.alloc(0)],
    ['text', () => Buffer.from('module.exports = {}')],
  ])('refuses a file that is %s', (_title, content) => {
    const copy = temporaryFolder();
    writeFileSync(join(copy, 'uws_linux_x64_115.node'), content());
    expect(loadPinnedBinary(copy, 'linux_x64_115')).toMatchObject({
      library: undefined,
      reason: expect.stringContaining('refused'),
    });
  });

  it.skipIf(!isPinnedHere)('refuses the build when one bit of it differs, and takes it when none does', () => {
    const copy = temporaryFolder();
    const file = join(copy, `uws_${key}.node`);
    copyFileSync(join(folder ?? '', `uws_${key}.node`), file);
    expect(loadPinnedBinary(copy, key)).toMatchObject({ provenance: expect.stringMatching(/SHA-256 [0-9a-f]{12}$/) });
    const bytes = readFileSync(file);
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    // Another file: overwriting the one that is mapped would break the loaded library.
    const tampered = temporaryFolder();
    writeFileSync(join(tampered, `uws_${key}.node`), bytes);
    expect(loadPinnedBinary(tampered, key)).toMatchObject({ reason: expect.stringContaining('refused') });
  });
});

describe('listen port', () => {
  it('is free when it was just found free, and 0 always is', async () => {
    const port = await findFreePort('127.0.0.1');
    expect(port).toBeGreaterThan(0);
    await expect(assertPortFree('127.0.0.1', port)).resolves.toBeUndefined();
    await expect(assertPortFree('127.0.0.1', 0)).resolves.toBeUndefined();
  });

  it('rejects with ADDRESS_UNAVAILABLE when the host is no address of this machine', async () => {
    await expect(assertPortFree('192.0.2.1', 0)).rejects.toMatchObject({ code: 'ADDRESS_UNAVAILABLE' });
    await expect(findFreePort('192.0.2.1')).rejects.toBeInstanceOf(TransportError);
  });

  it.each([
    ['EADDRINUSE', 'PORT_IN_USE'],
    ['EACCES', 'PORT_FORBIDDEN'],
    ['EADDRNOTAVAIL', 'ADDRESS_UNAVAILABLE'],
    ['ENOTFOUND', 'ADDRESS_UNAVAILABLE'],
    ['EMFILE', 'LISTEN_FAILED'],
  ])('names the port, the cause and the remedy when listening fails with %s', (errno, code) => {
    const cause = Object.assign(new Error(errno), { code: errno });
    const error = listenError('127.0.0.1', 80, cause);
    expect(error).toMatchObject({ code, cause, name: 'TransportError' });
    expect(error.advice).not.toBe('');
  });

  it('is reported as LISTEN_FAILED when there is no cause at all', () => {
    expect(listenError('127.0.0.1', 80, undefined)).toMatchObject({ code: 'LISTEN_FAILED' });
  });
});
