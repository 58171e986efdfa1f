/**
 * The main thread's side of the webhooks: starts their thread when a catalog first declares one, hands it each catalog, carries
 * its questions about people to the shards, and replaces it when it fails. A node whose catalog has no webhook has no such
 * thread. Called by `node.ts` and, for the state and for sending again, by `http/webhook-routes.ts`.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import type { PersonAnswer, PersonQuestion } from '../../workers/person-look.ts';
import type { Log } from '../log.ts';
import { ownersOf } from '../shard-map.ts';
import type { FromWebhooks, ToWebhooks, WebhookState, WebhookThreadData } from './webhook-messages.ts';

const THREAD_FILE = fileURLToPath(new URL('./webhook-thread.js', import.meta.url));
const RESTART_MILLIS = 2_000;
const STOP_MILLIS = 5_000;

export interface WebhookKeeperOptions {
  readonly log: Log;
  readonly shards: number;
  /** What the thread is born with; asked at each start of it. */
  threadData(catalog: CatalogSource, isFromStart: boolean): WebhookThreadData;
  /** Hands a question to the shard, if it serves; false where it does not. */
  ask(shard: number, id: number, tenant: string, question: PersonQuestion): boolean;
}

export class WebhookKeeper {
  readonly #options: WebhookKeeperOptions;
  readonly #owners: Uint8Array;
  #catalog: CatalogSource | null = null;
  #worker: Worker | null = null;
  #restart: NodeJS.Timeout | undefined;
  #isStopping = false;
  /** Questions under way, by number: which shard has them. */
  readonly #asked = new Map<number, number>();
  readonly #waiting = new Map<number, (message: FromWebhooks | null) => void>();
  #nextId = 1;
  #counts: readonly WebhookState[] = [];
  #startedMillis = 0;

  constructor(options: WebhookKeeperOptions) {
    this.#options = options;
    this.#owners = ownersOf(options.shards);
  }

  /** Another catalog, or the first: call when the shards serve. */
  useCatalog(catalog: CatalogSource): void {
    // Declared in the first catalog, so of everything since the node serves; later, from when it is declared.
    const isFromStart = this.#catalog === null;
    this.#catalog = catalog;
    if (this.#worker !== null) this.#tell({ kind: 'catalog', catalog });
    else this.#start(isFromStart);
  }

  /** As of a second ago at most; empty where there is no webhook. */
  get counts(): readonly WebhookState[] {
    return this.#counts;
  }

  /** Null where the thread cannot say. */
  async state(): Promise<readonly WebhookState[] | null> {
    if (this.#worker === null) return this.#hasWebhooks ? null : [];
    const message = await this.#question((id) => ({ kind: 'state', id }));
    return message?.kind === 'state' ? message.webhooks : null;
  }

  /** How many are sent again, null where there is no such webhook. */
  async resend(tenant: string, webhook: string, delivery: string | null): Promise<number | null> {
    if (this.#worker === null) return null;
    const message = await this.#question((id) => ({ kind: 'resend', id, tenant, webhook, delivery }));
    return message?.kind === 'resent' ? message.count : null;
  }

  /** A shard says what it knows. */
  looked(id: number, answer: PersonAnswer | null): void {
    if (this.#asked.delete(id)) this.#tell({ kind: 'looked', id, answer });
  }

  /** A shard is gone: what it was asked it will not answer. */
  shardGone(shard: number): void {
    for (const [id, asked] of [...this.#asked]) if (asked === shard) this.looked(id, null);
  }

  /** Resolves when the thread has closed its outbox. What was not sent is sent after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === null) return;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    for (const id of [...this.#asked.keys()]) this.looked(id, null);
    this.#tell({ kind: 'stop' });
    const late = setTimeout(() => void worker.terminate(), STOP_MILLIS);
    await ended;
    clearTimeout(late);
  }

  get #hasWebhooks(): boolean {
    return Object.keys(this.#catalog?.file.webhooks ?? {}).length > 0;
  }

  #start(isFromStart: boolean): void {
    clearTimeout(this.#restart);
    if (this.#catalog === null || !this.#hasWebhooks || this.#isStopping) return;
    const worker = new Worker(THREAD_FILE, {
      workerData: this.#options.threadData(this.#catalog, isFromStart),
      name: 'webhooks',
    });
    this.#worker = worker;
    this.#startedMillis = monotonicMillis();
    worker.on('message', (message: FromWebhooks) => this.#onMessage(message));
    worker.on('error', (error) =>
      this.#options.log.error({ reason: error.message }, 'the thread of the webhooks failed'),
    );
    worker.on('exit', () => this.#onExit());
  }

  #onExit(): void {
    this.#worker = null;
    this.#counts = [];
    this.#asked.clear();
    for (const settle of this.#waiting.values()) settle(null);
    this.#waiting.clear();
    if (this.#isStopping) return;
    const lived = monotonicMillis() - this.#startedMillis;
    this.#restart = setTimeout(() => this.#start(false), Math.max(0, RESTART_MILLIS - lived));
  }

  #onMessage(message: FromWebhooks): void {
    const { log } = this.#options;
    switch (message.kind) {
      case 'look':
        this.#ask(message.id, message.tenant, message.question);
        return;
      case 'counts':
        this.#counts = message.webhooks;
        return;
      case 'log':
        log[message.level](message.detail, message.message);
        return;
      default:
        this.#waiting.get(message.id)?.(message);
        this.#waiting.delete(message.id);
    }
  }

  #ask(id: number, tenant: string, question: PersonQuestion): void {
    const shard = this.#owners[question.partition] as number; // partitions are bytes
    this.#asked.set(id, shard);
    if (!this.#options.ask(shard, id, tenant, question)) this.looked(id, null);
  }

  #question(message: (id: number) => ToWebhooks): Promise<FromWebhooks | null> {
    return new Promise((resolve) => {
      const id = this.#nextId++;
      this.#waiting.set(id, resolve);
      this.#tell(message(id));
    });
  }

  #tell(message: ToWebhooks): void {
    this.#worker?.postMessage(message);
  }
}
