/**
 * The calls of the clients: what an action of the simulation asks of the node, about whom, and about which of the
 * decisions and messages that clients have heard of.
 */
import { textWords } from '../../actors/actor-runtime.ts';
import { type DecisionIdParts, parseDecisionId } from '../../actors/decision-id.ts';
import type { RequestBody } from '../../client/session.ts';
import type { DecideReply, DecideRequest } from '../../proto/messages.ts';
import { messageKey } from './journal-entry.ts';
import type { SimAction } from './sim-action.ts';
import type { Ask, SimAnswers } from './sim-answers.ts';
import { SIM_DEVICES } from './sim-catalog.ts';
import type { Person, SimChecker } from './sim-checker.ts';
import type { SimClient } from './sim-client.ts';
import type { SimRandom } from './sim-time.ts';

const REMEMBERED = 96;
const LAB_ASKS = 8;
const OUTCOMES = ['impression', 'impression', 'click', 'purchase', 'dismiss', 'conversion'] as const;
const CHANNELS = ['app', 'push', 'email'] as const;

interface KnownDecision {
  readonly person: Person;
  readonly decisionId: string;
  readonly decisionSeq: number;
  readonly sku: string | null;
}
interface KnownMessage {
  readonly person: Person;
  readonly messageId: string;
  readonly event: string;
}

/** Who calls, and who looks on. */
interface RequestParties {
  readonly clients: readonly SimClient[];
  readonly checker: SimChecker;
  readonly answers: SimAnswers;
}

export class SimRequests {
  readonly #world: RequestParties;
  readonly #decisions: KnownDecision[] = [];
  readonly #messages: KnownMessage[] = [];
  readonly #id: DecisionIdParts = { partition: 0, hashLow: 0, hashHigh: 0, decisionSeq: 0 };
  readonly #words = new Uint32Array(2);
  #nextMessage = 0;

  constructor(world: RequestParties) {
    this.#world = world;
  }

  make({ kind, random }: SimAction): void {
    const { clients, checker } = this.#world;
    const client = clients[random.below(clients.length)] as SimClient; // below length
    // A few people are asked about often: their caps and quotes are met. Others sleep.
    const { people } = checker;
    const person = people[Math.floor(random.fraction() ** 3 * people.length)] as Person; // below length
    switch (kind) {
      case 'decide':
        this.#call(client, [this.#decide(person, random)]);
        return;
      case 'lab':
        this.#call(
          client,
          Array.from({ length: LAB_ASKS }, () => this.#labDecide(person)),
        );
        return;
      case 'event':
        this.#outcome(client, random);
        return;
      case 'note': {
        const deviceId = random.chance(0.5) ? SIM_DEVICES[random.below(SIM_DEVICES.length)] : undefined;
        this.#track(client, person, 'view', deviceId === undefined ? {} : { properties: { deviceId } }, random);
        return;
      }
      case 'pipeline':
        for (let n = 2 + random.below(6); n > 0; n--) this.#track(client, person, 'view', {}, random);
        return;
      case 'repeat': {
        const message = this.#messages[random.below(this.#messages.length)];
        if (message !== undefined) this.#repeat(client, message);
        return;
      }
      case 'confirm':
      case 'release':
        this.#end(client, kind, random);
        return;
      case 'identify': {
        const body: RequestBody = { op: 'identify', profile: person.key, traits: { age: random.below(100) } };
        this.#call(client, [{ body, ask: this.#ask({ op: 'identify', person, isCommitted: true }) }]);
        return;
      }
      case 'alias': {
        // Visitors are named one day, mostly; now and then two who have a name are one.
        const other = people[random.below(people.length)] as Person; // below length
        const from = random.chance(0.8)
          ? (people[people.length - 1 - random.below(people.length / 2)] as Person)
          : person; // likewise
        const body: RequestBody = { op: 'alias', from: from.key, to: other.key };
        this.#call(client, [{ body, ask: this.#ask({ op: 'alias', person: from, other, isCommitted: false }) }]);
        return;
      }
      case 'profile': {
        const body: RequestBody = { op: 'profile', profile: person.key };
        this.#call(client, [{ body, ask: this.#ask({ op: 'profile', person, isCommitted: false }) }]);
        return;
      }
      case 'consent': {
        const channel = random.chance(0.3) ? undefined : (CHANNELS[random.below(3)] ?? 'app');
        const event = random.chance(0.4) ? 'unsubscribe' : 'subscribe';
        this.#track(client, person, event, channel === undefined ? {} : { properties: { channel } }, random, channel);
        return;
      }
      default:
    }
  }

  #ask(fields: Omit<Ask, 'step' | 'committedSeq' | 'refused'>): Ask {
    return this.#world.answers.ask(fields);
  }

  #decide(person: Person, random: SimRandom): { body: RequestBody; ask: Ask } {
    const isCommitted = random.chance(0.4);
    const isDryRun = random.chance(0.08);
    const fields: Omit<DecideRequest, 'id' | 'op'> = {
      profile: person.key,
      slot: random.chance(0.6) ? 'home' : 'inbox',
      count: 1 + random.below(3),
      durability: isCommitted ? 'committed' : 'applied',
      want: random.chance(0.5) ? ['action', 'price'] : ['action'],
      ...(random.chance(0.4) ? { sku: random.chance(0.5) ? 'mug' : 'tea' } : {}),
      ...(isDryRun ? { dryRun: true } : {}),
      ...(random.chance(0.05) ? { explain: true } : {}),
      ...(random.chance(0.1) ? { minStateSeq: person.committedSeq } : {}),
    };
    const ask = this.#ask({ op: 'decide', person, isCommitted: isCommitted && !isDryRun, isDryRun });
    return { body: { op: 'decide', ...fields }, ask };
  }

  #labDecide(person: Person): { body: RequestBody; ask: Ask } {
    const body: RequestBody = { op: 'decide', profile: person.key, slot: 'lab', count: 1, want: ['action'] };
    return { body, ask: this.#ask({ op: 'decide', person, isCommitted: false, isDryRun: false }) };
  }

  #call(client: SimClient, requests: readonly { body: RequestBody; ask: Ask }[]): void {
    client.call(requests, (reply, ask) => {
      if (ask.op !== 'decide' || ask.isDryRun === true) return;
      const { decisionId, actions, price } = reply as DecideReply;
      if (decisionId === null || (actions.length === 0 && price === undefined)) return;
      parseDecisionId(decisionId, this.#id);
      const { decisionSeq } = this.#id;
      // One that is part of another by now decides under that one's name.
      const person = this.#world.checker.personOf(this.#id.hashLow) ?? ask.person;
      remember(this.#decisions, { person, decisionId, decisionSeq, sku: price?.sku ?? null });
    });
  }

  #recent(random: SimRandom): KnownDecision | undefined {
    // Mostly one of the last.
    const back = Math.floor(random.fraction() * random.fraction() * this.#decisions.length);
    return this.#decisions[this.#decisions.length - 1 - back];
  }

  #outcome(client: SimClient, random: SimRandom): void {
    const decision = this.#recent(random);
    if (decision === undefined) return;
    const event = OUTCOMES[random.below(OUTCOMES.length)] ?? 'impression';
    const { sku } = decision;
    const items =
      event === 'purchase' && sku !== null
        ? { properties: { revenueMinor: 1_000, items: [{ sku, quantity: 1 }] } }
        : {};
    this.#track(client, decision.person, event, { decisionId: decision.decisionId, ...items }, random);
  }

  #track(
    client: SimClient,
    person: Person,
    event: string,
    more: { decisionId?: string; properties?: { [key: string]: never } | object },
    random: SimRandom,
    channel?: string,
  ): void {
    const messageId = `m${this.#nextMessage++}`;
    const isCommitted = !random.chance(0.15);
    const ask = this.#ask({
      op: 'track',
      person,
      isCommitted,
      message: this.#keyOf(messageId),
      event,
      ...(channel === undefined ? {} : { channel }),
    });
    client.track(
      {
        op: 'track',
        profile: person.key,
        event,
        messageId,
        durability: isCommitted ? 'committed' : 'applied',
        ...more,
      } as Parameters<SimClient['track']>[0], // `more` holds fields of a track only
      ask,
    );
    if (event === 'view') remember(this.#messages, { person, messageId, event });
  }

  /** The caller's own repetition, over whichever connection: it must not count again. */
  #repeat(client: SimClient, { person, messageId, event }: KnownMessage): void {
    const ask = this.#ask({ op: 'track', person, isCommitted: true, message: this.#keyOf(messageId), event });
    client.call([{ body: { op: 'track', profile: person.key, event, messageId }, ask }], () => {});
  }

  #end(client: SimClient, op: 'confirm' | 'release', random: SimRandom): void {
    const decision = this.#recent(random);
    if (decision === undefined) return;
    const { person, decisionId, decisionSeq } = decision;
    this.#call(client, [{ body: { op, decisionId }, ask: this.#ask({ op, person, isCommitted: true, decisionSeq }) }]);
  }

  #keyOf(messageId: string): number {
    textWords(messageId, this.#words);
    return messageKey(this.#words[0] as number, this.#words[1] as number);
  }
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > REMEMBERED) list.shift();
}
