/**
 * Subscriptions as an application has them: for as long as it wants, over however many connections. Each lives on the seed's
 * connection, is asked for again whenever that opens, and tells the application every answer that is another; after a
 * connection was lost perhaps one that it has been told already.
 */
import type { DecideReply, Push, SubscribeRequest } from '../proto/messages.ts';
import { LOCAL_CODE, OpportuneError } from './opportune-error.ts';
import type { RequestBody, Settle } from './session.ts';

export type SubscribeInput = Pick<SubscribeRequest, 'profile' | 'decide'>;
/** What a decide would answer now; nothing of it is held. */
export type Answer = Omit<DecideReply, 'id'>;

export interface SubscriptionListener {
  /** Told the present answer, and then each other one. */
  onAnswer(answer: Answer): void;
  /** Told once, when there will be no more: the question cannot be answered, or this client may not ask it. */
  onEnd?(error: OpportuneError): void;
}

export interface SubscriptionHandle {
  /** Nothing is told from here on. */
  unsubscribe(): void;
}

/** What they need of the client. */
export interface SubscriptionPorts {
  /** Asks the seed. Settled while the frame is read that answers it: the first push may be in the same. */
  ask(body: RequestBody, settle: Settle): void;
  isConnected(): boolean;
  later(work: () => void, delayMillis: number): void;
}

const RETRY_MILLIS = 1_000;

interface Live {
  readonly input: SubscribeInput;
  readonly listener: SubscriptionListener;
  /** On this connection; null while it is not asked for there, or not answered. */
  id: number | null;
  /** Of the connection it was asked for on. */
  round: number;
}

export class ClientSubscriptions {
  readonly #ports: SubscriptionPorts;
  readonly #live = new Set<Live>();
  /** Counts the connections. */
  #round = 0;

  constructor(ports: SubscriptionPorts) {
    this.#ports = ports;
  }

  add(input: SubscribeInput, listener: SubscriptionListener): SubscriptionHandle {
    const live: Live = { input, listener, id: null, round: -1 };
    this.#live.add(live);
    if (this.#ports.isConnected()) this.#begin(live);
    return { unsubscribe: () => this.#remove(live) };
  }

  /** The seed's connection is open: on it nothing is subscribed yet. */
  opened(): void {
    this.#round++;
    for (const live of this.#live) this.#begin(live);
  }

  take(push: Push): void {
    for (const live of this.#live) {
      if (live.id !== push.subscription || live.round !== this.#round) continue;
      if (push.push === 'decision') live.listener.onAnswer(answerOf(push));
      else {
        this.#live.delete(live);
        const { status, code, message, retry, retryAfterMillis = 0 } = push;
        live.listener.onEnd?.(new OpportuneError(status, code, message, retry, retryAfterMillis));
      }
      return;
    }
  }

  clear(): void {
    this.#live.clear();
  }

  #begin(live: Live): void {
    const round = this.#round;
    live.round = round;
    live.id = null;
    this.#ports.ask({ op: 'subscribe', ...live.input }, (reply, error) => {
      if (round !== this.#round) return;
      if (reply !== undefined) {
        live.id = reply.id;
        if (this.#live.has(live))
          live.listener.onAnswer(answerOf(reply as DecideReply)); // the reply to subscribe
        else this.#tellUnsubscribed(live);
      } else if (error !== undefined && this.#live.has(live)) this.#refused(live, error, round);
    });
  }

  #refused(live: Live, error: OpportuneError, round: number): void {
    if (error.retry === 'never' && error.code !== LOCAL_CODE) {
      this.#live.delete(live);
      live.listener.onEnd?.(error);
      return;
    }
    this.#ports.later(() => {
      if (round === this.#round && this.#live.has(live)) this.#begin(live);
    }, RETRY_MILLIS);
  }

  #remove(live: Live): void {
    if (this.#live.delete(live) && live.id !== null && live.round === this.#round) this.#tellUnsubscribed(live);
  }

  /** Where another has the same question, it would end that one too: then this one is only not listened to. */
  #tellUnsubscribed({ input }: Live): void {
    const question = JSON.stringify(input);
    for (const other of this.#live) if (JSON.stringify(other.input) === question) return;
    // A connection that is lost has none any more.
    this.#ports.ask({ op: 'unsubscribe', ...input }, () => {});
  }
}

function answerOf(told: DecideReply | Extract<Push, { push: 'decision' }>): Answer {
  const {
    id: _id,
    push: _push,
    subscription: _subscription,
    ...answer
  } = told as DecideReply & Record<string, unknown>;
  return answer;
}
