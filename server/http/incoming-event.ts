/**
 * What came in by whatever door (Segment's calls, CloudEvents, plain JSON; a stream's connector one day), in one
 * shape, and what became of it. A door only translates; `EventIntake` sends it to the person's actor and says how it
 * ended, so that every door has the same durability, de-duplication, cleaning and refusals.
 */
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

export type Outcome = 'accepted' | 'duplicate' | 'refused' | 'later';

/** What became of one event of a door. */
export interface Fate {
  readonly messageId: string | null;
  readonly outcome: Outcome;
  readonly status?: Status;
  readonly code?: number;
  readonly message?: string;
  readonly retry?: Retry;
  readonly retryAfterMillis?: number;
  /** Traits that were left out, each with the reason; the others were taken. */
  readonly dropped?: readonly string[];
}

/** One bad trait costs itself only; with more than so many the whole is refused. */
const DROPPED_MAX = 32;
const TRAIT = /^identify\.traits\.(.+?):/;

export class EventIntake {
  readonly #gateway: ShardGateway;

  constructor(gateway: ShardGateway) {
    this.#gateway = gateway;
  }

  /**
   * Does everything one event of a door asks for, in order, and stops at the first that fails. Resolves when it is
   * on disk, or refused; never rejects.
   */
  async take(asker: Asker, messageId: string | null, parts: readonly IncomingEvent[]): Promise<Fate> {
    let isDuplicate = false;
    const dropped: string[] = [];
    for (const part of parts) {
      const reply =
        part.op === 'identify' ? await this.#identify(asker, part, dropped) : await this.#gateway.ask(asker, part);
      if (!reply.ok) return { ...failed(messageId, reply), ...(dropped.length > 0 ? { dropped } : {}) };
      isDuplicate = (reply as { duplicate?: Plain }).duplicate === true; // of track only
    }
    return { messageId, outcome: isDuplicate ? 'duplicate' : 'accepted', ...(dropped.length > 0 ? { dropped } : {}) };
  }

  async #identify(
    asker: Asker,
    { profile, traits }: Extract<IncomingEvent, { op: 'identify' }>,
    dropped: string[],
  ): Promise<GatewayReply> {
    const left: Record<string, Plain> = { ...traits };
    for (;;) {
      const reply = await this.#gateway.ask(asker, { op: 'identify', profile, traits: left });
      if (reply.ok || reply.code !== FAULT.invalidTrait.code || dropped.length >= DROPPED_MAX) return reply;
      const name = TRAIT.exec(reply.message)?.[1];
      if (name === undefined || !Object.hasOwn(left, name)) return reply;
      delete left[name];
      dropped.push(reply.message.replace('identify.', ''));
    }
  }
}

/** An event that its door could not read. */
export function unreadable(messageId: string | null, { problem }: Unreadable): Fate {
  const { status, code, retry } = FAULT.invalidField;
  return { messageId, outcome: 'refused', status, code, message: problem, retry };
}

function failed(messageId: string | null, reply: GatewayReply & { readonly ok: false }): Fate {
  const { status, code, message, retry, retryAfterMillis } = reply;
  const outcome = retry === 'never' ? 'refused' : 'later';
  return {
    messageId,
    outcome,
    status,
    code,
    message,
    retry,
    ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }),
  };
}
