/**
 * Finds and loads the native uWebSockets code, or says in one line why there is none. Two sources, in
 * this order: the operator's own install of `uWebSockets.js`, trusted as the operator's choice; and the
 * binary file of the optional package `@trufflesuite/uws-js-unofficial`, loaded only when its SHA-256 is
 * the one pinned here. That package's JavaScript entry is never run: where no binary fits it would
 * silently put an imitation in place. The binaries carry a core of May 2023 for Node 20 (ABI 115); the
 * traps of that core are handled in `uws-transport.ts`. Loading costs some 20 ms (the hash of 6.8 MB).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A socket of the native library. Valid from `open` to `close`; any use afterwards throws. */
export interface NativeSocket {
  /** 1: with the kernel, 0: buffered, 2: dropped because `maxBackpressure` was exceeded before. */
  send(bytes: Uint8Array, isBinary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  end(code: number, reason: string): void;
  /** Cuts the connection without a close frame. */
  close(): void;
  subscribe(topic: string): boolean;
  cork(work: () => void): unknown;
}

export interface NativeRequest {
  getHeader(lowerCaseName: string): string;
  getUrl(): string;
  getQuery(): string | undefined;
}

export interface NativeResponse {
  writeStatus(statusLine: string): NativeResponse;
  writeHeader(name: string, value: string): NativeResponse;
  end(body: string, closeConnection: boolean): NativeResponse;
  upgrade(userData: object, key: string, protocol: string, extensions: string, context: unknown): void;
  /** Told when the peer is gone before the answer; the response may not be touched afterwards. */
  onAborted(handler: () => void): NativeResponse;
  cork(work: () => void): unknown;
  getRemoteAddressAsText(): ArrayBuffer;
}

export interface NativeBehavior {
  maxPayloadLength: number;
  maxBackpressure: number;
  idleTimeout: number;
  sendPingsAutomatically: boolean;
  compression: number;
  upgrade(response: NativeResponse, request: NativeRequest, context: unknown): void;
  open(socket: NativeSocket): void;
  message(socket: NativeSocket, message: ArrayBuffer, isBinary: boolean): void;
  drain(socket: NativeSocket): void;
  close(socket: NativeSocket, code: number, message: ArrayBuffer): void;
}

export interface NativeApp {
  ws(pattern: string, behavior: NativeBehavior): NativeApp;
  any(pattern: string, handler: (response: NativeResponse, request: NativeRequest) => void): NativeApp;
  listen(host: string, port: number, options: number, done: (listenSocket: unknown) => void): NativeApp;
  /** Closes every socket, the listening ones too. Until then the thread must not end. */
  close(): void;
}

export interface NativeLibrary {
  App(): NativeApp;
  us_listen_socket_close(listenSocket: unknown): void;
  us_socket_local_port(listenSocket: unknown): number;
  readonly DISABLED: number;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

export type NativeLoad =
  | {
      readonly library: NativeLibrary;
      readonly provenance: string;
      /** The build of May 2023 that we pin; false for the operator's own install. */
      readonly isPinned: boolean;
    }
  | { readonly library: undefined; readonly reason: string };

const OWN_PACKAGE = 'uWebSockets.js';
const PINNED_PACKAGE = '@trufflesuite/uws-js-unofficial';
const PINNED_VERSION = '20.30.0-unofficial.0';

/** SHA-256 of `binaries/uws_<key>.node` in the pinned version, computed from the published package. */
const PINNED_SHA256: Readonly<Record<string, string>> = {
  darwin_arm64_115: '2a3aff854929518a3bc066527340ab0fc47c970cda4cdbb86f5d65b03ee83885',
  darwin_x64_115: 'cdb95fb0b602155506b5430791c0dce4341ec1268ff23bdace8f1c77e306e4f7',
  linux_arm64_115: 'fa46518766a985c6a79daef039f40cccd8e98e9a288f2ceaf31a0a18901bbfd5',
  linux_x64_115: 'f158fb441f7e2e37b3ab9a56782fe37f4c0d33b5cd32e96ee5c0120ce7db7ced',
  win32_x64_115: '6dd62494c776ba94a1265969caaa1cc88d02a9a3efb14ef35ef2a1215393cdd9',
};

const requireHere = createRequire(import.meta.url);
let loaded: NativeLoad | undefined;

/** Loads the native library once a thread; later calls return the same answer. Never throws. */
export function loadNative(): NativeLoad {
  loaded ??= loadFirstThatWorks();
  return loaded;
}

function loadFirstThatWorks(): NativeLoad {
  const own = loadOwnInstall();
  if (own.library !== undefined) return own;
  const pinned = loadPinnedBinary(findPinnedFolder());
  if (pinned.library !== undefined || own.reason === '') return pinned;
  return { library: undefined, reason: `${own.reason}; ${pinned.reason}` };
}

/** The reason is empty when the operator has simply not installed the package. */
function loadOwnInstall(): NativeLoad {
  let manifestFile: string;
  try {
    manifestFile = requireHere.resolve(`${OWN_PACKAGE}/package.json`);
  } catch {
    return { library: undefined, reason: '' }; // Absent is the normal case, not an error.
  }
  try {
    const manifest: unknown = JSON.parse(readFileSync(manifestFile, 'utf8'));
    const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : '?';
    return check(requireHere(OWN_PACKAGE), `${OWN_PACKAGE} ${String(version)} (own install)`, false);
  } catch (error) {
    return { library: undefined, reason: `${OWN_PACKAGE} does not load: ${firstLine(error)}` };
  }
}

function findPinnedFolder(): string | undefined {
  try {
    return join(dirname(requireHere.resolve(`${PINNED_PACKAGE}/package.json`)), 'binaries');
  } catch {
    return undefined; // An optional dependency: npm leaves it out where it cannot be installed.
  }
}

/**
 * Loads the pinned package's binary for this platform from `folder`, if its bytes are the known ones.
 *
 * @param folder the package's `binaries` folder; undefined when the package is not installed.
 * @param key platform, architecture and module ABI, as the file names spell them.
 */
export function loadPinnedBinary(
  folder: string | undefined,
  key = `${process.platform}_${process.arch}_${process.versions.modules}`,
): NativeLoad {
  const expected = PINNED_SHA256[key];
  if (expected === undefined) {
    return { library: undefined, reason: `no checked native build for ${key} (there are some for Node 20, ABI 115)` };
  }
  if (folder === undefined) return { library: undefined, reason: `${PINNED_PACKAGE} is not installed` };
  const file = join(folder, `uws_${key}.node`);
  try {
    const actual = createHash('sha256').update(readFileSync(file)).digest('hex');
    if (actual !== expected) {
      const found = `SHA-256 ${actual.slice(0, 12)}, expected ${expected.slice(0, 12)}`;
      return { library: undefined, reason: `${file} is not the pinned build (${found}), refused` };
    }
    return check(
      requireHere(file),
      `${PINNED_PACKAGE} ${PINNED_VERSION}, ${key}, SHA-256 ${actual.slice(0, 12)}`,
      true,
    );
  } catch (error) {
    return { library: undefined, reason: `${file} does not load: ${firstLine(error)}` };
  }
}

/** Refuses a library of another shape here, rather than with a TypeError under load. */
function check(candidate: unknown, provenance: string, isPinned: boolean): NativeLoad {
  const library = candidate as Partial<NativeLibrary>; // Untyped native exports; the members used are checked below.
  if (
    typeof library.App !== 'function' ||
    typeof library.us_listen_socket_close !== 'function' ||
    typeof library.us_socket_local_port !== 'function' ||
    typeof library.DISABLED !== 'number' ||
    typeof library.LIBUS_LISTEN_EXCLUSIVE_PORT !== 'number'
  ) {
    return { library: undefined, reason: `${provenance} lacks a function this server needs` };
  }
  return { library: library as NativeLibrary, provenance, isPinned }; // Every member was checked just above.
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0] ?? '';
}
