/**
 * The thread of the webhooks: a sender for each tenant that has any, away from the shards and from the main thread, because
 * it reads the journal and speaks to machines that may be slow. It asks the main thread, which asks the shard, whether a person
 * may still be told of. Started by `webhook-keeper.ts` only where a catalog declares a webhook.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { epochMillis, scaleClock } from '../../workers/clock.ts';
import type { PersonAnswer } from '../../workers/person-look.ts';
import type { EndpointPorts } from './webhook-endpoint.ts';
import type { FromWebhooks, ToWebhooks, WebhookState, WebhookThreadData } from './webhook-messages.ts';
import { planWebhooks, type WebhookPlan } from './webhook-plan.ts';
import { closeConnections, postWebhook, readSecrets } from './webhook-request.ts';
import { WebhookSender } from './webhook-sender.ts';

const COUNTS_MILLIS = 1_000;
/** How old a secret may be that is read from a file. */
const SECRETS_MILLIS = 5_000;

if (parentPort === null) throw new Error('webhook-thread.ts runs as a worker thread only');
const main = parentPort;
const data = workerData as WebhookThreadData; // given by WebhookKeeper only
scaleClock(data.clock.timeScale, data.clock.sinceEpochMillis);

function tell(message: FromWebhooks): void {
  main.postMessage(message);
}

const asked = new Map<number, (answer: PersonAnswer | null) => void>();
let nextQuestion = 1;
const secretsRead = new Map<string, { readonly at: number; readonly secrets: readonly Uint8Array[] | string }>();

const ports: EndpointPorts = {
  now: epochMillis,
  after: (millis, call) => {
    const timer = setTimeout(call, millis);
    return () => clearTimeout(timer);
  },
  look: ({ tenant, traits }, { partition, low, high }) =>
    new Promise((resolve) => {
      const id = nextQuestion++;
      asked.set(id, resolve);
      tell({ kind: 'look', id, tenant, question: { partition, low, high, traits } });
    }),
  secrets: ({ secretName }) => {
    const known = secretsRead.get(secretName);
    const now = epochMillis();
    if (known !== undefined && now >= known.at && now - known.at < SECRETS_MILLIS) return known.secrets;
    const secrets = readSecrets(secretName, process.env);
    secretsRead.set(secretName, { at: now, secrets });
    return secrets;
  },
  post: ({ url, timeoutMillis }, id, body, secrets) =>
    postWebhook({
      ...{ url, id, body, secrets, timeoutMillis },
      nowEpochMillis: epochMillis(),
      isPrivateAllowed: data.isPrivateAllowed,
    }),
  log: (level, message, detail) => tell({ kind: 'log', level, message, detail }),
};

const senders = new Map<string, WebhookSender>();
let isStopping = false;
/** Only what the thread is born with is as old as the node's start. */
let isFirst = true;
/** Catalogs, and the stop, one after the other. */
let changes: Promise<void> = usePlans(planWebhooks(data.catalog));

async function usePlans(plans: readonly WebhookPlan[]): Promise<void> {
  const names = data.tenants.map(({ name }) => name);
  for (const { key, tenant } of plans)
    if (!names.includes(tenant)) ports.log('error', 'webhook: there is no such tenant', { webhook: key, tenant });
  for (const tenant of data.tenants) {
    const own = plans.filter((plan) => plan.tenant === tenant.name);
    const sender = senders.get(tenant.name);
    if (sender !== undefined) sender.usePlans(own);
    else if (own.length > 0 && !isStopping)
      senders.set(tenant.name, await WebhookSender.open(tenant, beginAt(), own, ports));
  }
}

function beginAt(): { workers: number; isFromStart: boolean } {
  return { workers: data.workers, isFromStart: data.isFromStart && isFirst };
}

function state(): WebhookState[] {
  return [...senders.values()].flatMap((sender) => sender.state());
}

async function stop(): Promise<void> {
  for (const answer of asked.values()) answer(null);
  asked.clear();
  await Promise.all([...senders.values()].map((sender) => sender.close()));
  closeConnections();
  clearInterval(counting);
  main.close();
}

const counting = setInterval(() => {
  // What the metrics show is counts; who was given up is asked for.
  tell({ kind: 'counts', webhooks: state().map((one) => ({ ...one, newestDead: [] })) });
}, COUNTS_MILLIS);

main.on('message', (message: ToWebhooks) => {
  switch (message.kind) {
    case 'looked':
      asked.get(message.id)?.(message.answer);
      asked.delete(message.id);
      return;
    case 'catalog':
      isFirst = false;
      changes = changes.then(() => usePlans(planWebhooks(message.catalog)));
      return;
    case 'state':
      tell({ kind: 'state', id: message.id, webhooks: state() });
      return;
    case 'resend': {
      const { id, tenant, webhook, delivery } = message;
      void Promise.resolve(senders.get(tenant)?.resend(webhook, delivery) ?? null).then(
        (count) => tell({ kind: 'resent', id, count }),
        (error: unknown) => {
          ports.log('error', 'webhook: the outbox cannot be written', { reason: (error as Error).message }); // a StoreError
          tell({ kind: 'resent', id, count: 0 });
        },
      );
      return;
    }
    case 'stop':
      isStopping = true;
      changes = changes.then(stop);
      return;
  }
});
