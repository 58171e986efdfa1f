/**
 * Load for the tests that break the server: several connections that track events, each with a messageId
 * of its own, and now and then decide and confirm. It keeps books: what was sent, what was acknowledged,
 * what is open; so that afterwards every event can be accounted for, exactly once.
 */
import type { WirePeer, WireReply } from './wire-peer.ts';

interface SentEvent {
  readonly profile: string;
  readonly messageId: string;
}

/** Which decisions are asked for between the events. */
interface Asking {
  /** In turn. */
  readonly slots: readonly string[];
  /** For how many of the profiles: few meet their caps soon. */
  readonly deciders: number;
  /** One decision in so many turns of a connection's first lane. */
  readonly everyTurns: number;
}

export class EventWriter {
  readonly profiles: readonly string[];
  /** Number of acknowledged events by profile. */
  readonly acknowledged = new Map<string, number>();
  /** Sent and neither acknowledged nor refused: the server may or may not have them. */
  readonly open = new Map<string, SentEvent>();
  /** Acknowledged as applied already: only right for an event that was sent before. */
  duplicateCount = 0;
  /** Replies with an error, by code. */
  readonly refusals = new Map<number, number>();
  /** The newest decision of each profile whose confirm was acknowledged. */
  readonly confirmed = new Map<string, string>();
  /** Slot → profile → decisions acknowledged as committed that granted something. */
  readonly granted = new Map<string, Map<string, number>>();
  readonly #asking: Asking;
  #nextEvent = 0;
  #nextDecide = 0;
  #isStopping = false;

  constructor(profileCount: number, prefix = 'person', asking: Partial<Asking> = {}) {
    this.#asking = { slots: ['home'], deciders: profileCount, everyTurns: 16, ...asking };
    this.profiles = Array.from({ length: profileCount }, (_, n) => `${prefix}-${n}`);
  }

  get acknowledgedCount(): number {
    return [...this.acknowledged.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * Writes over one connection until it ends or `stop` is called, `depth` requests in flight.
   * Resolves when everything in flight is answered or lost.
   */
  async write(peer: WirePeer, depth: number): Promise<void> {
    this.#isStopping = false;
    await Promise.all(Array.from({ length: depth }, (_, lane) => this.#lane(peer, lane)));
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #lane(peer: WirePeer, lane: number): Promise<void> {
    try {
      for (let turn = 0; !this.#isStopping; turn++) {
        if (lane === 0 && turn % this.#asking.everyTurns === this.#asking.everyTurns - 1) await this.#decide(peer);
        else await this.#track(peer, this.#newEvent());
      }
    } catch {
      // The connection ended: what was in flight stays open in the books.
    }
  }

  #newEvent(): SentEvent {
    const number = this.#nextEvent++;
    return { profile: this.profiles[number % this.profiles.length] as string, messageId: `event-${number}` };
  }

  async #track(peer: WirePeer, event: SentEvent): Promise<void> {
    this.open.set(event.messageId, event);
    this.#settle(event, await peer.ask({ op: 'track', event: 'view', ...event }));
  }

  #settle(event: SentEvent, reply: WireReply): void {
    if (!reply.ok) {
      this.refusals.set(reply.code, (this.refusals.get(reply.code) ?? 0) + 1);
      return;
    }
    this.open.delete(event.messageId);
    if (reply.duplicate) this.duplicateCount++;
    this.acknowledged.set(event.profile, (this.acknowledged.get(event.profile) ?? 0) + 1);
  }

  async #decide(peer: WirePeer): Promise<void> {
    const profile = this.profiles[this.#nextDecide % this.#asking.deciders] as string; // no more than there are
    const { slots } = this.#asking;
    const slot = slots[Math.floor(this.#nextDecide++ / this.#asking.deciders) % slots.length] as string; // at least one
    const reply = await peer.ask({ op: 'decide', profile, slot, durability: 'committed' });
    if (!reply.ok) return;
    const { decisionId } = reply;
    if (reply.actions.length > 0) {
      const bySlot = this.granted.get(slot) ?? new Map<string, number>();
      this.granted.set(slot, bySlot.set(profile, (bySlot.get(profile) ?? 0) + 1));
    }
    if ((await peer.ask({ op: 'confirm', decisionId })).ok) this.confirmed.set(profile, decisionId);
  }

  /** Sends everything open again under its messageId, until all of it is acknowledged. */
  async resend(peer: WirePeer): Promise<number> {
    const events = [...this.open.values()];
    for (let from = 0; from < events.length; from += 256) {
      const slice = events.slice(from, from + 256);
      const replies = await peer.askBatch(slice.map((event) => ({ op: 'track', event: 'view', ...event })));
      replies.forEach((reply, at) => {
        this.#settle(slice[at] as SentEvent, reply);
      });
    }
    return events.length;
  }

  /** Open events by profile. */
  openCount(profile: string): number {
    let count = 0;
    for (const event of this.open.values()) if (event.profile === profile) count++;
    return count;
  }
}

/** How often the profile has seen `view`, as its own record says (the catalog must count it). */
export async function viewCount(peer: WirePeer, profile: string): Promise<number> {
  const { record } = await peer.must({ op: 'profile', profile });
  const counter = record.counters.find((row: WireReply) => row.event === 'view');
  return counter.count;
}

/** For each profile what is missing of the acknowledged, and what is there beyond all that was ever sent. */
export async function auditViews(peer: WirePeer, writer: EventWriter): Promise<{ missing: number; surplus: number }> {
  let missing = 0;
  let surplus = 0;
  for (const profile of writer.profiles) {
    const acknowledged = writer.acknowledged.get(profile) ?? 0;
    const count = await viewCount(peer, profile);
    missing += Math.max(0, acknowledged - count);
    surplus += Math.max(0, count - acknowledged - writer.openCount(profile));
  }
  return { missing, surplus };
}
