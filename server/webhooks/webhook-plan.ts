/**
 * The webhooks of a catalog as the sender sees them: defaults filled in, durations in milliseconds, tags by the hash under
 * which they are journalled.
 */
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import { parseDurationMillis } from '../../workers/catalog/durations.ts';
import { DEFAULT_TENANT } from '../access/principal.ts';

export type Transition = 'entered' | 'left';

export interface WebhookPlan {
  readonly key: string;
  readonly url: string;
  /** Name of the secret in the environment, never the secret. */
  readonly secretName: string;
  /** Hash → tag. */
  readonly tags: ReadonlyMap<number, { readonly key: string; readonly family: string }>;
  readonly transitions: ReadonlySet<Transition>;
  readonly traits: readonly string[];
  readonly tenant: string;
  readonly timeoutMillis: number;
  /** First pause between two tries. */
  readonly retryMillis: number;
  readonly triesMax: number;
}

const DEFAULTS = { timeout: '10s', retryAfter: '1s', tries: 12 } as const;

/** @param source a catalog that was checked */
export function planWebhooks({ file }: CatalogSource): WebhookPlan[] {
  const declared = Object.entries(file.profile?.tags ?? {});
  return Object.entries(file.webhooks ?? {}).map(([key, webhook]): WebhookPlan => {
    const { url, secret, tags, transitions = ['entered', 'left'], traits = [], tenant = DEFAULT_TENANT } = webhook;
    const { timeout = DEFAULTS.timeout, retryAfter = DEFAULTS.retryAfter, tries = DEFAULTS.tries } = webhook;
    const wanted = declared.filter(([name]) => tags?.includes(name) ?? true);
    return {
      key,
      url,
      secretName: secret,
      tags: new Map(wanted.map(([name, { family }]) => [murmur3Text(name, 0), { key: name, family }])),
      transitions: new Set(transitions),
      traits,
      tenant,
      timeoutMillis: parseDurationMillis(timeout) ?? 0, // checked with the catalog
      retryMillis: parseDurationMillis(retryAfter) ?? 0, // likewise
      triesMax: tries,
    };
  });
}
