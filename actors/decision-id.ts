/**
 * Decision ids. 15 bytes in base64url, 20 characters:
 *
 *   0 u8 partition   1 u32 hash low   5 u32 hash high   9 u32 decision sequence   13 u16 check
 *
 * The id names its profile by keyed hash, so `confirm` and `release` need no table and survive restarts
 * and moves; the check makes a mistyped id an INVALID_ARGUMENT instead of somebody else's decision.
 * A quote id is the id of the decision that priced it.
 */
import { murmur3 } from '../proto/murmur3.ts';
import { DECISION_ID_CHARACTERS } from '../proto/partition.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Two characters for each 12 bits: a third of the time of making them one by one. */
const PAIRS = Array.from({ length: 4096 }, (_, bits) => ALPHABET.charAt(bits >>> 6) + ALPHABET.charAt(bits & 63));
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) VALUES[ALPHABET.charCodeAt(i)] = i;
const CHECK_SEED = 0x6f707431;

const bytes = new Uint8Array(15);

export interface DecisionIdParts {
  partition: number;
  hashLow: number;
  hashHigh: number;
  decisionSeq: number;
}

export function formatDecisionId(partition: number, hashLow: number, hashHigh: number, decisionSeq: number): string {
  bytes[0] = partition;
  putU32(1, hashLow);
  putU32(5, hashHigh);
  putU32(9, decisionSeq);
  const check = murmur3(bytes, 0, 13, CHECK_SEED);
  bytes[13] = check & 0xff;
  bytes[14] = (check >>> 8) & 0xff;
  let id = '';
  for (let i = 0; i < 15; i += 3) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number);
    id += (PAIRS[word >>> 12] as string) + (PAIRS[word & 4095] as string);
  }
  return id;
}

/** Reads an id into `out`; false when it is not one of ours. */
export function parseDecisionId(id: string, out: DecisionIdParts): boolean {
  if (id.length !== DECISION_ID_CHARACTERS) return false;
  for (let i = 0, c = 0; c < DECISION_ID_CHARACTERS; i += 3, c += 4) {
    let word = 0;
    for (let k = 0; k < 4; k++) {
      const code = id.charCodeAt(c + k);
      const value = code < 128 ? (VALUES[code] as number) : -1;
      if (value < 0) return false;
      word = (word << 6) | value;
    }
    bytes[i] = word >>> 16;
    bytes[i + 1] = (word >>> 8) & 0xff;
    bytes[i + 2] = word & 0xff;
  }
  const check = murmur3(bytes, 0, 13, CHECK_SEED);
  if (bytes[13] !== (check & 0xff) || bytes[14] !== ((check >>> 8) & 0xff)) return false;
  out.partition = bytes[0] as number;
  out.hashLow = getU32(1);
  out.hashHigh = getU32(5);
  out.decisionSeq = getU32(9);
  return true;
}

function putU32(at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = value >>> 24;
}
function getU32(at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
