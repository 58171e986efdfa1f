/**
 * One person as the checker understands them: an own, plain implementation of what entries mean, without the
 * record's bytes, its bounds or its speed. Folding the entries of a journal gives leases, caps, quotes, refusals,
 * messages and what is held and spent; each entry is first held against what was promised before it.
 */

import { stockSubject } from '../../actors/ports.ts';
import { MOMENT } from '../../decision/catalog.ts';
import type { DecisionEntry, EventEntry, JoinEntry, JournalEntry } from './journal-entry.ts';
import { ModelTags } from './model-tags.ts';
import { actionHash, channelHash, SIM_SUBJECTS } from './sim-catalog.ts';

/** What is checked; the names stand in reports. */
export const INVARIANT = {
  stateSeq: 'state sequence',
  once: 'an event counts once',
  order: 'order of a profile',
  cap: 'caps are exact',
  ledger: 'granted = confirmed + released + expired + open',
  limit: 'budgets and stock are never exceeded',
  lease: 'a lease ends when it must, and only then',
  quote: 'a quote never rises',
  propensity: 'propensities sum to 1',
  refusal: 'a refusal binds',
  acknowledged: 'an acknowledged write is on disk',
  recovered: 'memory is what the journal says',
  damage: 'damage is detected',
  identity: 'two profiles become one once',
  device: 'people of a device are counted, and told when too many',
  tags: 'a tag is held, and a stage, while its rule holds',
  answer: 'an answer is what was decided',
  fault: 'no fault of our own',
  progress: 'the node comes back and goes on',
} as const;
export type Invariant = (typeof INVARIANT)[keyof typeof INVARIANT];

export interface ModelLease {
  readonly decisionSeq: number;
  readonly at: number;
  readonly expiresAt: number;
  readonly action: number;
  readonly channel: number;
  readonly sku: number;
  readonly budgetMinor: number;
  readonly entry: DecisionEntry;
  /** When it came with a joining: until then no timer ends it, see `docs/IDENTITY.md`. */
  readonly takenAt?: number;
  holdsStock: boolean;
  state: 'open' | 'confirmed' | 'released' | 'expired';
  endedBy: JournalEntry | null;
}

interface Limit {
  readonly count: number;
  readonly windowMillis: number;
}
/** The checker's copy of the caps in `sim-catalog.ts`. */
const ACTION_CAPS: ReadonlyMap<number, Limit> = new Map([
  [actionHash('capped'), { count: 2, windowMillis: 15_000 }],
  [actionHash('mailed'), { count: 3, windowMillis: 60_000 }],
]);
const CHANNEL_CAPS: ReadonlyMap<number, Limit> = new Map([[channelHash('push'), { count: 4, windowMillis: 20_000 }]]);
const IMPRESSION_CAPS: ReadonlyMap<number, Limit> = new Map([
  [actionHash('shown'), { count: 2, windowMillis: 30_000 }],
]);
/** Grants and impressions older than this count towards nothing. */
const MEMORY_MILLIS = 120_000;
const MESSAGES_KEPT = 1_024;

const SUBJECT_INDEX: ReadonlyMap<number, number> = new Map(
  SIM_SUBJECTS.map(({ subjectHash }, index) => [subjectHash, index]),
);
export const SUBJECT_COUNT = SIM_SUBJECTS.length;

export type Report = (invariant: Invariant, message: string) => void;

export class ModelProfile {
  readonly name: string;
  readonly partition: number;
  readonly low: number;
  readonly high: number;
  seq = 0;
  decisionSeq = 0;
  age: number | null = null;
  /** The latest instant of any turn: the clock may have gone back since. */
  latestAt = Number.NEGATIVE_INFINITY;
  leases: ModelLease[] = [];
  readonly refused = new Set<number>();
  refusesAll = false;
  readonly messages = new Map<number, EventEntry>();
  /** By decision. */
  readonly decisions = new Map<number, DecisionEntry>();
  readonly held = new Float64Array(SUBJECT_COUNT);
  readonly spent = new Float64Array(SUBJECT_COUNT);
  readonly #quotes: { readonly sku: number; readonly priceMinor: number; readonly expiresAt: number }[] = [];
  readonly #tags = new ModelTags();
  /** Of a profile that was joined into another: low word of that one's hash. Nothing happens to it any more. */
  movedTo: number | null = null;
  /** Everybody this person was joined from, by low word: what the numbers of their decisions were raised by. */
  readonly joined = new Map<number, number>();
  /** Whether some other profile has what this one held. */
  isTaken = false;
  #impressions: { readonly action: number; readonly at: number }[] = [];

  constructor(name: string, partition: number, low: number, high: number) {
    this.name = name;
    this.partition = partition;
    this.low = low;
    this.high = high;
  }

  /** @param personOf by low word: for a joining, whose model stands still since it departed */
  apply(entry: JournalEntry, report: Report, personOf: (low: number) => ModelProfile | undefined): void {
    if (entry.seq !== Math.max(this.seq, entry.type === 'join' ? entry.otherSeq : 0) + 1) {
      report(INVARIANT.stateSeq, `${this.name}: an entry leads to ${entry.seq} from ${this.seq}`);
    }
    this.seq = entry.seq;
    if ((entry.type === 'decision' || entry.type === 'identify') && entry.at >= this.latestAt) {
      const problem = entry.seq === 1 ? null : this.#tags.problem(this.age, entry.at);
      if (problem !== null) report(INVARIANT.tags, `${this.name}: at entry ${entry.seq} ${problem}`);
    }
    if (this.movedTo !== null && (entry.type === 'event' || entry.type === 'decision' || entry.type === 'identify'))
      report(INVARIANT.identity, `${this.name}: entry ${entry.seq} is of somebody who is part of another`);
    this.latestAt = Math.max(this.latestAt, entry.at);
    switch (entry.type) {
      case 'decision':
        this.#decide(entry, report);
        break;
      case 'event':
        this.#takeIn(entry, report);
        this.#tags.takeIn(entry);
        break;
      case 'standing':
        this.#tags.change(entry);
        if (entry.movedTo === undefined) break;
        this.movedTo = entry.movedTo;
        break;
      case 'join':
        this.#join(entry, personOf(entry.other), report);
        break;
      case 'identify':
        if (entry.age !== null) this.age = entry.age;
        break;
      case 'release':
        for (const lease of this.leases) {
          if (lease.decisionSeq === entry.decisionSeq && lease.state === 'open')
            this.#giveBack(lease, 'released', entry);
        }
        break;
      case 'expire':
        for (const lease of this.leases) {
          if (lease.expiresAt > entry.at) continue;
          if (lease.state === 'open') this.#giveBack(lease, 'expired', entry);
          else this.#freeStock(lease);
        }
    }
  }

  // ── joining ────────────────────────────────────────────────────────────────────────────────────

  #join({ other: low, raisedBy, seq, at }: JoinEntry, other: ModelProfile | undefined, report: Report): void {
    if (other === undefined) {
      report(INVARIANT.identity, `${this.name}: is joined with somebody nobody knows`);
      return;
    }
    if (other.isTaken) report(INVARIANT.identity, `${this.name}: takes ${other.name}, who is somebody's already`);
    if (this.joined.has(low)) report(INVARIANT.identity, `${this.name}: takes ${other.name} a second time at ${seq}`);
    if (other.movedTo === null) report(INVARIANT.identity, `${this.name}: takes ${other.name}, who has not departed`);
    if (raisedBy !== this.decisionSeq)
      report(INVARIANT.identity, `${this.name}: decisions of ${other.name} are raised by ${raisedBy}`);
    this.joined.set(low, raisedBy);
    for (const [before, raised] of other.joined) this.joined.set(before, raised + raisedBy);
    for (const lease of other.leases)
      this.leases.push({ ...lease, decisionSeq: lease.decisionSeq + raisedBy, takenAt: at });
    for (const [decisionSeq, decision] of other.decisions) this.decisions.set(decisionSeq + raisedBy, decision);
    for (let i = 0; i < SUBJECT_COUNT; i++) this.held[i] = (this.held[i] as number) + (other.held[i] as number); // i < SUBJECT_COUNT
    for (const [message, entry] of other.messages) {
      if (this.messages.has(message)) report(INVARIANT.once, `${this.name}: counts a message of ${other.name} as well`);
      this.messages.set(message, entry);
    }
    for (const channel of other.refused) this.refused.add(channel);
    this.refusesAll ||= other.refusesAll;
    this.#quotes.push(...other.#quotes);
    this.#impressions.push(...other.#impressions);
    this.#tags.join(other.#tags);
    this.latestAt = Math.max(this.latestAt, other.latestAt);
    this.age ??= other.age;
    this.decisionSeq += other.decisionSeq;
  }

  // ── decisions ──────────────────────────────────────────────────────────────────────────────────

  #decide(entry: DecisionEntry, report: Report): void {
    if (entry.decisionSeq !== this.decisionSeq + 1) {
      report(INVARIANT.stateSeq, `${this.name}: decision ${entry.decisionSeq} follows ${this.decisionSeq}`);
    }
    this.decisionSeq = entry.decisionSeq;
    this.decisions.set(entry.decisionSeq, entry);
    if (!Number.isNaN(entry.priceMinor)) this.#quote(entry, report);
    const before = this.latestAt - MEMORY_MILLIS;
    if (this.leases.length > 256) {
      this.leases = this.leases.filter((lease) => lease.state === 'open' || lease.holdsStock || lease.at > before);
    }
    const priceOnly = {
      action: 0,
      channel: 0,
      propensity: 1,
      costMinor: 0,
      holdsBudget: false,
      holdsStock: entry.holdsStock,
    };
    const granted = entry.chosen.length === 0 && !Number.isNaN(entry.priceMinor) ? [priceOnly] : entry.chosen;
    for (const chosen of granted) {
      if (chosen.action !== 0) {
        if (this.refusesAll || this.refused.has(chosen.channel)) {
          report(INVARIANT.refusal, `${this.name}: decision ${entry.decisionSeq} contacts on a refused channel`);
        }
        if (!(chosen.propensity > 0 && chosen.propensity <= 1)) {
          report(
            INVARIANT.propensity,
            `${this.name}: decision ${entry.decisionSeq} has propensity ${chosen.propensity}`,
          );
        }
      }
      const lease: ModelLease = {
        decisionSeq: entry.decisionSeq,
        at: entry.at,
        expiresAt: entry.expiresAt,
        action: chosen.action,
        channel: chosen.channel,
        sku: entry.skuHash,
        budgetMinor: chosen.holdsBudget ? chosen.costMinor : 0,
        entry,
        holdsStock: chosen.holdsStock,
        state: 'open',
        endedBy: null,
      };
      this.leases.push(lease);
      if (chosen.holdsBudget) this.#move(this.held, chosen.action, chosen.costMinor);
      if (chosen.holdsStock) this.#move(this.held, stockSubject(entry.skuHash), 1);
    }
    for (const chosen of entry.chosen) this.#checkCaps(entry, chosen.action, chosen.channel, report);
  }

  #checkCaps(entry: DecisionEntry, action: number, channel: number, report: Report): void {
    const hold = (limit: Limit | undefined, what: string, counted: number): void => {
      if (limit === undefined || counted <= limit.count) return;
      report(
        INVARIANT.cap,
        `${this.name}: decision ${entry.decisionSeq} is number ${counted} of ${limit.count} ${what} in ${limit.windowMillis} ms`,
      );
    };
    const used = (limit: Limit | undefined, matches: (lease: ModelLease) => boolean): number => {
      if (limit === undefined) return 0;
      let count = 0;
      for (const lease of this.leases) {
        const isHeld = lease.state === 'open' || lease.state === 'confirmed';
        if (isHeld && lease.at > this.latestAt - limit.windowMillis && matches(lease)) count++;
      }
      return count;
    };
    const ofAction = ACTION_CAPS.get(action);
    hold(
      ofAction,
      'of its action',
      used(ofAction, (lease) => lease.action === action),
    );
    const ofChannel = CHANNEL_CAPS.get(channel);
    hold(
      ofChannel,
      'on its channel',
      used(ofChannel, (lease) => lease.channel === channel),
    );
    const ofImpressions = IMPRESSION_CAPS.get(action);
    if (ofImpressions === undefined) return;
    const since = this.latestAt - ofImpressions.windowMillis;
    const seen = this.#impressions.filter((one) => one.action === action && one.at > since).length;
    hold(ofImpressions, 'impressions and one more', seen + 1);
  }

  #quote(entry: DecisionEntry, report: Report): void {
    const quotes = this.#quotes;
    for (let i = quotes.length - 1; i >= 0; i--) {
      const quote = quotes[i];
      if (quote === undefined || quote.sku !== entry.skuHash) continue;
      if (quote.expiresAt <= this.latestAt) quotes.splice(i, 1);
      else if (entry.at < quote.expiresAt && entry.priceMinor > quote.priceMinor) {
        report(
          INVARIANT.quote,
          `${this.name}: ${entry.priceMinor} is asked while ${quote.priceMinor} stands for ${quote.expiresAt - entry.at} ms more`,
        );
      }
    }
    quotes.push({ sku: entry.skuHash, priceMinor: entry.priceMinor, expiresAt: entry.quoteExpiresAt });
  }

  // ── events ─────────────────────────────────────────────────────────────────────────────────────

  #takeIn(entry: EventEntry, report: Report): void {
    if (entry.message >= 0) {
      // A record remembers 1,024 ids, joined or not, of two rings the newest; and the clock may have gone back between them.
      const mayForget = this.joined.size > 0 && this.messages.size > MESSAGES_KEPT;
      if (this.messages.has(entry.message) && !mayForget)
        report(INVARIANT.once, `${this.name}: a message counts a second time at ${entry.seq}`);
      this.messages.set(entry.message, entry);
    }
    if (entry.confirms) {
      for (const lease of this.leases) {
        if (lease.decisionSeq !== entry.decisionSeq || lease.state !== 'open') continue;
        lease.state = 'confirmed';
        lease.endedBy = entry;
        if (lease.budgetMinor > 0) {
          this.#move(this.held, lease.action, -lease.budgetMinor);
          this.#move(this.spent, lease.action, lease.budgetMinor);
        }
      }
    }
    if (entry.endsStockHold) {
      const held = this.leases.filter((lease) => lease.decisionSeq === entry.decisionSeq && lease.holdsStock);
      if (held.length !== 1) report(INVARIANT.ledger, `${this.name}: a purchase ends ${held.length} holds of stock`);
      for (const lease of held) {
        this.#freeStock(lease);
        this.#move(this.spent, stockSubject(lease.sku), 1);
      }
    }
    for (const [subject, amount] of entry.takes) this.#move(this.spent, subject, amount);
    if (entry.momentKind === MOMENT.impression) {
      const before = this.latestAt - MEMORY_MILLIS;
      if (this.#impressions.length > 64) this.#impressions = this.#impressions.filter(({ at }) => at > before);
      this.#impressions.push({ action: entry.action, at: entry.eventAt });
    }
    if (entry.refuses) {
      if (entry.channel === 0) this.refusesAll = true;
      else this.refused.add(entry.channel);
    }
    if (entry.allows) {
      if (entry.channel === 0) {
        this.refusesAll = false;
        this.refused.clear();
      } else this.refused.delete(entry.channel);
    }
  }

  // ── leases ─────────────────────────────────────────────────────────────────────────────────────

  #giveBack(lease: ModelLease, state: 'released' | 'expired', by: JournalEntry): void {
    lease.state = state;
    lease.endedBy = by;
    if (lease.budgetMinor > 0) this.#move(this.held, lease.action, -lease.budgetMinor);
    this.#freeStock(lease);
  }

  #freeStock(lease: ModelLease): void {
    if (!lease.holdsStock) return;
    lease.holdsStock = false;
    this.#move(this.held, stockSubject(lease.sku), -1);
  }

  #move(amounts: Float64Array, subjectHash: number, amount: number): void {
    const index = SUBJECT_INDEX.get(subjectHash);
    if (index !== undefined) amounts[index] = (amounts[index] as number) + amount; // an index of a subject
  }
}
