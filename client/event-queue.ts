/**
 * Events that must not be lost to a bad connection. Every event has a `messageId`, so sending it again is
 * harmless: the server applies it once. While there is no connection, events wait here in their order,
 * oldest first, without a deadline; when the queue is full the newest is refused (RESOURCE_EXHAUSTED), so
 * that what was accepted stays accepted. An event whose connection ends before its reply comes back to
 * its old place. Refused with `retry: later` on a live connection, it is tried again until its deadline.
 * The queue lives in memory: it does not survive the process.
 */
import type { TrackReply, TrackRequest } from '../proto/messages.ts';
import { LOCAL_CODE, OpportuneError } from './opportune-error.ts';
import { backoffMillis } from './random.ts';
import type { Outgoing } from './session.ts';

export type EventBody = Omit<TrackRequest, 'id'> & { readonly messageId: string };

export interface EventQueueOptions {
  /** Most events that wait at a time. */
  readonly waitingMax: number;
  /** Time an event has, from the first moment it is sent, when its own `deadlineMillis` says nothing else. */
  readonly deadlineMillis: number;
  readonly now: () => number;
  /** A draw in [0, 1) for the jitter. */
  readonly draw: () => number;
  /** Sends a request if it can go out now; false: no connection. */
  readonly trySend: (outgoing: Outgoing) => boolean;
  /** Runs `work` after `delayMillis`, or not at all once the client is closed. */
  readonly later: (work: () => void, delayMillis: number) => void;
}

interface Event {
  readonly order: number;
  readonly body: EventBody;
  readonly resolve: (reply: TrackReply) => void;
  readonly reject: (error: OpportuneError) => void;
  readonly budgetMillis: number;
  /** NaN until the event is first sent. */
  deadlineAtMillis: number;
  attempts: number;
}

export class EventQueue {
  readonly #options: EventQueueOptions;
  #waiting: Event[] = [];
  /** Refused for now and to be sent again by a timer. */
  readonly #delayed = new Set<Event>();
  #nextOrder = 0;
  #isPumping = false;
  #isPumpPlanned = false;
  #closedBy: OpportuneError | undefined;

  constructor(options: EventQueueOptions) {
    this.#options = options;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  add(body: EventBody): Promise<TrackReply> {
    return new Promise((resolve, reject) => {
      const budgetMillis = body.deadlineMillis ?? this.#options.deadlineMillis;
      const event = {
        order: this.#nextOrder++,
        body,
        resolve,
        reject,
        budgetMillis,
        deadlineAtMillis: Number.NaN,
        attempts: 0,
      };
      if (this.#closedBy !== undefined) reject(this.#closedBy);
      else if (this.#waiting.length > 0 || !this.#send(event)) this.#enqueue(event);
    });
  }

  #enqueue(event: Event): void {
    if (this.#waiting.length >= this.#options.waitingMax) {
      const message = `${this.#options.waitingMax} events already wait for a connection`;
      event.reject(new OpportuneError('RESOURCE_EXHAUSTED', LOCAL_CODE, message, 'later'));
    } else this.#waiting.push(event);
  }

  /** Sends what waits, oldest first, until something cannot go out. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#waiting.length > 0) {
      const event = this.#waiting[0] as Event; // not empty
      // Taken out first: a refusal that is settled at once may put it back.
      this.#waiting.shift();
      if (!this.#send(event)) {
        this.#waiting.unshift(event);
        break;
      }
    }
    this.#isPumping = false;
  }

  #send(event: Event): boolean {
    if (Number.isNaN(event.deadlineAtMillis)) event.deadlineAtMillis = this.#options.now() + event.budgetMillis;
    const isSent = this.#options.trySend({
      body: event.body,
      deadlineAtMillis: event.deadlineAtMillis,
      budgetMillis: event.budgetMillis,
      settle: (reply, error) => {
        if (error === undefined)
          event.resolve(reply as TrackReply); // the reply to a track
        else this.#failed(event, error);
        // An answer makes room in the window of unanswered requests.
        this.pump();
      },
    });
    if (!isSent) event.deadlineAtMillis = Number.NaN;
    return isSent;
  }

  #failed(event: Event, error: OpportuneError): void {
    if (this.#closedBy !== undefined || error.retry === 'never') {
      event.reject(this.#closedBy ?? error);
      return;
    }
    if (error.retry === 'reconnect') {
      // Back to its old place; it was accepted once, so the bound does not refuse it now. What was in
      // flight is itself bounded by the protocol, and so is the queue.
      event.deadlineAtMillis = Number.NaN;
      const at = this.#waiting.findIndex((other) => other.order > event.order);
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, event);
      // A server that says so while its connection lives (moved, draining) is asked again a little later.
      if (this.#isPumpPlanned) return;
      this.#isPumpPlanned = true;
      const pauseMillis = backoffMillis(event.attempts++, this.#options.draw());
      this.#options.later(() => {
        this.#isPumpPlanned = false;
        this.pump();
      }, pauseMillis);
      return;
    }
    const waitMillis = Math.max(error.retryAfterMillis, backoffMillis(event.attempts++, this.#options.draw()));
    if (this.#options.now() + waitMillis >= event.deadlineAtMillis) {
      event.reject(error);
      return;
    }
    this.#delayed.add(event);
    this.#options.later(() => {
      if (this.#delayed.delete(event) && !this.#send(event)) this.#failed(event, disconnected(error));
    }, waitMillis);
  }

  /** Rejects everything that waits, and everything added from here on. */
  close(error: OpportuneError): void {
    this.#closedBy = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) event.reject(error);
    for (const event of this.#delayed) event.reject(error);
    this.#delayed.clear();
  }
}

function disconnected(error: OpportuneError): OpportuneError {
  return new OpportuneError('UNAVAILABLE', LOCAL_CODE, error.message, 'reconnect');
}
