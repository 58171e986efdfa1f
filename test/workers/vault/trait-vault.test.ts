/** Sealed traits: open for their person, name and key only; any change is found; nonces do not repeat. */
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { SealedTrait } from '../../../actors/sealed-trait.ts';
import { DataKeys, keysPathOf } from '../../../workers/vault/data-keys.ts';
import { KEYS_AT_A_TIME, TraitVault } from '../../../workers/vault/trait-vault.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const PERSON = { partition: 7, hashLow: 1, hashHigh: 2, hashCheck: 3 };
let keys: DataKeys;
let vault: TraitVault;
let asked = 0;
beforeEach(async () => {
  keys = DataKeys.open(keysPathOf(temporaryFolder()), new Uint8Array(32).fill(1), true);
  asked = 0;
  vault = new TraitVault(keys, () => asked++);
  vault.offer(await keys.append(KEYS_AT_A_TIME), KEYS_AT_A_TIME);
});

function sealed(value: string | number | boolean, keyId = taken()): SealedTrait {
  const made = vault.seal(value, 'email', PERSON, keyId);
  if (made === null) throw new Error('not sealed');
  return made;
}
function taken(): string {
  const keyId = vault.takeKey();
  if (keyId === null) throw new Error('no key');
  return keyId;
}

describe('trait vault', () => {
  it('seal: any value opens again and is nowhere in the bytes', () => {
    const keyId = taken();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'grapheme', maxLength: 200 }),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
        ),
        (value) => {
          const made = sealed(value, keyId);
          const expected: unknown = JSON.parse(JSON.stringify(value));
          expect(vault.open(made, 'email', PERSON)).toEqual({ value: expected });
          if (typeof value === 'string' && value.length > 5)
            expect(Buffer.from(made.bytes).includes(Buffer.from(value))).toBe(false);
        },
      ),
      { seed: 6, numRuns: 200 },
    );
  });

  it('open: any changed byte, another name and another person are named', () => {
    const { bytes } = sealed('ann@example.org');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      const opened = vault.open(new SealedTrait(changed), 'email', PERSON);
      // Bytes 1 to 8 name the key: of another file, beyond the end, or, in the last byte, a key that is there.
      expect(opened, String(at)).toEqual({
        problem: at >= 1 && at < 8 ? 'keyMissing' : 'tampered',
      });
    }
    expect(vault.open(new SealedTrait(bytes), 'phone', PERSON)).toEqual({ problem: 'tampered' });
    for (const other of ['partition', 'hashLow', 'hashHigh', 'hashCheck'] as const)
      expect(vault.open(new SealedTrait(bytes), 'email', { ...PERSON, [other]: 9 }), other).toEqual({
        problem: 'tampered',
      });
    for (const length of [0, 1, 20, bytes.length - 1])
      expect(vault.open(new SealedTrait(bytes.subarray(0, length)), 'email', PERSON)).toEqual({ problem: 'tampered' });
  });

  it('seal: 20,000 values under one key have 20,000 nonces, and equal values look different', () => {
    const keyId = taken();
    const nonces = new Set<string>();
    for (let n = 0; n < 20_000; n++) nonces.add(Buffer.from(sealed(true, keyId).bytes.subarray(9, 21)).toString('hex'));
    expect(nonces.size).toBe(20_000);
    expect(sealed('x', keyId).bytes).not.toEqual(sealed('x', keyId).bytes);
  });

  it('seal: the length tells blocks of 16 only', () => {
    expect(sealed(true).bytes.length).toBe(sealed(false).bytes.length);
    expect(sealed('a').bytes.length).toBe(sealed('a'.repeat(14)).bytes.length);
    expect(sealed('a'.repeat(15)).bytes.length).toBe(sealed('a').bytes.length + 16);
  });

  it('erase: an erased key opens nothing and seals nothing, copies of the ciphertext included', () => {
    const keyId = taken();
    const copy = new SealedTrait(Uint8Array.from(sealed('x', keyId).bytes));
    keys.erase(keys.slotOf(keyId));
    expect(vault.open(copy, 'email', PERSON)).toEqual({ problem: 'erased' });
    expect([vault.isUsable(keyId), vault.seal('x', 'email', PERSON, keyId)]).toEqual([false, null]);
  });

  it('takeKey: each key once; asks for more ahead of need, once; none when all are taken', () => {
    const seen = new Set<string>();
    for (let n = 0; n < KEYS_AT_A_TIME; n++) seen.add(taken());
    expect([seen.size, asked]).toEqual([KEYS_AT_A_TIME, 1]);
    expect(vault.takeKey()).toBeNull();
    vault.offer(0, 0);
    expect([vault.takeKey(), asked]).toEqual([null, 2]);
  });
});
