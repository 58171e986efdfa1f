/**
 * Sends one webhook's deliveries: some people at a time, one delivery of each person after the other, so that a person's
 * changes arrive in their order; what fails is tried again with growing pauses and given up after so many tries.
 *
 *   add ─▸ the person's queue ─▸ [owner asked: may it be sent? with which traits?] ─▸ POST ─┬─▸ taken: removed
 *              ▲                                                                           ├─▸ failed: a pause, then again
 *              └──────────────────────────── pause ◀───────────────────────────────────────┘   or given up
 *
 * A circuit: after FAILURES_MAX failures in a row nothing is sent but one delivery now and then, until one is taken, so that
 * an endpoint that is down is not flooded and its deliveries do not use up their tries. A pause it asks for holds for all of
 * them. Before each try the person's owner is asked, so that nothing is sent of somebody who restricted their data,
 * refused sharing or was erased meanwhile. Ordered as far as tries allow: a delivery given up is overtaken.
 */
import { murmur3Text } from '../../proto/murmur3.ts';
import { personName } from '../../workers/audit/audit-record.ts';
import type { PersonAnswer } from '../../workers/person-look.ts';
import type { PersonAddress } from './transitions.ts';
import type { DeadDelivery, Delivery, WebhookOutbox } from './webhook-outbox.ts';
import type { WebhookPlan } from './webhook-plan.ts';
import type { Outcome } from './webhook-request.ts';

/** People whose deliveries are under way at a time. */
const AT_ONCE_MAX = 8;
const FAILURES_MAX = 5;
const CIRCUIT_MILLIS_MIN = 1_000;
const CIRCUIT_MILLIS_MAX = 60_000;
const PAUSE_MILLIS_MAX = 600_000;
/** While the person's owner cannot be asked. */
const UNASKED_MILLIS = 500;
/** While there is no secret. */
const PROBLEM_MILLIS = 5_000;
/** Keys joined to one another, which a question follows. */
const HOPS_MAX = 8;
/** Deliveries that wait; the next is given up at once. */
export const PENDING_MAX = 10_000;
/** Given up and kept; the oldest gives way. */
const DEAD_MAX = 1_000;

/** What the endpoint needs of its surroundings. */
export interface EndpointPorts {
  now(): number;
  /** Calls back once, after so long; returns what calls that off. */
  after(millis: number, call: () => void): () => void;
  /** Asks the person's owner; null while that cannot be reached. */
  look(plan: WebhookPlan, person: PersonAddress): Promise<PersonAnswer | null>;
  /** What the messages are signed with, or why there is nothing. */
  secrets(plan: WebhookPlan): readonly Uint8Array[] | string;
  post(plan: WebhookPlan, id: string, body: string, secrets: readonly Uint8Array[]): Promise<Outcome>;
  /** Told to the operator; never content. */
  log(level: 'info' | 'warn' | 'error', message: string, detail: Readonly<Record<string, string | number>>): void;
}

/** Since the start of the node. */
export interface EndpointCounts {
  delivered: number;
  /** Tries that failed. */
  failed: number;
  /** Of people who restricted their data, refused sharing, or are gone. */
  skipped: number;
  /** Given up. */
  dead: number;
  /** Given up, and pushed out of what is kept of such. */
  lost: number;
}

export type Circuit = 'closed' | 'open' | 'probing';

interface Chain {
  readonly key: string;
  readonly deliveries: Delivery[];
  callOff: (() => void) | null;
}

export class WebhookEndpoint {
  readonly counts: EndpointCounts = { delivered: 0, failed: 0, skipped: 0, dead: 0, lost: 0 };
  readonly #outbox: WebhookOutbox;
  readonly #ports: EndpointPorts;
  #plan: WebhookPlan;
  readonly #chains = new Map<string, Chain>();
  /** Whose first delivery may be tried now. */
  #ready: Chain[] = [];
  #underWay = 0;
  #failures = 0;
  #circuit: Circuit = 'closed';
  #circuitMillis = CIRCUIT_MILLIS_MIN;
  /** Nothing is sent before. */
  #pausedUntil = 0;
  #callOff: (() => void) | null = null;
  #isClosed = false;
  /** Why nothing can be sent, or the last failure; null when the last try was taken. */
  problem: string | null = null;

  constructor(plan: WebhookPlan, outbox: WebhookOutbox, ports: EndpointPorts) {
    this.#plan = plan;
    this.#outbox = outbox;
    this.#ports = ports;
  }

  get plan(): WebhookPlan {
    return this.#plan;
  }
  get circuit(): Circuit {
    return this.#circuit;
  }
  get pending(): number {
    let count = 0;
    for (const { deliveries } of this.#chains.values()) count += deliveries.length;
    return count;
  }

  /** Another catalog. What waits is sent by the new plan, at once if the address is another. */
  usePlan(plan: WebhookPlan): void {
    const isOther = plan.url !== this.#plan.url || plan.secretName !== this.#plan.secretName;
    this.#plan = plan;
    if (!isOther) return;
    this.#reset();
    this.#pausedUntil = 0;
    this.#pump();
  }

  /** Behind the person's others. */
  add(delivery: Delivery): void {
    const key = `${delivery.partition}/${delivery.high}/${delivery.low}`;
    let chain = this.#chains.get(key);
    if (chain === undefined) {
      chain = { key, deliveries: [], callOff: null };
      this.#chains.set(key, chain);
    }
    chain.deliveries.push(delivery);
    if (chain.deliveries.length === 1) this.#schedule(chain);
  }

  /** Sends nothing more; what is under way ends by itself and is kept as it was. */
  close(): void {
    this.#isClosed = true;
    this.#callOff?.();
    for (const chain of this.#chains.values()) chain.callOff?.();
  }

  #schedule(chain: Chain): void {
    const [first] = chain.deliveries;
    if (first === undefined) {
      this.#chains.delete(chain.key);
      return;
    }
    const wait = first.nextAtEpochMillis - this.#ports.now();
    if (wait <= 0) {
      this.#ready.push(chain);
      this.#pump();
      return;
    }
    chain.callOff = this.#ports.after(wait, () => {
      chain.callOff = null;
      this.#ready.push(chain);
      this.#pump();
    });
  }

  /** Begins what may begin. */
  #pump(): void {
    if (this.#isClosed) return;
    const wait = this.#pausedUntil - this.#ports.now();
    if (wait > 0) {
      this.#callOff ??= this.#ports.after(wait, () => {
        this.#callOff = null;
        this.#pump();
      });
      return;
    }
    if (this.#circuit === 'open') this.#circuit = 'probing';
    const most = this.#circuit === 'closed' ? AT_ONCE_MAX : 1;
    while (this.#underWay < most) {
      const chain = this.#ready.shift();
      if (chain === undefined) return;
      this.#underWay++;
      void this.#run(chain).finally(() => {
        this.#underWay--;
        if (this.#isClosed) return;
        this.#schedule(chain);
        this.#pump();
      });
    }
  }

  /** One try of the first of a person's deliveries. Never rejects. */
  async #run(chain: Chain): Promise<void> {
    const delivery = chain.deliveries[0] as Delivery; // what is ready has one
    const plan = this.#plan;
    const secrets = this.#ports.secrets(plan);
    if (typeof secrets === 'string') {
      this.#tellProblem(secrets);
      this.#pausedUntil = this.#ports.now() + PROBLEM_MILLIS;
      return;
    }
    const found = await this.#find(delivery);
    if (this.#isClosed) return;
    if (found === null) {
      delivery.nextAtEpochMillis = this.#ports.now() + UNASKED_MILLIS;
      return;
    }
    if (found.answer.kind !== 'known') {
      this.counts.skipped++;
      chain.deliveries.shift();
      await this.#written(this.#outbox.remove(delivery));
      return;
    }
    const body = bodyOf(delivery, found.person, found.answer.traits, plan);
    const outcome = await this.#ports.post(plan, delivery.id, body, secrets);
    if (this.#isClosed) return;
    if (outcome.kind === 'delivered') {
      this.counts.delivered++;
      this.#close();
      chain.deliveries.shift();
      await this.#written(this.#outbox.remove(delivery));
    } else await this.#fail(chain, delivery, outcome);
  }

  async #fail(chain: Chain, delivery: Delivery, outcome: Extract<Outcome, { kind: 'failed' }>): Promise<void> {
    const now = this.#ports.now();
    const { triesMax, retryMillis } = this.#plan;
    this.counts.failed++;
    delivery.tries++;
    this.#open(outcome, now);
    if (delivery.tries >= triesMax || outcome.isFinal) {
      chain.deliveries.shift();
      await this.bury(delivery, outcome.reason);
      return;
    }
    const pause = Math.min(PAUSE_MILLIS_MAX, retryMillis * 2 ** (delivery.tries - 1));
    delivery.nextAtEpochMillis =
      now + Math.max(jittered(pause, `${delivery.id} ${delivery.tries}`), outcome.retryAfterMillis ?? 0);
    await this.#written(this.#outbox.keep(delivery));
  }

  /** Gives a delivery up, and keeps it to be looked at. */
  async bury(delivery: Delivery, reason: string): Promise<void> {
    await this.#written(this.#outbox.bury(delivery, reason, this.#ports.now()));
    this.noteDead(1);
    await this.trimDead();
  }

  noteDead(count: number): void {
    if (count === 0) return;
    this.counts.dead += count;
    this.#ports.log('warn', 'webhook: deliveries were given up', { webhook: this.#plan.key, count });
  }

  /** The oldest give way. */
  async trimDead(): Promise<void> {
    const dead = this.deadOnes();
    for (const one of dead.slice(0, Math.max(0, dead.length - DEAD_MAX))) {
      this.counts.lost++;
      await this.#written(this.#outbox.forget(one));
    }
  }

  /** Given up, the oldest first. */
  deadOnes(): DeadDelivery[] {
    return [...this.#outbox.dead.values()].filter(({ delivery }) => delivery.webhook === this.#plan.key);
  }

  /** Sends those that were given up again, or one of them, behind what waits; how many. */
  async resend(id: string | null): Promise<number> {
    const found = this.deadOnes().filter(({ delivery }) => id === null || delivery.id === id);
    const room = found.slice(0, Math.max(0, PENDING_MAX - this.pending));
    for (const dead of room) this.add(await this.#outbox.revive(dead, this.#ports.now()));
    return room.length;
  }

  /** Of those that were given up, forgets whose person is gone: nothing is kept of who was erased. */
  async forgetErased(): Promise<void> {
    for (const dead of this.deadOnes()) {
      const found = await this.#find(dead.delivery);
      if (found?.answer.kind === 'gone') await this.#written(this.#outbox.forget(dead));
    }
  }

  // ── the circuit ────────────────────────────────────────────────────────────────────────────────

  #open({ reason, retryAfterMillis }: Extract<Outcome, { kind: 'failed' }>, now: number): void {
    this.#failures++;
    this.problem = reason;
    if (retryAfterMillis !== null) this.#pausedUntil = Math.max(this.#pausedUntil, now + retryAfterMillis);
    // Others that were under way when it opened make it no worse.
    if (this.#circuit === 'open' || (this.#circuit === 'closed' && this.#failures < FAILURES_MAX)) return;
    if (this.#circuit === 'closed') {
      const detail = { webhook: this.#plan.key, reason };
      this.#ports.log('warn', 'webhook: its endpoint fails, and is tried only now and then', detail);
    }
    this.#circuit = 'open';
    this.#pausedUntil = Math.max(this.#pausedUntil, now + jittered(this.#circuitMillis, `${this.#plan.key} ${now}`));
    this.#circuitMillis = Math.min(CIRCUIT_MILLIS_MAX, 2 * this.#circuitMillis);
  }

  #close(): void {
    if (this.#circuit !== 'closed')
      this.#ports.log('info', 'webhook: its endpoint answers again', { webhook: this.#plan.key });
    this.#reset();
  }

  #reset(): void {
    this.#circuit = 'closed';
    this.#circuitMillis = CIRCUIT_MILLIS_MIN;
    this.#failures = 0;
    this.problem = null;
  }

  #tellProblem(problem: string): void {
    if (this.problem !== problem)
      this.#ports.log('error', 'webhook: nothing can be sent', { webhook: this.#plan.key, problem });
    this.problem = problem;
  }

  /** The person as their owner knows them now, under whichever key they were joined to; null while nobody can say. */
  async #find(delivery: PersonAddress): Promise<{ person: PersonAddress; answer: PersonAnswer } | null> {
    let person = delivery;
    for (let hops = 0; hops < HOPS_MAX; hops++) {
      const answer = await this.#ports.look(this.#plan, person);
      if (answer === null) return null;
      if (answer.kind !== 'moved') return { person, answer };
      person = answer.to;
    }
    return null;
  }

  /** After a write that failed memory is right and the disk is behind: a restart sends again, which is what is promised. */
  async #written(write: Promise<void>): Promise<void> {
    try {
      await write;
    } catch (error) {
      this.#ports.log('error', 'webhook: the outbox cannot be written', { reason: (error as Error).message });
    }
  }
}

/** Half to all of a pause, by a hash: many that failed together do not come back together, and a test can tell when. */
function jittered(millis: number, name: string): number {
  return Math.round(millis * (0.5 + murmur3Text(name, 0) / 2 ** 33));
}

function bodyOf(
  delivery: Delivery,
  person: PersonAddress,
  traits: Readonly<Record<string, string | number | boolean>>,
  plan: WebhookPlan,
): string {
  const { told, atEpochMillis, stateSeq } = delivery;
  return JSON.stringify({
    type: told.type,
    timestamp: new Date(atEpochMillis).toISOString(),
    data: {
      person: personName(person.high, person.low),
      ...told.about,
      atEpochMillis,
      stateSeq,
      ...(plan.traits.length === 0 ? {} : { traits }),
    },
  });
}
