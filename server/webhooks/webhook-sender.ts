/**
 * The webhooks of one tenant: reads the journal as it grows, puts who entered and left which tag and stage into the outbox, and has
 * each endpoint send what is its own.
 *
 *   journal ─▸ transitions ─▸ outbox (one transaction with the place read up to) ─▸ endpoints
 *
 * Where an endpoint's backlog is full, its next deliveries are given up at once, so that one endpoint never holds up
 * another, or the journal. A journal trimmed before it was read is noticed and said.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import type { JournalBatch, JournalPosition } from '../../actors/store.ts';
import { personName } from '../../workers/audit/audit-record.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { forEachTransition, type StandingTransition } from './transitions.ts';
import { type EndpointPorts, PENDING_MAX, WebhookEndpoint } from './webhook-endpoint.ts';
import type { ShownDead, WebhookState, WebhookTenant } from './webhook-messages.ts';
import { type Delivery, WebhookOutbox } from './webhook-outbox.ts';
import { toldBy, type WebhookPlan } from './webhook-plan.ts';

/** Batches that are read, and put into the outbox, at a time. */
const BATCHES_A_STEP = 256;
const POLL_MILLIS = 100;
/** After a step that failed. */
const FAILED_MILLIS = 1_000;
const ERASED_MILLIS = 60_000;
const SHOWN_DEAD_MAX = 100;
const BACKLOG_FULL = `more than ${PENDING_MAX} deliveries wait`;

/** One step of reading. */
interface Step {
  readonly now: number;
  readonly taken: { delivery: Omit<Delivery, 'seq'>; died: string | null }[];
  /** By webhook, deliveries that wait. */
  readonly waiting: Map<string, number>;
  /** By webhook, those given up because too many do. */
  readonly full: Map<string, number>;
}

export class WebhookSender {
  readonly tenant: string;
  readonly #reader: JournalReader;
  readonly #outbox: WebhookOutbox;
  readonly #ports: EndpointPorts;
  readonly #endpoints = new Map<string, WebhookEndpoint>();
  #isClosed = false;
  #hasRead = false;
  #callOff: (() => void) | null = null;
  #callOffErased: (() => void) | null = null;
  #step: Promise<void> = Promise.resolve();

  /** @throws StoreError */
  static async open(
    { name, storePath, outboxPath, epoch }: WebhookTenant,
    begin: { readonly workers: number; readonly isFromStart: boolean },
    plans: readonly WebhookPlan[],
    ports: EndpointPorts,
  ): Promise<WebhookSender> {
    const reader = JournalReader.open(storePath);
    try {
      const outbox = await WebhookOutbox.open(outboxPath, ports.now(), () =>
        begin.isFromStart
          ? Array.from({ length: begin.workers }, (_, stream) => ({ epoch, stream, batch: 1 }))
          : reader.endOf(epoch, begin.workers),
      );
      return new WebhookSender(name, reader, outbox, plans, ports);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  private constructor(
    tenant: string,
    reader: JournalReader,
    outbox: WebhookOutbox,
    plans: readonly WebhookPlan[],
    ports: EndpointPorts,
  ) {
    this.tenant = tenant;
    this.#reader = reader;
    this.#outbox = outbox;
    this.#ports = ports;
    this.usePlans(plans);
    for (const delivery of [...outbox.pending.values()].sort((a, b) => a.seq - b.seq))
      this.#endpoints.get(delivery.webhook)?.add(delivery);
    this.#poll(0);
    this.#watchErased();
  }

  /** Another catalog. What waits for a webhook that is not declared any more is dropped. */
  usePlans(plans: readonly WebhookPlan[]): void {
    for (const plan of plans) {
      const known = this.#endpoints.get(plan.key);
      if (known === undefined) this.#endpoints.set(plan.key, new WebhookEndpoint(plan, this.#outbox, this.#ports));
      else known.usePlan(plan);
    }
    const keys = new Set(plans.map(({ key }) => key));
    for (const [key, endpoint] of this.#endpoints) {
      if (keys.has(key)) continue;
      endpoint.close();
      this.#endpoints.delete(key);
    }
    void this.#dropUndeclared().catch((error: unknown) => this.#tell(error));
  }

  state(): WebhookState[] {
    return [...this.#endpoints.values()].map((endpoint): WebhookState => {
      const { plan, counts, circuit, problem, pending } = endpoint;
      const { host, protocol, pathname } = new URL(plan.url);
      const dead = endpoint.deadOnes();
      const newestDead = dead.slice(-SHOWN_DEAD_MAX).reverse();
      return {
        webhook: plan.key,
        tenant: plan.tenant,
        url: `${protocol}//${host}${pathname}`,
        circuit,
        problem,
        pending,
        ...counts,
        kept: dead.length,
        newestDead: newestDead.map(
          ({ delivery: { id, high, low, told, atEpochMillis, tries }, reason, diedAtEpochMillis }): ShownDead => ({
            ...{ id, person: personName(high, low), told, atEpochMillis },
            ...{ tries, reason, diedAtEpochMillis },
          }),
        ),
      };
    });
  }

  /** How many; null where there is no such webhook. */
  async resend(webhook: string, delivery: string | null): Promise<number | null> {
    return (await this.#endpoints.get(webhook)?.resend(delivery)) ?? null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#callOff?.();
    this.#callOffErased?.();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    await this.#step;
    await this.#outbox.close();
    await this.#reader.close();
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  #poll(millis: number): void {
    if (this.#isClosed) return;
    this.#callOff = this.#ports.after(millis, () => {
      this.#step = this.#readAll().then(
        () => this.#poll(POLL_MILLIS),
        (error: unknown) => {
          this.#tell(error);
          this.#poll(FAILED_MILLIS);
        },
      );
    });
  }

  async #readAll(): Promise<void> {
    let hasMore = true;
    while (hasMore && !this.#isClosed) {
      hasMore = await this.#readSome();
      // Answers of endpoints and of people's owners come in between.
      await breathe();
    }
  }

  /** Whether there is more. */
  async #readSome(): Promise<boolean> {
    const now = this.#ports.now();
    const place = new JournalPlace(this.#outbox.positions);
    const step: Step = { now, taken: [], waiting: new Map(), full: new Map() };
    for (const [key, endpoint] of this.#endpoints) step.waiting.set(key, endpoint.pending);
    let batches = 0;
    let isTrimmed = false;
    for (const batch of this.#reader.read(place.positions)) {
      isTrimmed = place.pass(batch) || isTrimmed;
      forEachTransition(batch, (transition) => this.#take(transition, step));
      if (++batches === BATCHES_A_STEP) break;
    }
    if (batches === 0) return false;
    // Later a number may be missing for other reasons, such as a worker that was replaced.
    if (isTrimmed && !this.#hasRead)
      this.#ports.log(
        'error',
        'webhook: the journal was trimmed before it was read; who entered or left then is not told',
        {},
      );
    this.#hasRead = true;
    const pending = await this.#outbox.take(place.positions, step.taken, now);
    for (const delivery of pending) this.#endpoints.get(delivery.webhook)?.add(delivery);
    for (const [key, count] of step.full) {
      this.#endpoints.get(key)?.noteDead(count);
      await this.#endpoints.get(key)?.trimDead();
    }
    return batches === BATCHES_A_STEP;
  }

  #take(transition: StandingTransition, { now, taken, waiting, full }: Step): void {
    const { name, partition, low, high, atEpochMillis, stateSeq } = transition;
    for (const [webhook, { plan }] of this.#endpoints) {
      const told = toldBy(plan, transition);
      if (told === null) continue;
      const count = waiting.get(webhook) ?? 0;
      const isFull = count >= PENDING_MAX;
      if (isFull) full.set(webhook, (full.get(webhook) ?? 0) + 1);
      else waiting.set(webhook, count + 1);
      taken.push({
        delivery: {
          id: `msg_${this.#outbox.createdAtEpochMillis.toString(36)}_${name}_${webhook}`,
          ...{ webhook, told },
          ...{ partition, low, high, atEpochMillis, stateSeq },
          ...{ tries: 0, nextAtEpochMillis: now },
        },
        died: isFull ? BACKLOG_FULL : null,
      });
    }
  }

  // ── what must not stay ─────────────────────────────────────────────────────────────────────────

  async #dropUndeclared(): Promise<void> {
    for (const delivery of [...this.#outbox.pending.values()])
      if (!this.#endpoints.has(delivery.webhook)) await this.#outbox.remove(delivery);
    for (const dead of [...this.#outbox.dead.values()])
      if (!this.#endpoints.has(dead.delivery.webhook)) await this.#outbox.forget(dead);
  }

  #watchErased(): void {
    if (this.#isClosed) return;
    this.#callOffErased = this.#ports.after(ERASED_MILLIS, () => {
      const looked = [...this.#endpoints.values()].map((endpoint) => endpoint.forgetErased());
      void Promise.all(looked).then(
        () => this.#watchErased(),
        (error: unknown) => {
          this.#tell(error);
          this.#watchErased();
        },
      );
    });
  }

  #tell(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#ports.log('error', 'webhook: the journal or the outbox cannot be used; trying again', { reason });
  }
}

/** How far each stream of the newest start has been read: as `JournalReader.follow` keeps it. */
class JournalPlace {
  #epoch: number;
  readonly #next = new Map<number, number>();

  constructor(positions: readonly JournalPosition[]) {
    this.#epoch = Math.max(0, ...positions.map(({ epoch }) => epoch));
    for (const { epoch, stream, batch } of positions) if (epoch === this.#epoch) this.#next.set(stream, batch);
  }

  get positions(): JournalPosition[] {
    return [...this.#next].map(([stream, batch]) => ({ epoch: this.#epoch, stream, batch }));
  }

  /** Notes a batch as read, in the order of `JournalReader.read`. Whether some before it are missing. */
  pass({ epoch, stream, batch }: JournalBatch): boolean {
    if (epoch > this.#epoch) {
      this.#epoch = epoch;
      this.#next.clear();
    }
    const expected = this.#next.get(stream) ?? 1;
    this.#next.set(stream, batch + 1);
    return batch > expected;
  }
}
