/**
 * Which of the 256 partitions owns a profile key or a decision id. Server, client and every independent
 * client must agree on this to the bit, so it is part of the wire contract (docs/PROTOCOL.md has test
 * vectors): the low eight bits of MurmurHash3 x86 32-bit, seed 0, over the key's UTF-8 bytes. A decision
 * id carries its partition in its first byte, so it is routed without knowing whose it is.
 */
import { PARTITION_COUNT } from './limits.ts';
import { murmur3, murmur3Text } from './murmur3.ts';

const PARTITION_MASK = PARTITION_COUNT - 1;

/** Partition, 0 to 255, of the profile key in `length` UTF-8 bytes from `start`. */
export function partitionOf(bytes: Uint8Array, start: number, length: number): number {
  return murmur3(bytes, start, length, 0) & PARTITION_MASK;
}

/** Partition, 0 to 255, of a profile key given as text. */
export function partitionOfKey(key: string): number {
  return murmur3Text(key, 0) & PARTITION_MASK;
}

/** A decision id is 15 bytes in base64url without padding. */
export const DECISION_ID_CHARACTERS = 20;

function base64urlValue(code: number): number {
  if (code >= 65 && code <= 90) return code - 65;
  if (code >= 97 && code <= 122) return code - 71;
  if (code >= 48 && code <= 57) return code + 4;
  if (code === 45) return 62;
  return code === 95 ? 63 : -1;
}

/** Partition, 0 to 255, named by a decision id's first byte; -1 when the id does not have the form. */
export function partitionOfDecisionId(decisionId: string): number {
  if (decisionId.length !== DECISION_ID_CHARACTERS) return -1;
  for (let index = 0; index < DECISION_ID_CHARACTERS; index++) {
    if (base64urlValue(decisionId.charCodeAt(index)) < 0) return -1;
  }
  return (base64urlValue(decisionId.charCodeAt(0)) << 2) | (base64urlValue(decisionId.charCodeAt(1)) >> 4);
}
