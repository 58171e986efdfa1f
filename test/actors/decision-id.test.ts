import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DecisionIdParts, formatDecisionId, parseDecisionId } from '../../actors/decision-id.ts';
import { DECISION_ID_CHARACTERS, partitionOfDecisionId } from '../../proto/partition.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const word = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff), fc.nat(0xffff_ffff));
const parts: fc.Arbitrary<DecisionIdParts> = fc.record({
  partition: fc.integer({ min: 0, max: 255 }),
  hashLow: word,
  hashHigh: word,
  decisionSeq: word,
});
const blank = (): DecisionIdParts => ({ partition: -1, hashLow: -1, hashHigh: -1, decisionSeq: -1 });
const idOf = (p: DecisionIdParts): string => formatDecisionId(p.partition, p.hashLow, p.hashHigh, p.decisionSeq);

describe('decision id', () => {
  it('parse: gives back what format took, for every part at its bounds', () => {
    fc.assert(
      fc.property(parts, (p) => {
        const id = idOf(p);
        expect(id).toHaveLength(DECISION_ID_CHARACTERS);
        const out = blank();
        expect(parseDecisionId(id, out)).toBe(true);
        expect(out).toEqual(p);
        expect(partitionOfDecisionId(id)).toBe(p.partition);
      }),
    );
  });

  /**
   * A wrong character is a random draw against a 16-bit check: 1 in 65,536 passes. Over 20 ids and
   * 20 × 63 changes each that is 0.38 expected; 6 or more happen once in 10^6 such runs of new ids (the ids
   * here are fixed).
   */
  it('parse: refuses a change of one character but for the odds of a 16-bit check', () => {
    let passed = 0;
    let tried = 0;
    for (let n = 0; n < 20; n++) {
      const id = formatDecisionId(n * 12, Math.imul(n + 1, 0x9e37_79b1) >>> 0, Math.imul(n + 7, 0x85eb_ca6b) >>> 0, n);
      for (let at = 0; at < id.length; at++) {
        for (const character of ALPHABET) {
          if (character === id[at]) continue;
          tried++;
          if (parseDecisionId(id.slice(0, at) + character + id.slice(at + 1), blank())) passed++;
        }
      }
    }
    expect(tried).toBe(20 * 20 * 63);
    expect(passed).toBeLessThan(6);
  });

  it.each([
    ['empty', ''],
    ['one character short', idOf({ partition: 1, hashLow: 2, hashHigh: 3, decisionSeq: 4 }).slice(1)],
    ['one character long', `${idOf({ partition: 1, hashLow: 2, hashHigh: 3, decisionSeq: 4 })}A`],
    ['padded as base64', `${'A'.repeat(19)}=`],
    ['of standard base64', `${'A'.repeat(19)}+`],
    ['beyond ASCII', `${'A'.repeat(19)}é`],
    ['beyond one code unit', `${'A'.repeat(18)}😀`],
  ])('parse: refuses an id that is %s, and leaves the parts alone', (_what, id) => {
    const out = blank();
    expect(parseDecisionId(id, out)).toBe(false);
    expect(out).toEqual(blank());
  });
});
