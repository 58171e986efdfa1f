/** What a checked catalog says of a person's keys, with the defaults filled in. */
import { BLOCKED_KEYS, type IdentityRules } from '../../decision/identity-rules.ts';
import type { CatalogFile } from './catalog-schema.ts';
import { parseDurationMillis } from './durations.ts';

const KEYS = 100;
const UNJOIN_WITHIN = '30d';

export function compileIdentity({ identity }: Pick<CatalogFile, 'identity'>): IdentityRules {
  const { types = {}, keys = KEYS, blocked = [], unjoinWithin = UNJOIN_WITHIN } = identity ?? {};
  const keyTypes = Object.entries(types).map(([name, { limit, trait }]) => ({
    name,
    keysMax: limit ?? keys,
    trait: trait ?? null,
  }));
  return {
    types: keyTypes,
    traitTypes: keyTypes.filter(({ trait }) => trait !== null),
    keysMax: keys,
    blocked: new Set([...BLOCKED_KEYS, ...blocked].map((value) => value.trim().toLowerCase())),
    unjoinMillis: parseDurationMillis(unjoinWithin) ?? 0,
  };
}
