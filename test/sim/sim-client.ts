/**
 * A client of the simulation: the SDK's own session and event queue, over a simulated connection, with the SDK's
 * back-off. It repeats what the SDK repeats (events, under their message id) and gives up what the SDK gives up.
 */
import { type EventBody, EventQueue } from '../../client/event-queue.ts';
import { disconnectedError } from '../../client/opportune-error.ts';
import { backoffMillis } from '../../client/random.ts';
import { ClientSession, type Outgoing, type RequestBody } from '../../client/session.ts';
import { SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK } from '../../proto/limits.ts';
import type { Encoding } from '../../proto/reply.ts';
import type { Ask, SimAnswers } from './sim-answers.ts';
import type { SimChecker } from './sim-checker.ts';
import type { SimConnection, SimPeer } from './sim-network.ts';
import type { SimRandom, SimTime } from './sim-time.ts';

const WAITING_MAX = 64;
const EVENT_DEADLINE_MILLIS = 4_000;
const CALL_DEADLINE_MILLIS = 1_500;
const EXPIRE_MICROS = 250_000;

/** Opens a connection to some worker, or null when none listens. */
export type Dial = (client: SimClient, subprotocol: string) => SimConnection | null;

export class SimClient implements SimPeer {
  readonly owner: number;
  readonly encoding: Encoding;
  readonly #session: ClientSession;
  readonly #queue: EventQueue;
  readonly #time: SimTime;
  readonly #random: SimRandom;
  readonly #checker: SimChecker;
  readonly #answers: SimAnswers;
  readonly #dial: Dial;
  #connection: SimConnection | null = null;
  #failures = 0;
  #isConnecting = false;
  #sentStep = 0;
  #sendIndex = 0;
  /** By message: what is meant by it. */
  readonly #asks = new Map<string, Ask>();
  /** Mixed into the hash of the run: every byte that came. */
  onBytes: (bytes: Uint8Array) => void = () => {};

  constructor(owner: number, time: SimTime, random: SimRandom, checker: SimChecker, answers: SimAnswers, dial: Dial) {
    this.owner = owner;
    this.encoding = owner % 2 === 0 ? 'json' : 'msgpack';
    this.#session = new ClientSession(this.encoding);
    this.#time = time;
    this.#random = random;
    this.#checker = checker;
    this.#answers = answers;
    this.#dial = dial;
    this.#queue = new EventQueue({
      waitingMax: WAITING_MAX,
      deadlineMillis: EVENT_DEADLINE_MILLIS,
      now: () => time.millis,
      draw: () => random.fraction(),
      trySend: (outgoing) => this.#trySend(outgoing),
      later: (work, delayMillis) => {
        time.owner = owner;
        time.after(delayMillis * 1000, work);
      },
    });
  }

  start(): void {
    this.#time.owner = this.owner;
    this.#connect();
    this.#expire();
  }

  #expire(): void {
    this.#sentStep = this.#checker.step;
    this.#session.expire(this.#time.millis);
    this.#time.hasPromises = true;
    this.#time.owner = this.owner;
    this.#time.after(EXPIRE_MICROS, () => this.#expire());
  }

  get connection(): SimConnection | null {
    return this.#connection;
  }

  #connect(): void {
    this.#isConnecting = false;
    const connection = this.#dial(this, this.encoding === 'json' ? SUBPROTOCOL_JSON : SUBPROTOCOL_MSGPACK);
    if (connection === null) this.#reconnect();
    else {
      this.#connection = connection;
      this.#sendIndex = 0;
      this.#queue.pump();
    }
  }

  #reconnect(): void {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    this.#time.owner = this.owner;
    const waitMillis = backoffMillis(Math.min(this.#failures++, 4), this.#random.fraction());
    this.#time.after(waitMillis * 1000, () => this.#connect());
  }

  onClosed(): void {
    this.#connection = null;
    this.#sentStep = this.#checker.step;
    this.#time.hasPromises = true;
    this.#session.failAll(disconnectedError('ws://simulation'));
    this.#reconnect();
  }

  onFrame(bytes: Uint8Array, sentStep: number): void {
    this.#failures = 0;
    this.#sentStep = sentStep;
    this.#time.hasPromises = true;
    this.onBytes(bytes);
    this.#session.receive(bytes);
  }

  /** An event: repeated until it is answered, or its time is over. */
  track(body: EventBody, ask: Ask): void {
    this.#time.owner = this.owner;
    this.#time.hasPromises = true;
    this.#asks.set(body.messageId, ask);
    const forget = (): void => {
      this.#asks.delete(body.messageId);
    };
    this.#queue.add(body).then(forget, forget);
  }

  #trySend(outgoing: Outgoing): boolean {
    if (this.#connection === null) return false;
    const { messageId } = outgoing.body as EventBody;
    const ask = this.#asks.get(messageId);
    this.#send([
      {
        ...outgoing,
        settle: (reply, error) => {
          if (ask !== undefined) this.#answers.settled(ask, reply, error, this.#sentStep);
          outgoing.settle(reply, error);
        },
      },
    ]);
    return true;
  }

  /** Calls that are made once, in one frame. @param then sees each reply */
  call(requests: readonly { body: RequestBody; ask: Ask }[], then: (reply: unknown, ask: Ask) => void): void {
    this.#time.owner = this.owner;
    if (this.#connection === null) return;
    const deadlineAtMillis = this.#time.millis + CALL_DEADLINE_MILLIS;
    this.#send(
      requests.map(({ body, ask }) => ({
        body,
        deadlineAtMillis,
        budgetMillis: CALL_DEADLINE_MILLIS,
        settle: (reply, error) => {
          this.#answers.settled(ask, reply, error, this.#sentStep);
          if (reply !== undefined) then(reply, ask);
        },
      })),
    );
  }

  #send(requests: readonly Outgoing[]): void {
    const connection = this.#connection;
    if (connection === null) return;
    for (const { body } of requests) {
      if (body.op !== 'track' || body.messageId === undefined) continue;
      const key = this.keyOf(body.messageId);
      const sent = this.#checker.sent.get(key);
      const index = this.#sendIndex++;
      if (sent === undefined) this.#checker.sent.set(key, { connection: connection.number, index, attempts: 1 });
      else {
        sent.connection = connection.number;
        sent.index = index;
        sent.attempts++;
      }
    }
    for (const frame of this.#session.open(requests, this.#time.millis))
      connection.sendToServer(frame, this.encoding === 'msgpack');
  }
  /** Set by the world: the key of a message id in the checker. */
  keyOf: (messageId: string) => number = () => -1;

  /** Bytes that are no frame. */
  sendGarbage(): void {
    this.#time.owner = this.owner;
    const bytes = Uint8Array.from({ length: 1 + this.#random.below(40) }, () => 0xc1);
    this.#connection?.sendToServer(bytes, this.encoding === 'msgpack');
  }
}
