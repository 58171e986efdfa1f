/**
 * What came in by whatever door (Segment's calls, CloudEvents, plain JSON; a stream's connector one day), in one
 * shape, and what became of it. A door only translates; `EventIntake` sends it to the person's actor, says how it
 * ended and counts it by source, so that every door has the same durability, de-duplication, cleaning and refusals.
 */
import type { Door } from '../../actors/dead-letters.ts';
import type { Plain, Properties } from '../../proto/messages.ts';
import { FAULT, type Retry, type Status } from '../../proto/statuses.ts';
import type { Asker, GatewayReply, ShardGateway } from './shard-gateway.ts';

/** One thing to do. An event of a door may be several: who logs in is first joined and then described. */
export type IncomingEvent =
  | {
      readonly op: 'track';
      readonly profile: string;
      readonly event: string;
      readonly messageId?: string;
      readonly atEpochMillis?: number;
      readonly decisionId?: string;
      readonly quoteId?: string;
      readonly properties?: Properties;
    }
  | { readonly op: 'identify'; readonly profile: string; readonly traits: Properties }
  | { readonly op: 'alias'; readonly from: string; readonly to: string };

/** Why a door cannot make anything of an event: what, where, the bound. */
export interface Unreadable {
  readonly problem: string;
}

/** Whose format an event came in. A stream's connector adds its own. */
const SOURCES = ['segment', 'cloudevents', 'json'] as const satisfies readonly Door[];
export type Source = (typeof SOURCES)[number];

const OUTCOMES = ['accepted', 'duplicate', 'refused', 'later'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What became of one event of a door. */
export interface Fate {
  readonly messageId: string | null;
  readonly outcome: Outcome;
  readonly status?: Status;
  readonly code?: number;
  readonly message?: string;
  readonly retry?: Retry;
  readonly retryAfterMillis?: number;
  /** Traits, or the joining of two keys, that were left out, each with the reason; the others were taken. */
  readonly dropped?: readonly string[];
}

export class EventIntake {
  readonly #gateway: ShardGateway;
  readonly #counts = new Float64Array(SOURCES.length * OUTCOMES.length);
  /** By person: the newest event that is under way and may need more than one request. */
  readonly #underWay = new Map<string, Promise<Fate>>();

  constructor(gateway: ShardGateway) {
    this.#gateway = gateway;
  }

  /**
   * Does everything one event of a door asks for, in order, and stops at the first that fails; but where two keys may
   * not be joined for good, what is told of the person is taken all the same. Resolves when it is on disk, or refused;
   * never rejects.
   */
  async take(source: Source, asker: Asker, messageId: string | null, parts: readonly IncomingEvent[]): Promise<Fate> {
    const fate = await this.#inOrder(asker, messageId, parts);
    this.#count(source, fate.outcome);
    return fate;
  }

  /** An event that its door could not read. */
  refuse(source: Source, messageId: string | null, { problem }: Unreadable): Fate {
    this.#count(source, 'refused');
    const { status, code, retry } = FAULT.invalidField;
    return { messageId, outcome: 'refused', status, code, message: problem, retry };
  }

  /** An event in the wire protocol's own shape, whose door answers with the wire's reply. */
  async ask(source: Source, asker: Asker, message: Properties): Promise<GatewayReply> {
    const reply = await this.#gateway.ask(asker, message);
    this.#count(source, reply.ok ? (isRepeated(reply) ? 'duplicate' : 'accepted') : outcomeOf(reply));
    return reply;
  }

  /** What came in since the node started, by source and outcome. */
  forEachCount(visit: (source: Source, outcome: Outcome, count: number) => void): void {
    for (const [i, source] of SOURCES.entries())
      for (const [j, outcome] of OUTCOMES.entries())
        visit(source, outcome, this.#counts[i * OUTCOMES.length + j] as number); // within its length
  }

  #count(source: Source, outcome: Outcome): void {
    const cell = SOURCES.indexOf(source) * OUTCOMES.length + OUTCOMES.indexOf(outcome);
    this.#counts[cell] = (this.#counts[cell] as number) + 1; // within its length
  }

  /**
   * What is told of somebody behind the joining of their keys would be overtaken by what came after it about the same
   * person, so that waits. Events that are one request each are kept in order by the actor and wait for nothing here.
   */
  #inOrder(asker: Asker, messageId: string | null, parts: readonly IncomingEvent[]): Promise<Fate> {
    const last = parts.at(-1);
    const person = last === undefined ? '' : last.op === 'alias' ? last.to : last.profile;
    const key = `${asker.tenant} ${person}`;
    const before = this.#underWay.get(key);
    const fate =
      before === undefined
        ? this.#takeParts(asker, messageId, parts)
        : before.then(() => this.#takeParts(asker, messageId, parts));
    if (before === undefined && parts.length < 2) return fate;
    this.#underWay.set(key, fate);
    return fate.then((settled) => {
      if (this.#underWay.get(key) === fate) this.#underWay.delete(key);
      return settled;
    });
  }

  async #takeParts(asker: Asker, messageId: string | null, parts: readonly IncomingEvent[]): Promise<Fate> {
    let isDuplicate = false;
    const dropped: string[] = [];
    for (const [i, part] of parts.entries()) {
      const reply = await this.#gateway.ask(asker, part);
      if (!reply.ok) {
        if (part.op === 'alias' && reply.retry === 'never' && i < parts.length - 1) {
          dropped.push(`alias: ${reply.message}`);
          continue;
        }
        return { ...failed(messageId, reply), ...(dropped.length > 0 ? { dropped } : {}) };
      }
      isDuplicate = isRepeated(reply);
      for (const reason of droppedIn(reply)) dropped.push(reason.replace('identify.', ''));
    }
    return { messageId, outcome: isDuplicate ? 'duplicate' : 'accepted', ...(dropped.length > 0 ? { dropped } : {}) };
  }
}

function isRepeated(reply: GatewayReply): boolean {
  return (reply as { duplicate?: Plain }).duplicate === true; // of track only
}

function droppedIn(reply: GatewayReply): readonly string[] {
  return (reply as { dropped?: readonly string[] }).dropped ?? []; // of identify by Segment's door only
}

function outcomeOf({ retry }: { readonly retry: Retry }): Outcome {
  return retry === 'never' ? 'refused' : 'later';
}

function failed(messageId: string | null, reply: GatewayReply & { readonly ok: false }): Fate {
  const { status, code, message, retry, retryAfterMillis } = reply;
  return {
    messageId,
    outcome: outcomeOf(reply),
    status,
    code,
    message,
    retry,
    ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }),
  };
}
