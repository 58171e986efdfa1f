/**
 * The receipt of an erasure: what was removed of a person, what is left and why, signed under the node's secret. It
 * names the person by a hash of the hash that names profiles, so that it leads nowhere else. It is shown while the
 * erasure is under way and signed when it is done; `opportune receipt verify` checks one by the secret of the folder.
 */
import type { Signer } from '../../actors/ports.ts';
import type { PersonHash } from '../../actors/sealed-trait.ts';
import { personName } from '../audit/audit-record.ts';

export type ErasureCounts = {
  decisions: number;
  events: number;
  /** Entries that set traits, facts among them. */
  traitChanges: number;
  /** Leases given back or expired, standings, sections, and the erasure's own. */
  otherEntries: number;
  /** Events whose lessons were taken back from the models. */
  lessons: number;
  /** Keys of sensitive traits that were overwritten. */
  keys: number;
};

/** A type, not an interface, because it is sent as a plain map. */
export type ErasureReceipt = {
  readonly id: string;
  readonly state: 'underway' | 'final' | 'nothing';
  readonly person: string;
  readonly atEpochMillis: number;
  readonly finishedAtEpochMillis: number | null;
  readonly removed: ErasureCounts & { readonly records: number };
  /** What stays, in words. */
  readonly remains: readonly string[];
  readonly signature: string | null;
};

export const NOTHING_REMOVED: ErasureCounts = {
  decisions: 0,
  events: 0,
  traitChanges: 0,
  otherEntries: 0,
  lessons: 0,
  keys: 0,
};

export const REMAINS: readonly string[] = [
  'audit log: who saw or changed the data, under a keyed hash, until its own retention ends',
  'journal: length and ledger sums of the blanked entries, without the person, until the journal is trimmed',
  'models: the snapshots that starts began from, sums over everybody, until 32 newer starts replace them',
  'data file: freed pages may hold old bytes until `opportune compact` has written it anew',
  'backups made before: sensitive traits are unreadable in them; the rest goes when they expire',
];

const LABEL = 'opportune erasure receipt';
const encoder = new TextEncoder();

/** The person as receipts name them. */
export function receiptPerson({ hashHigh, hashLow }: Pick<PersonHash, 'hashHigh' | 'hashLow'>, signer: Signer): string {
  const bytes = encoder.encode(`${LABEL} person ${personName(hashHigh, hashLow)}`);
  return signer.sign(bytes, bytes.length).slice(0, 22);
}

export function signReceipt(receipt: ErasureReceipt, signer: Signer): ErasureReceipt {
  return { ...receipt, signature: signatureOf(receipt, signer) };
}

/** Whether this node, or one with its secret, gave out exactly this receipt. */
export function isReceiptGenuine(receipt: ErasureReceipt, signer: Signer): boolean {
  return receipt.signature !== null && receipt.signature === signatureOf(receipt, signer);
}

/** Over the members by name in a fixed order, so that a file may be formatted anew. */
function signatureOf(receipt: ErasureReceipt, signer: Signer): string {
  const { id, state, person, atEpochMillis, finishedAtEpochMillis, removed, remains } = receipt;
  const { records, decisions, events, traitChanges, otherEntries, lessons, keys } = removed;
  const counts = [records, decisions, events, traitChanges, otherEntries, lessons, keys];
  const members = [LABEL, id, state, person, atEpochMillis, finishedAtEpochMillis, counts, remains];
  const bytes = encoder.encode(JSON.stringify(members));
  return signer.sign(bytes, bytes.length);
}
