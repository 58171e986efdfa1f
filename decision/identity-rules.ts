/**
 * What a catalog says of a person's keys: which types there are (`device:abc` is of the type `device`), how many of each a
 * person may have, and which of two keys stays when they turn out to be one person's. A key of no declared type is as
 * good as any and is limited by the number of all keys only. Pure; looked at when keys are joined, never by a decision.
 */

export interface KeyType {
  readonly name: string;
  /** Keys of the type that may be joined with one person. */
  readonly keysMax: number;
  /** The trait whose values are such keys, without the type before them; null: keys come by `alias` only. */
  readonly trait: string | null;
}

export interface IdentityRules {
  /** Those with a trait. */
  readonly traitTypes: readonly KeyType[];
  /** The strongest first: of two keys joined, the person stays under the one whose type comes first. */
  readonly types: readonly KeyType[];
  /** Keys of all types that may be joined with one person. */
  readonly keysMax: number;
  /** Values, in small letters, that are nobody's: with and without a type before them. */
  readonly blocked: ReadonlySet<string>;
  /** How long after a joining they can be taken apart again, in milliseconds. */
  readonly unjoinMillis: number;
}

/** What clients send where they know nobody: joining it would make one person of all of them. */
export const BLOCKED_KEYS: readonly string[] = [
  ...[
    'null',
    'nil',
    'none',
    'undefined',
    'nan',
    'unknown',
    'anonymous',
    'anon',
    'guest',
    'default',
    'test',
    'n/a',
    'na',
  ],
  ...['true', 'false', '0', '-1', '-', '[object object]', 'user', 'id', '00000000-0000-0000-0000-000000000000'],
];

/** The type of a key, or null for one of none that the catalog declares. */
export function keyTypeOf({ types }: Pick<IdentityRules, 'types'>, key: string): KeyType | null {
  const end = key.indexOf(':');
  return end <= 0 ? null : (types.find(({ name }) => name === key.slice(0, end)) ?? null);
}

/** Whether a key, or what stands behind its type, is a placeholder. */
export function isBlockedKey(rules: Pick<IdentityRules, 'types' | 'blocked'>, key: string): boolean {
  const type = keyTypeOf(rules, key);
  const value = type === null ? key : key.slice(type.name.length + 1);
  const bare = value.trim().toLowerCase();
  return bare === '' || rules.blocked.has(bare);
}

/** Whether `from` is the stronger of two keys, so that the person is to stay under it. */
export function isStrongerKey({ types }: Pick<IdentityRules, 'types'>, from: string, to: string): boolean {
  const rank = (key: string): number => {
    const type = keyTypeOf({ types }, key);
    return type === null ? -1 : types.indexOf(type);
  };
  const [own, other] = [rank(from), rank(to)];
  return own >= 0 && other >= 0 && own < other;
}

/** What of the limits a joining would break, or null. Of each key the type, undefined for none. */
export function keysBeyond(
  { types, keysMax }: Pick<IdentityRules, 'types' | 'keysMax'>,
  keyTypes: readonly (string | undefined)[],
): string | null {
  if (keyTypes.length > keysMax) return `a person may be joined from ${keysMax} keys at most`;
  for (const type of types) {
    const count = keyTypes.filter((one) => one === type.name).length;
    if (count > type.keysMax) return `a person may have ${type.keysMax} keys of the type ${type.name} at most`;
  }
  return null;
}
