/** A small catalog with every kind of limit, built from the parts a test wants to set. */
export interface CatalogParts {
  readonly actions: string;
  readonly channels?: string;
  readonly slots?: string;
  readonly products?: string;
  readonly traits?: string;
  readonly timeZone?: string;
  /** Of `profile.tags`. */
  readonly tags?: string;
  readonly leaseMillis?: number;
  readonly holdoutProbability?: number;
  readonly explorationProbability?: number;
  /** More keys of `decision`, each followed by a comma. */
  readonly decision?: string;
  /** More keys of `profile`, each after a comma. */
  readonly profile?: string;
  /** More lines at the top level. */
  readonly more?: string;
}

export function catalogText(parts: CatalogParts): string {
  return `version: 1
name: test
currency: EUR
timeZone: ${parts.timeZone ?? 'UTC'}
decision: { ${parts.decision ?? ''} explorationProbability: ${parts.explorationProbability ?? 0.02}, holdoutProbability: ${parts.holdoutProbability ?? 0}, rewardWindow: 7d, leaseMillis: ${parts.leaseMillis ?? 120_000} }
profile: { additionalTraits: refuse, traits: { timeZone: { type: timeZone }${parts.traits === undefined ? '' : `, ${parts.traits}`} }${parts.tags === undefined ? '' : `, tags: { ${parts.tags} }`}${parts.profile ?? ''} }
channels: ${parts.channels ?? '{ app: {} }'}
slots: ${parts.slots ?? '{ home: { channels: [app] } }'}
products: [${parts.products ?? ''}]
actions: [${parts.actions}]
${parts.more ?? ''}
`;
}

export const COFFEE =
  '{ sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1200, costMinor: 500, stepMinor: 10, quoteTtlMillis: 900000 }';
/** A Wednesday morning, UTC. */
export const NOON = Date.UTC(2026, 5, 10, 9, 0, 0);
