/** What the main thread and the thread of the webhooks say to each other. */
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import type { PersonAnswer, PersonQuestion } from '../../workers/person-look.ts';
import type { Circuit, EndpointCounts } from './webhook-endpoint.ts';
import type { Told } from './webhook-plan.ts';

/** Where one tenant's data lie. */
export interface WebhookTenant {
  readonly name: string;
  readonly storePath: string;
  readonly outboxPath: string;
  readonly epoch: number;
}

/** What the thread is born with. */
export interface WebhookThreadData {
  readonly tenants: readonly WebhookTenant[];
  /** Streams of the journal that this start writes. */
  readonly workers: number;
  readonly catalog: CatalogSource;
  /** Where there is no outbox yet: begin with this start of the node, and not with now. */
  readonly isFromStart: boolean;
  readonly isPrivateAllowed: boolean;
  readonly clock: { readonly timeScale: number; readonly sinceEpochMillis: number };
}

/** A delivery that was given up, as it is shown. */
export interface ShownDead {
  readonly id: string;
  readonly person: string;
  readonly told: Told;
  readonly atEpochMillis: number;
  readonly tries: number;
  readonly reason: string;
  readonly diedAtEpochMillis: number;
}

export interface WebhookState extends EndpointCounts {
  readonly webhook: string;
  readonly tenant: string;
  /** Without what may be a secret in it: scheme, host and path. */
  readonly url: string;
  readonly circuit: Circuit;
  /** Why nothing can be sent, or the last failure since a delivery was taken. */
  readonly problem: string | null;
  readonly pending: number;
  /** Given up and kept. */
  readonly kept: number;
  /** The newest of them, the newest first. */
  readonly newestDead: readonly ShownDead[];
}

export type ToWebhooks =
  | { readonly kind: 'catalog'; readonly catalog: CatalogSource }
  /** Null: nobody can say at the moment. */
  | { readonly kind: 'looked'; readonly id: number; readonly answer: PersonAnswer | null }
  | { readonly kind: 'state'; readonly id: number }
  /** `delivery` null: all that were given up. */
  | {
      readonly kind: 'resend';
      readonly id: number;
      readonly tenant: string;
      readonly webhook: string;
      readonly delivery: string | null;
    }
  | { readonly kind: 'stop' };

export type FromWebhooks =
  | { readonly kind: 'look'; readonly id: number; readonly tenant: string; readonly question: PersonQuestion }
  | { readonly kind: 'state'; readonly id: number; readonly webhooks: readonly WebhookState[] }
  /** Null: there is no such webhook. */
  | { readonly kind: 'resent'; readonly id: number; readonly count: number | null }
  /** Every second, for the metrics. */
  | { readonly kind: 'counts'; readonly webhooks: readonly WebhookState[] }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly message: string;
      readonly detail: Readonly<Record<string, string | number>>;
    };
