/**
 * API keys: 256 random bits under a public id, in a file that holds only their SHA-256.
 *
 *   opk_<id, 16 hex digits>_<43 characters of base64url>      shown once, when it is made
 *
 * A plain hash is enough: it cannot be searched for, because there are 2^256 keys; a slow one (scrypt)
 * guards guessable passwords, and would let anybody who sends garbage spend our processor time. A login
 * does the same work whether the id is unknown, the key wrong, expired or right: one hash, one comparison
 * in constant time. Whoever may write the file may admit anybody: it is as trusted as the configuration.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { OperatorError } from '../operator-error.ts';
import { DEFAULT_TENANT, isTenantName, type Login } from './principal.ts';
import { isRole, operationsOf, ROLES, type Role } from './roles.ts';

const FORMAT = 'opportune api keys, 1';
const PREFIX = 'opk_';
const KEY_FORM = /^opk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
const ID_BYTES = 8;
const SECRET_BYTES = 32;
const KEYS_MAX = 10_000;
const NOTE_CHARACTERS_MAX = 200;

/** One line of the file. Instants are ISO 8601, for people. */
export interface ApiKeyRecord {
  readonly id: string;
  readonly sha256: string;
  readonly roles: readonly Role[];
  readonly tenant: string;
  readonly createdAt: string;
  /** Null: until it is revoked. */
  readonly expiresAt: string | null;
  readonly note: string;
}

export interface NewApiKey {
  /** As `takeKeyId` makes them, for who must name it before it exists; else one is made. */
  readonly id?: string;
  readonly roles: readonly Role[];
  readonly tenant: string;
  readonly expiresAtEpochMillis: number | null;
  readonly note: string;
}

interface KnownKey {
  readonly digest: Uint8Array;
  readonly login: Login;
}

/** Whether a token is meant to be an API key at all; nothing is proved by it. */
export function isApiKey(token: string): boolean {
  return token.startsWith(PREFIX);
}

export type Hash = (text: string) => Uint8Array;
export type Compare = (a: Uint8Array, b: Uint8Array) => boolean;

function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text, 'utf8').digest();
}

export type KeyVerdict = { readonly login: Login } | { readonly refusal: 'invalid' | 'expired' };

/** The keys in force, as one reading of the file. Immutable: a change of the file makes another. */
export class ApiKeys {
  readonly #keys = new Map<string, KnownKey>();
  readonly #credentials = new Set<string>();
  /** Stands in for a key that is not there, so that its absence takes as long as its presence. */
  readonly #decoy: Uint8Array;
  readonly #hash: Hash;
  readonly #compare: Compare;

  /** @param hash and @param compare for tests, which count their calls. */
  constructor(records: readonly ApiKeyRecord[], hash: Hash = sha256, compare: Compare = timingSafeEqual) {
    this.#hash = hash;
    this.#compare = compare;
    this.#decoy = randomBytes(SECRET_BYTES);
    for (const record of records) {
      const credential = `key:${record.id} ${record.sha256} ${record.tenant} ${record.roles.join()}`;
      this.#credentials.add(credential);
      this.#keys.set(record.id, {
        digest: Buffer.from(record.sha256, 'hex'),
        login: {
          principal: { id: `key:${record.id}`, tenant: record.tenant, roles: record.roles },
          operations: operationsOf(record.roles, record.tenant === DEFAULT_TENANT),
          expiresAtEpochMillis: record.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(record.expiresAt),
          credential,
        },
      });
    }
  }

  get count(): number {
    return this.#keys.size;
  }

  /** Judges a presented key. One hash and one comparison, whatever comes of it. */
  verify(token: string, nowEpochMillis: number): KeyVerdict {
    const match = KEY_FORM.exec(token);
    const known = this.#keys.get(match?.[1] ?? '');
    const digest = this.#hash(match?.[2] ?? token);
    const isSame = this.#compare(digest, known?.digest ?? this.#decoy);
    if (match === null || known === undefined || !isSame) return { refusal: 'invalid' };
    return nowEpochMillis < known.login.expiresAtEpochMillis ? { login: known.login } : { refusal: 'expired' };
  }

  /** Whether a login made by an earlier reading would still be made, with the same rights. */
  stillHas(credential: string): boolean {
    return this.#credentials.has(credential);
  }
}

/** @throws OperatorError ACCESS_KEYS naming the file, the entry and what is wrong with it. */
export function parseApiKeys(path: string, text: string): ApiKeyRecord[] {
  const wrong = (what: string): OperatorError =>
    new OperatorError('ACCESS_KEYS', `${path}: ${what}`, {
      advice: 'Mend the file, or restore it from a copy. Make keys with `opportune key create`.',
    });
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw wrong('the file is not JSON'); // without the parser's words, which quote the content
  }
  const { format, keys } = (content ?? {}) as { format?: unknown; keys?: unknown }; // checked below
  if (format !== FORMAT) throw wrong(`"format" must be ${JSON.stringify(FORMAT)}`);
  if (!Array.isArray(keys)) throw wrong('"keys" must be a list');
  if (keys.length > KEYS_MAX) throw wrong(`it holds ${keys.length} keys, at most ${KEYS_MAX} are read`);
  const ids = new Set<string>();
  return keys.map((entry: unknown, index) => {
    const problem = problemOf(entry);
    if (problem !== null) throw wrong(`key ${index}: ${problem}`);
    const record = entry as ApiKeyRecord; // every field was just checked
    if (ids.has(record.id)) throw wrong(`key ${index}: id ${record.id} stands twice`);
    ids.add(record.id);
    return record;
  });
}

function problemOf(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null) return 'must be a map';
  const { id, sha256: digest, roles, tenant, createdAt, expiresAt, note } = entry as Record<string, unknown>; // checked field by field
  if (typeof id !== 'string' || !/^[0-9a-f]{16}$/.test(id)) return '"id" must be 16 hex digits';
  if (typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) return '"sha256" must be 64 hex digits';
  if (!Array.isArray(roles) || roles.length === 0 || !roles.every(isRole))
    return `"roles" must be a list of ${ROLES.join(', ')}`;
  if (!isTenantName(tenant)) return '"tenant" must be a tenant name';
  if (typeof createdAt !== 'string' || Number.isNaN(Date.parse(createdAt))) return '"createdAt" must be an instant';
  if (expiresAt !== null && (typeof expiresAt !== 'string' || Number.isNaN(Date.parse(expiresAt))))
    return '"expiresAt" must be an instant or null';
  if (typeof note !== 'string' || note.length > NOTE_CHARACTERS_MAX)
    return `"note" must be text of at most ${NOTE_CHARACTERS_MAX} characters`;
  return null;
}

/** @throws OperatorError ACCESS_KEYS when the file cannot be read or is wrong. */
export function readApiKeys(path: string): ApiKeyRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatorError('ACCESS_KEYS', `cannot read the API key file ${path}: ${reasonOf(cause)}`, {
      advice:
        'Make one with `opportune key create --key-file FILE --roles app`, or check the path and its permissions.',
      cause,
    });
  }
  return parseApiKeys(path, text);
}

/** The id of a key to be made: its public part, 16 hexadecimal digits. */
export function takeKeyId(): string {
  return randomBytes(ID_BYTES).toString('hex');
}

/**
 * Makes a key and adds it to the file, which is made (mode 0600) when it is not there.
 * @returns the key itself, which is kept nowhere, and its record.
 * @throws OperatorError ACCESS_KEYS
 */
export function createApiKey(
  path: string,
  wanted: NewApiKey,
  nowEpochMillis: number,
): { readonly key: string; readonly record: ApiKeyRecord } {
  const { id = takeKeyId() } = wanted;
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const record: ApiKeyRecord = {
    id,
    sha256: createHash('sha256').update(secret, 'utf8').digest('hex'),
    roles: wanted.roles,
    tenant: wanted.tenant,
    createdAt: new Date(nowEpochMillis).toISOString(),
    expiresAt: wanted.expiresAtEpochMillis === null ? null : new Date(wanted.expiresAtEpochMillis).toISOString(),
    note: wanted.note,
  };
  changeFile(path, (records) => [...records, record]);
  return { key: `${PREFIX}${id}_${secret}`, record };
}

/** Removes a key; false when there is none of this id. Servers end its connections within seconds. */
export function revokeApiKey(path: string, id: string): boolean {
  let isThere = false;
  changeFile(path, (records) => {
    isThere = records.some((record) => record.id === id);
    return records.filter((record) => record.id !== id);
  });
  return isThere;
}

/** Two commands at once cannot lose each other's change: the new file is made exclusively, and is the lock. */
function changeFile(path: string, change: (records: readonly ApiKeyRecord[]) => ApiKeyRecord[]): void {
  const temporary = `${path}.new`;
  let file: number;
  try {
    file = openSync(temporary, 'wx', 0o600);
  } catch (cause) {
    throw new OperatorError('ACCESS_KEYS', `cannot change ${path}: ${reasonOf(cause)}`, {
      advice: `Is another command changing it? If none is, remove ${temporary} and try again.`,
      cause,
    });
  }
  try {
    const records = change(isThere(path) ? readApiKeys(path) : []);
    const lines = records.map((record) => `    ${JSON.stringify(record)}`).join(',\n');
    writeSync(file, `{\n  "format": ${JSON.stringify(FORMAT)},\n  "keys": [\n${lines}\n  ]\n}\n`);
    fsyncSync(file);
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    if (cause instanceof OperatorError) throw cause;
    throw new OperatorError('ACCESS_KEYS', `cannot change ${path}: ${reasonOf(cause)}`, {
      advice: 'Check that this user may write the folder, and that there is room.',
      cause,
    });
  } finally {
    closeSync(file);
  }
}

function isThere(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false; // Node's own errors carry a code
    throw cause;
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
