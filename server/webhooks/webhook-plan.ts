/**
 * The webhooks of a catalog as the sender sees them: defaults filled in, durations in milliseconds, tags and stages by
 * the hash under which they are journalled; and what each tells of a transition.
 */
import { LEFT_AMOUNT } from '../../decision/journey.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import { parseDurationMillis } from '../../workers/catalog/durations.ts';
import { DEFAULT_TENANT } from '../access/principal.ts';
import type { StandingTransition } from './transitions.ts';

export type Transition = 'entered' | 'left';

/** What a message says: its `type`, and the fields of `data` that are the tag's or stage's. */
export interface Told {
  readonly type: string;
  readonly about: Readonly<Record<string, string | null>>;
}

export interface WebhookPlan {
  readonly key: string;
  readonly url: string;
  /** Name of the secret in the environment, never the secret. */
  readonly secretName: string;
  /** Hash → tag. */
  readonly tags: ReadonlyMap<number, { readonly key: string; readonly family: string }>;
  /** Hash → journey, with its stages by hash. */
  readonly journeys: ReadonlyMap<number, { readonly key: string; readonly stages: ReadonlyMap<number, string> }>;
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
    const {
      url,
      secret,
      tags,
      journeys,
      transitions = ['entered', 'left'],
      traits = [],
      tenant = DEFAULT_TENANT,
    } = webhook;
    const { timeout = DEFAULTS.timeout, retryAfter = DEFAULTS.retryAfter, tries = DEFAULTS.tries } = webhook;
    // Who names neither is told of all.
    const isAll = tags === undefined && journeys === undefined;
    const wanted = declared.filter(([name]) => tags?.includes(name) ?? isAll);
    const followed = Object.entries(file.journeys ?? {}).filter(([name]) => journeys?.includes(name) ?? isAll);
    return {
      key,
      url,
      secretName: secret,
      tags: new Map(wanted.map(([name, { family }]) => [murmur3Text(name, 0), { key: name, family }])),
      journeys: new Map(
        followed.map(([name, { stages }]) => [
          murmur3Text(name, 0),
          { key: name, stages: new Map(Object.keys(stages).map((stage) => [murmur3Text(stage, 0), stage])) },
        ]),
      ),
      transitions: new Set(transitions),
      traits,
      tenant,
      timeoutMillis: parseDurationMillis(timeout) ?? 0, // checked with the catalog
      retryMillis: parseDurationMillis(retryAfter) ?? 0, // likewise
      triesMax: tries,
    };
  });
}

/** What the webhook tells of a transition, or null where it is told of no such. */
export function toldBy(plan: WebhookPlan, { kind, subject, isSet, amount }: StandingTransition): Told | null {
  if (kind === 'tag') {
    const tag = plan.tags.get(subject);
    const transition = isSet ? 'entered' : 'left';
    if (tag === undefined || !plan.transitions.has(transition)) return null;
    return { type: `tag.${transition}`, about: { tag: tag.key, family: tag.family } };
  }
  const journey = plan.journeys.get(subject);
  if (journey === undefined || !isSet) return null;
  const { key, stages } = journey;
  if (amount === LEFT_AMOUNT)
    return plan.transitions.has('left') ? { type: 'journey.left', about: { journey: key } } : null;
  const stage = stages.get(amount);
  if (stage === undefined || !plan.transitions.has('entered')) return null;
  return { type: 'stage.entered', about: { journey: key, stage } };
}
