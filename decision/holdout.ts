/**
 * Who is withheld from decisioning: a fixed function of the person and a salt, so that a person stays
 * in or out across restarts, machines and reloads without a stored flag. Raising the probability only
 * adds people and lowering it only removes them, because each person has one point in (0, 1) a salt.
 * A new salt deals anew, independently. No draw of any decision is used up.
 */
import { murmur3Text } from '../proto/murmur3.ts';
import { drawUniform, PURPOSE } from './random.ts';

/** Of the holdout; experiments have salts of their own. */
export const HOLDOUT_SALT = murmur3Text('opportune.holdout', 0);

/**
 * The person's fixed point in (0, 1) under a salt; experiments cut the same line into arms.
 *
 * @param keyHashHigh, keyHashLow 64-bit hash of tenant and profile key
 * @param salt 32-bit hash of the holdout's or experiment's name
 */
export function holdoutPoint(keyHashHigh: number, keyHashLow: number, salt: number): number {
  return drawUniform(salt, PURPOSE.holdout, keyHashHigh, keyHashLow);
}

/** True for a share `probability` of all people (0: nobody, 1: everybody; NaN: nobody). Cost: about 30 ns. */
export function isHeldOut(keyHashHigh: number, keyHashLow: number, salt: number, probability: number): boolean {
  return probability > 0 && holdoutPoint(keyHashHigh, keyHashLow, salt) < probability;
}
