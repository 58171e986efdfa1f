/**
 * What one person allows at one instant: the standing consents of the record over the catalog's defaults. Bound once
 * a turn; where a catalog denies nothing by default and the person has said nothing, that is one test of a flag.
 *
 * A consent stands as a moment of the kind `consent`: subject is the purpose's hash, `at` since when, the amount until
 * when it is granted: infinity without an end, 0 where it is refused or withdrawn. Its end is seen by the clock of the
 * turn, so "only 30 days" needs no timer and no turn of its own.
 */
import { type ConsentRules, PURPOSE_NAMES, type Purpose } from '../decision/consent.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG, STANDING } from './record-layout.ts';

export const WITHDRAWN = 0;

export class ConsentView {
  /** By purpose: 1 allowed. */
  allowed = new Uint8Array(0);
  /** Whether any purpose is not allowed. */
  isLimited = false;
  /** The request of this turn came with `Sec-GPC: 1`. It refuses beside what the person said, and is not kept as theirs. */
  hasOptOut = false;
  #rules: ConsentRules | null = null;

  /** @returns whether anything is not allowed; only then is `allowed` to be looked at */
  bind(record: ProfileRecord, rules: ConsentRules, now: number): boolean {
    const hasSpoken = (record.getU16(FIELD.flags) & RECORD_FLAG.consent) !== 0;
    const isMinor = rules.minorAge !== null && rules.ageTrait >= 0 && record.trait(rules.ageTrait) < rules.minorAge;
    if (!hasSpoken && !isMinor && !rules.hasDeniedDefault && !this.hasOptOut) {
      this.isLimited = false;
      return false;
    }
    if (this.#rules !== rules) {
      this.#rules = rules;
      this.allowed = new Uint8Array(rules.purposes.length);
    }
    const { allowed } = this;
    allowed.set(rules.defaults);
    if (isMinor) {
      for (const { index, isDeniedToMinors } of rules.purposes) if (isDeniedToMinors) allowed[index] = 0;
    }
    for (let i = 0; hasSpoken && i < record.momentCount; i++) {
      if (record.momentKind(i) !== STANDING.consent) continue;
      const purpose = rules.byHash.get(record.momentSubject(i));
      if (purpose !== undefined) allowed[purpose.index] = record.momentAmount(i) > now ? 1 : 0;
    }
    if (this.hasOptOut) for (const purpose of rules.ofOptOut) allowed[purpose] = 0;
    this.isLimited = allowed.includes(0);
    return this.isLimited;
  }

  /** Of the person bound last. */
  allows(purpose: number): boolean {
    return !this.isLimited || this.allowed[purpose] === 1;
  }

  /** Of the purposes every catalog has: a bit for each that is not allowed. */
  refusedBits(): number {
    let bits = 0;
    for (let purpose = 0; this.isLimited && purpose < PURPOSE_NAMES.length; purpose++)
      if (this.allowed[purpose] === 0) bits |= 1 << purpose;
    return bits;
  }

  /** Names of what is not allowed, for explanations. */
  denied(purposes: readonly Purpose[]): string[] {
    return this.isLimited ? purposes.filter(({ index }) => this.allowed[index] === 0).map(({ name }) => name) : [];
  }
}
