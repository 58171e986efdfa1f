/**
 * The network in memory: connections that keep the order of their frames, as TCP does, and nothing else: each
 * frame is as late as chance has it, either end may be cut, the other end learns of it later, and what was under
 * way then is lost. Beside it the ports between workers, in order too, with delays of their own.
 *
 *   client ─ frame ─▸ [ delay, never overtaking ] ─▸ session of a worker ─ answer ─▸ [ likewise ] ─▸ client
 *
 * `SimConnection` is the server's end and implements the door of `server/transport.ts`.
 */
import type { LinkMessage, LinkPort } from '../../server/shard-link.ts';
import type { Connection } from '../../server/transport.ts';
import { EVENT_KIND, type SimRandom, type SimTime } from './sim-time.ts';

/** The client's end. */
export interface SimPeer {
  /** @param sentStep the step of the run in which the server sent it */
  onFrame(bytes: Uint8Array, sentStep: number): void;
  onClosed(): void;
}

/** A worker's end, as the node made it. */
export interface SimListener {
  onOpen(connection: SimConnection): void;
  onMessage(connection: SimConnection, bytes: Uint8Array, isBinary: boolean): void;
}

export class SimNetwork {
  readonly time: SimTime;
  readonly random: SimRandom;
  /** Larger while the network is slow. */
  delayFactor = 1;
  /** Set by the world before each step. */
  step = 0;

  constructor(time: SimTime, random: SimRandom) {
    this.time = time;
    this.random = random;
  }

  delayMicros(): number {
    // Most frames take a moment; one in thirty a long one.
    const base = this.random.chance(0.03) ? this.random.between(2_000, 60_000) : this.random.between(30, 600);
    return base * this.delayFactor;
  }
}

export class SimConnection implements Connection {
  session: unknown = null;
  readonly admission = null;
  readonly subprotocol: string;
  isOpen = true;
  /** Names this connection in the whole run. */
  readonly number: number;
  readonly workerOwner: number;
  readonly #network: SimNetwork;
  readonly #listener: SimListener;
  readonly #peer: SimPeer;
  readonly #peerOwner: number;
  #toServerAt = 0;
  #toClientAt = 0;
  #isPeerOpen = true;

  constructor(
    network: SimNetwork,
    number: number,
    subprotocol: string,
    listener: SimListener,
    workerOwner: number,
    peer: SimPeer,
  ) {
    this.#network = network;
    this.number = number;
    this.subprotocol = subprotocol;
    this.#listener = listener;
    this.workerOwner = workerOwner;
    this.#peer = peer;
    this.#peerOwner = network.time.owner;
  }

  bufferedBytes(): number {
    return 0;
  }

  /** From the server. The bytes are copied, as the door's contract says. */
  send(bytes: Uint8Array, _isBinary: boolean): 'sent' | 'dropped' | 'closed' {
    if (!this.isOpen) return 'closed';
    const copy = bytes.slice();
    const { time, step } = this.#network;
    this.#toClientAt = Math.max(this.#toClientAt, time.nowMicros + this.#network.delayMicros());
    time.at(this.#toClientAt, this.#peerOwner, EVENT_KIND.toClient, () => {
      if (this.#isPeerOpen) this.#peer.onFrame(copy, step);
    });
    return 'sent';
  }

  cork(work: () => void): void {
    work();
  }

  /** By the server, in order: what it sent before still arrives. */
  close(_code: number, _reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { time } = this.#network;
    this.#toClientAt = Math.max(this.#toClientAt, time.nowMicros + this.#network.delayMicros());
    time.at(this.#toClientAt, this.#peerOwner, EVENT_KIND.toClient, () => this.#closePeer());
  }

  /** From the client. */
  sendToServer(frame: Uint8Array, isBinary: boolean): void {
    if (!this.#isPeerOpen) return;
    const { time } = this.#network;
    this.#toServerAt = Math.max(this.#toServerAt, time.nowMicros + this.#network.delayMicros());
    time.at(this.#toServerAt, this.workerOwner, EVENT_KIND.toServer, () => {
      if (this.isOpen) this.#listener.onMessage(this, frame, isBinary);
    });
  }

  /** The way is cut now: what is under way is lost, and each end learns of it in its own time. */
  cut(): void {
    const { time, random } = this.#network;
    if (!this.#isPeerOpen) return;
    this.#isPeerOpen = false;
    time.at(time.nowMicros + random.between(0, 50_000), this.#peerOwner, EVENT_KIND.client, () =>
      this.#peer.onClosed(),
    );
    if (!this.isOpen) return;
    const noticedAt = time.nowMicros + random.between(0, 200_000);
    time.at(noticedAt, this.workerOwner, EVENT_KIND.toServer, () => {
      this.isOpen = false;
    });
  }

  /** The worker died: its sockets are closed by the system. What it had sent may still arrive. */
  workerDied(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { time, random } = this.#network;
    const lastAt = random.chance(0.5) ? this.#toClientAt : time.nowMicros;
    time.at(Math.max(lastAt, time.nowMicros), this.#peerOwner, EVENT_KIND.toClient, () => this.#closePeer());
  }

  #closePeer(): void {
    if (!this.#isPeerOpen) return;
    this.#isPeerOpen = false;
    this.#peer.onClosed();
  }
}

/** One end of the way between two workers. */
export class SimPort implements LinkPort {
  #listener: ((message: LinkMessage) => void) | null = null;
  #early: LinkMessage[] = [];
  #other: SimPort | null = null;
  #owner: number;
  #lastAt = 0;
  #isClosed = false;
  readonly #network: SimNetwork;

  private constructor(network: SimNetwork, owner: number) {
    this.#network = network;
    this.#owner = owner;
  }

  static pair(network: SimNetwork, ownerA: number, ownerB: number): readonly [SimPort, SimPort] {
    const a = new SimPort(network, ownerA);
    const b = new SimPort(network, ownerB);
    a.#other = b;
    b.#other = a;
    return [a, b];
  }

  on(_event: 'message', listener: (message: LinkMessage) => void): void {
    this.#listener = listener;
    for (const message of this.#early.splice(0)) listener(message);
  }

  postMessage(message: LinkMessage): void {
    const other = this.#other;
    if (this.#isClosed || other === null) return;
    const { time, random } = this.#network;
    const delay = random.chance(0.05) ? random.between(500, 20_000) : random.between(5, 80);
    this.#lastAt = Math.max(this.#lastAt, time.nowMicros + delay);
    time.at(this.#lastAt, other.#owner, EVENT_KIND.link, () => {
      if (other.#isClosed) return;
      if (other.#listener === null) other.#early.push(message);
      else other.#listener(message);
    });
  }

  close(): void {
    this.#isClosed = true;
  }
}
