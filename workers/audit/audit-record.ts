/**
 * One line of the audit log: who did what to what, when, after what. A line is JSON whose last three members are the
 * hash of the line before, the SHA-256 of all that stands before it in this line, and a keyed hash of that hash:
 *
 *   {"sequence":7,"atEpochMillis":…,"kind":"access","actor":"local","person":"455b…","detail":{…},"previous":"…","hash":"…","mac":"…"}
 *    └──────────────────────────── hashed, byte by byte ─────────────────────────────────────────────┘
 *
 * The hashed bytes are the bytes in the file, so nothing has to be written twice the same way to be checked. The
 * chain shows any edit, removal, reordering and insertion to everybody; the keyed hash shows a rewrite of the whole
 * chain to who has the node's secret. A person stands in it by the keyed hash that names profiles, never by key.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

/** Each is one sentence of docs/OPERATING.md. */
export const AUDIT_KINDS = [
  'file',
  'start',
  'stop',
  'catalog',
  'catalogRefused',
  'drill',
  'keysMade',
  'keysRotated',
  'keysErased',
  'apiKeyMade',
  'apiKeyRevoked',
  'access',
  'consent',
  'erasure',
  'identity',
  'recovered',
  'lost',
  'damage',
] as const;
export type AuditKind = (typeof AUDIT_KINDS)[number];

/** One writer has one chain: the node, and the commands beside it. */
export const AUDIT_CHAINS = ['node', 'command'] as const;
export type AuditChain = (typeof AUDIT_CHAINS)[number];

/** Who acts where nobody has shown who they are: whoever can reach a server without authentication, or the folder. */
export const LOCAL_ACTOR = 'local';

export type AuditDetail = { readonly [name: string]: string | number | boolean | null };

export interface AuditEvent {
  readonly kind: AuditKind;
  readonly actor: string;
  readonly atEpochMillis: number;
  /** The keyed hash of a profile's key, 16 hexadecimal digits. */
  readonly person?: string;
  readonly detail?: AuditDetail;
}

export interface AuditRecord extends AuditEvent {
  readonly sequence: number;
  readonly previous: string;
  readonly hash: string;
  readonly mac: string;
}

/** Where a chain stands: its last record. */
export interface AuditHead {
  readonly sequence: number;
  readonly hash: string;
}

export const GENESIS: AuditHead = { sequence: 0, hash: '0'.repeat(64) };
/** `,"hash":"…","mac":"…"}` */
const TAIL = /,"hash":"([0-9a-f]{64})","mac":"([0-9a-f]{64})"\}$/;
const TAIL_LENGTH = ',"hash":"","mac":""}'.length + 128;

/** The key of the keyed hashes, 32 bytes from the node's secret. */
export function deriveAuditKey(secret: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), 'opportune audit log', 32));
}

/** Names an audit key without giving it away: 16 hexadecimal digits. */
export function auditKeyName(key: Uint8Array): string {
  return keyed(key, 'name').slice(0, 16);
}

/** How a profile's keyed hash is written, here and in `opportune log`. */
export function personName(hashHigh: number, hashLow: number): string {
  return hashHigh.toString(16).padStart(8, '0') + hashLow.toString(16).padStart(8, '0');
}

/** The line of the event behind `before`, with its line break, and where the chain stands then. */
export function writeRecord(
  event: AuditEvent,
  before: AuditHead,
  chain: AuditChain,
  key: Uint8Array,
): { readonly line: string; readonly head: AuditHead } {
  const { atEpochMillis, kind, actor, person = null, detail = {} } = event;
  const sequence = before.sequence + 1;
  const body = JSON.stringify({ sequence, atEpochMillis, kind, actor, person, detail, previous: before.hash });
  const open = body.slice(0, -1);
  const hash = createHash('sha256').update(open).digest('hex');
  return { line: `${open},"hash":"${hash}","mac":"${macOf(key, chain, hash)}"}\n`, head: { sequence, hash } };
}

/** A line without its line break, or what is wrong with it on its own. Whether it follows is the caller's to see. */
export function readRecord(line: string): AuditRecord | string {
  const tail = TAIL.exec(line);
  if (tail === null) return 'it does not end as a record of the log does';
  const [, hash = '', mac = ''] = tail;
  const open = line.slice(0, -TAIL_LENGTH);
  if (createHash('sha256').update(open).digest('hex') !== hash) return 'its hash is not that of its content';
  try {
    return { ...(JSON.parse(`${open}}`) as Omit<AuditRecord, 'hash' | 'mac'>), hash, mac }; // hashed, so as it was written
  } catch {
    return 'it is not JSON';
  }
}

export function hasMac(record: AuditRecord, chain: AuditChain, key: Uint8Array): boolean {
  return isSame(record.mac, macOf(key, chain, record.hash));
}

/** The anchor of a chain: where it stood when it was last synced, signed. One line. */
export function writeAnchor(head: AuditHead, chain: AuditChain, key: Uint8Array): string {
  return `${JSON.stringify({ chain, ...head, mac: anchorMac(head, chain, key) })}\n`;
}

/** The anchored head, or what is wrong with the anchor. With `key` null its signature is not looked at. */
export function readAnchor(text: string, chain: AuditChain, key: Uint8Array | null): AuditHead | string {
  let value: Partial<AuditHead & { chain: string; mac: string }>;
  try {
    value = JSON.parse(text) as typeof value; // checked below
  } catch {
    return 'it is not JSON';
  }
  const { sequence, hash, mac } = value;
  if (value.chain !== chain || typeof sequence !== 'number' || typeof hash !== 'string' || typeof mac !== 'string')
    return 'it is not the anchor of this chain';
  const head = { sequence, hash };
  if (key !== null && !isSame(mac, anchorMac(head, chain, key))) return "it is not signed under this node's secret";
  return head;
}

function anchorMac(head: AuditHead, chain: AuditChain, key: Uint8Array): string {
  return keyed(key, `anchor ${chain} ${head.sequence} ${head.hash}`);
}

function macOf(key: Uint8Array, chain: AuditChain, hash: string): string {
  return keyed(key, `record ${chain} ${hash}`);
}

function keyed(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex');
}

function isSame(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
