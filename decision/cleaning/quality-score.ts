/**
 * How much can be built on what is known of a person, as three shares and one score. Worked out when somebody asks and
 * kept nowhere: it changes with time alone. No decision reads it.
 *
 *   completeness   share of the declared traits that are known, each with its weight
 *   validity       share of what is known, traits and contradictions looked for, that nothing is said against
 *   freshness      halves with every half-life since the newest event or trait; 0 where there was none
 *   score          100 × (0.4 completeness + 0.4 validity + 0.2 freshness)
 *
 * The weights of the score are a convention, not a finding: they rank profiles and sources among each other.
 */

const SHARES = { completeness: 0.4, validity: 0.4, freshness: 0.2 } as const;

export interface QualityFindings {
  /** By declared trait: its weight and whether it is known. */
  readonly traits: readonly { readonly weight: number; readonly isKnown: boolean }[];
  /** Known traits and rules of contradiction with something against them. */
  readonly flagged: number;
  /** Rules of contradiction of the catalog. */
  readonly contradictionRules: number;
  /** Of the newest event or trait; null: none is known. */
  readonly newestEpochMillis: number | null;
}

export interface QualityScore {
  /** 0 to 100. */
  readonly score: number;
  /** Each 0 to 1. */
  readonly completeness: number;
  readonly validity: number;
  readonly freshness: number;
}

/** @param halfLifeMillis above 0 */
export function qualityScore(findings: QualityFindings, halfLifeMillis: number, now: number): QualityScore {
  let weight = 0;
  let known = 0;
  let knownTraits = 0;
  for (const trait of findings.traits) {
    weight += trait.weight;
    if (!trait.isKnown) continue;
    known += trait.weight;
    knownTraits++;
  }
  const completeness = weight > 0 ? known / weight : 1;
  const looked = knownTraits + findings.contradictionRules;
  const validity = looked > 0 ? 1 - Math.min(findings.flagged, looked) / looked : 1;
  const { newestEpochMillis: newest } = findings;
  const freshness = newest === null ? 0 : 2 ** (-Math.max(0, now - newest) / halfLifeMillis);
  const share = SHARES.completeness * completeness + SHARES.validity * validity + SHARES.freshness * freshness;
  return { score: Math.round(share * 1000) / 10, completeness, validity, freshness };
}

/** Of a source: what its messages told, how many were taken whole and unflagged, how many came in their one form. */
export interface SourceShares {
  readonly completeness: number;
  readonly validity: number;
  readonly form: number;
}

/** 0 to 100: 100 × (0.4 completeness + 0.4 validity + 0.2 form), a convention as that of profiles. */
export function sourceScore({ completeness, validity, form }: SourceShares): number {
  const share = SHARES.completeness * completeness + SHARES.validity * validity + SHARES.freshness * form;
  return Math.round(share * 1000) / 10;
}
