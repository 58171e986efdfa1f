/**
 * What an answer promised, held against the checker's model: a committed reply is on disk before it was sent, a
 * state sequence seen as committed is never undercut, a decision's reply is its journal entry, a refusal that was
 * acknowledged binds the next answer, and no refusal of a confirm or release denies a lease that stands.
 */
import type { OpportuneError } from '../../client/opportune-error.ts';
import type { Reply } from '../../client/session.ts';
import type { DecideReply, ProfileReply, TrackReply } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import type { DecisionEntry, EventEntry, JournalEntry } from './journal-entry.ts';
import { INVARIANT } from './model-profile.ts';
import { actionHash, channelHash } from './sim-catalog.ts';
import type { Person, SimChecker } from './sim-checker.ts';
import type { SimTime } from './sim-time.ts';

/** One request as it was meant. */
export interface Ask {
  readonly op: 'decide' | 'track' | 'confirm' | 'release' | 'identify' | 'profile' | 'alias';
  readonly person: Person;
  /** The step in which it was made, and what was known for certain then. */
  readonly step: number;
  readonly committedSeq: number;
  readonly refused: readonly string[];
  readonly isCommitted: boolean;
  readonly isDryRun?: boolean;
  readonly message?: number;
  readonly decisionSeq?: number;
  /** Of an alias: the other. */
  readonly other?: Person;
  /** Who may have answered: whom it was asked of, and whom they were joined into since. */
  readonly way?: readonly Person[];
  readonly event?: string;
  readonly channel?: string;
}

const ALL_CHANNELS = '*';
/** What a well-made request of the simulation may be answered with. */
const EXPECTED_CODES: ReadonlySet<number> = new Set(
  [
    FAULT.tooManyInFlight,
    FAULT.mailboxFull,
    FAULT.overloaded,
    FAULT.deadlineExceeded,
    FAULT.readOnly,
    FAULT.writeFailed,
    FAULT.shardRecovering,
    FAULT.shuttingDown,
    FAULT.staleState,
    FAULT.joining,
  ].map(({ code }) => code),
);

export class SimAnswers {
  /** By person: channels whose refusal a client knows to be on disk, and subscribes whose fate is open. */
  readonly #refused = new Map<Person, Set<string>>();
  readonly #subscribing = new Map<Person, number>();
  /** The last step in which one was made or answered. */
  readonly #subscribedStep = new Map<Person, number>();
  readonly #checker: SimChecker;
  readonly #time: SimTime;
  /** Calls by outcome, for the report of a run. */
  okCount = 0;
  refusedCount = 0;
  lostCount = 0;

  constructor(checker: SimChecker, time: SimTime) {
    this.#checker = checker;
    this.#time = time;
  }

  /** The request as it is about to be made. */
  ask(fields: Omit<Ask, 'step' | 'committedSeq' | 'refused'>): Ask {
    const { person } = fields;
    if (fields.event === 'subscribe') {
      this.#refused.delete(person);
      this.#subscribedStep.set(person, this.#checker.step);
      this.#subscribing.set(person, (this.#subscribing.get(person) ?? 0) + 1);
    }
    const refused = this.#refused.get(person);
    return {
      ...fields,
      step: this.#checker.step,
      committedSeq: person.committedSeq,
      refused: refused === undefined ? NOTHING : [...refused],
    };
  }

  /** One outcome of a call. @param sentStep the step in which the server sent the answer */
  settled(ask: Ask, reply: Reply | undefined, error: OpportuneError | undefined, sentStep: number): void {
    const found = this.#whoAnswered(ask);
    if (error !== undefined) this.#failed(found, error);
    else if (reply !== undefined) this.#answered(found, reply, sentStep);
  }

  /** Whoever the person is part of by now, and the number that the decision has there. */
  #whoAnswered(ask: Ask): Ask {
    const way = this.#checker.partsOf(ask.person);
    if (way.length === 1) return ask;
    const person = this.#checker.holderOf(ask.person);
    const raisedBy = person.model.joined.get(ask.person.model.low) ?? 0;
    const { decisionSeq } = ask;
    return {
      ...ask,
      person,
      way,
      ...(decisionSeq === undefined ? {} : { decisionSeq: decisionSeq + raisedBy }),
    };
  }

  #failed(ask: Ask, { code, message }: OpportuneError): void {
    // The client's own: no connection, no answer in time.
    if (code === 0) {
      this.lostCount++;
      return;
    }
    this.refusedCount++;
    if (EXPECTED_CODES.has(code)) return;
    const { person, op } = ask;
    const isAboutLease =
      code === FAULT.unknownDecision.code || code === FAULT.leaseEnded.code || code === FAULT.leaseConfirmed.code;
    if (!isAboutLease) {
      this.#checker.report(INVARIANT.fault, `${op} of ${person.key} is answered with ${code}: ${message}`);
      return;
    }
    if (wasRolledBack(ask)) return;
    for (const lease of person.model.leases) {
      if (lease.decisionSeq !== ask.decisionSeq || lease.entry.step >= ask.step || lease.budgetMinor === 0) continue;
      const stands = lease.state === 'open' && lease.expiresAt > this.#time.wallMillis;
      if (stands && code !== FAULT.leaseConfirmed.code)
        this.#checker.report(INVARIANT.lease, `${person.key}: ${code} denies the open lease of ${lease.decisionSeq}`);
    }
  }

  #answered(ask: Ask, reply: Reply, sentStep: number): void {
    this.okCount++;
    const checker = this.#checker;
    checker.answersChecked++;
    const { person } = ask;
    const stateSeq = (reply as TrackReply).stateSeq;
    if (stateSeq < ask.committedSeq) {
      checker.report(
        INVARIANT.stateSeq,
        `${person.key}: ${ask.op} shows ${stateSeq} to who saw ${ask.committedSeq} committed`,
      );
    }
    switch (ask.op) {
      case 'track':
        this.#tracked(ask, reply as TrackReply, sentStep);
        break;
      case 'decide':
        this.#decided(ask, reply as DecideReply, sentStep);
        break;
      case 'confirm':
        this.#ended(ask, 'confirmed', sentStep);
        break;
      case 'release':
        this.#ended(ask, 'released', sentStep);
        break;
      case 'alias':
        this.#joined(ask);
        break;
      case 'profile':
        this.#described(ask, reply as ProfileReply, sentStep);
        break;
      default:
        this.#expectLanded(
          ask,
          this.#entryOf(ask, stateSeq, ({ type, batch }) => type === 'identify' && batch.landedStep <= sentStep),
          sentStep,
          `identify at ${stateSeq}`,
        );
    }
    // Of whom it was asked: what another key's profile showed says nothing of the one it is part of now.
    const [asked = person] = ask.way ?? [person];
    if (ask.isCommitted) asked.committedSeq = Math.max(asked.committedSeq, stateSeq);
  }

  /** Of whoever answered: one of another kind, at the same number of somebody else on the way, is not it. */
  #entryOf({ person, way = [person] }: Ask, seq: number, isMeant: (entry: JournalEntry) => boolean) {
    const found = way.map((one) => this.#entryAt(one, seq)).filter((entry) => entry !== undefined);
    return found.find(isMeant) ?? found[0];
  }

  #entryAt({ log }: Person, seq: number): JournalEntry | undefined {
    // Sequences follow each other, so that it is near this place.
    for (let i = log.length - 1; i >= 0; i--) {
      const entry = log[i];
      if (entry === undefined || entry.seq < seq) return undefined;
      if (entry.seq === seq) return entry;
    }
    return undefined;
  }

  /** What was answered as committed was on disk when the answer left. */
  #expectLanded({ person }: Ask, entry: JournalEntry | undefined, sentStep: number, what: string): void {
    const { report } = this.#checker;
    if (entry === undefined) report(INVARIANT.acknowledged, `${person.key}: ${what} was acknowledged and is gone`);
    else if (!entry.batch.isLanded || entry.batch.landedStep > sentStep)
      report(INVARIANT.acknowledged, `${person.key}: ${what} was acknowledged before it was on disk`);
  }

  #tracked(ask: Ask, reply: TrackReply, sentStep: number): void {
    const { person, message, event } = ask;
    const { way = [person] } = ask;
    const entry = message === undefined ? undefined : earliestIn(way, message);
    if (ask.isCommitted && message !== undefined) this.#expectLanded(ask, entry, sentStep, `the ${event}`);
    else if (entry === undefined && !wasRolledBack(ask))
      this.#checker.report(INVARIANT.answer, `${person.key}: the ${event} was answered, and is not in the journal`);
    if (event === 'subscribe') {
      this.#subscribing.set(person, (this.#subscribing.get(person) ?? 1) - 1);
      this.#subscribedStep.set(person, this.#checker.step);
    }
    const isAfter = ask.step > (this.#subscribedStep.get(person) ?? -1);
    const isRefusal = event === 'unsubscribe' && ask.isCommitted && isAfter && !reply.duplicate;
    if (isRefusal && (this.#subscribing.get(person) ?? 0) === 0) {
      const refused = this.#refused.get(person) ?? new Set();
      refused.add(ask.channel ?? ALL_CHANNELS);
      this.#refused.set(person, refused);
    }
  }

  #decided(ask: Ask, reply: DecideReply, sentStep: number): void {
    const { person, refused } = ask;
    const { report } = this.#checker;
    for (const { action, channel, propensity } of reply.actions) {
      if (!(propensity > 0 && propensity <= 1)) report(INVARIANT.propensity, `${action} has propensity ${propensity}`);
      const isOne = person.model.joined.size === 0;
      if (isOne && refused.length > 0 && (refused.includes(ALL_CHANNELS) || refused.includes(channel ?? '')))
        if ((this.#subscribedStep.get(person) ?? -1) < ask.step)
          // A subscribe made meanwhile may have been served first, whatever was refused again since.
          report(INVARIANT.refusal, `${person.key}: ${action} on ${channel} after its refusal`);
    }
    if (ask.isDryRun === true) {
      if (reply.decisionId !== null) report(INVARIANT.answer, `${person.key}: a dry run has a decision id`);
      return;
    }
    const found = this.#entryOf(ask, reply.stateSeq, (entry) => entry.type === 'decision' && isOf(entry, reply));
    if (ask.isCommitted) this.#expectLanded(ask, found, sentStep, `the decision at ${reply.stateSeq}`);
    if (found === undefined || wasRolledBack(ask)) return;
    if (found.type !== 'decision' || !isOf(found, reply))
      report(INVARIANT.answer, `${person.key}: the reply at ${reply.stateSeq} is not what was journalled`);
  }

  #ended(ask: Ask, state: 'confirmed' | 'released', sentStep: number): void {
    const { person, decisionSeq } = ask;
    const leases = person.model.leases.filter((lease) => lease.decisionSeq === decisionSeq);
    // The model forgets ended leases too, in its own time.
    for (const lease of leases) {
      if (lease.state === state && lease.endedBy !== null) {
        this.#expectLanded(ask, lease.endedBy, sentStep, `${state} ${decisionSeq}`);
        continue;
      }
      if (wasRolledBack(ask) && lease.state !== 'open') continue;
      this.#checker.report(
        INVARIANT.acknowledged,
        `${person.key}: decision ${decisionSeq} was acknowledged as ${state} and is ${lease.state}`,
      );
    }
  }

  /** Two keys that were acknowledged as one person's lead to one. */
  #joined({ person, other }: Ask): void {
    const { report } = this.#checker;
    if (other === undefined) return;
    const [a, b] = [this.#checker.rootOf(person), this.#checker.rootOf(other)];
    if (a !== b)
      report(INVARIANT.identity, `${person.key} and ${other.key} were joined, and are ${a.key} and ${b.key}`);
  }

  /** Only where nothing has happened to the person since the answer was made. */
  #described(ask: Ask, reply: ProfileReply, sentStep: number): void {
    const { person } = ask;
    const { model, log } = person;
    if (reply.stateSeq !== model.seq || wasRolledBack(ask)) return;
    const last = log[log.length - 1];
    if (last !== undefined && last.step > sentStep) return;
    // A write that was reported as failed and landed all the same is read back when the worker can write again. Until then
    // what time changes has its numbers a second time, and reaches no disk.
    const again = new Set(log.filter(({ batch }) => !batch.isLanded).map(({ seq }) => seq));
    if (log.some(({ batch, seq }) => batch.isLanded && (seq > model.seq || again.has(seq)))) return;
    const record = reply.record as { traits: { age?: number }; consent: { contactRefusedChannels: string[] } }; // as docs/PROTOCOL.md says
    if ((record.traits.age ?? null) !== model.age) {
      this.#checker.report(INVARIANT.answer, `${person.key}: age ${record.traits.age} is shown, ${model.age} was told`);
    }
    const refused = record.consent.contactRefusedChannels;
    const isRight = ['app', 'push', 'email'].every(
      (key) => refused.includes(key) === (model.refusesAll || model.refused.has(channelHash(key))),
    );
    if (!isRight) this.#checker.report(INVARIANT.refusal, `${person.key}: shown as refused: ${refused.join(', ')}`);
  }
}

const NOTHING: readonly string[] = [];

/** Whether something was lost since, of whoever may have answered. */
function wasRolledBack({ person, way = [person], step }: Ask): boolean {
  return way.some(({ rollbackStep }) => rollbackStep >= step);
}

/** The event of a message; of one that was forgotten and told again the first. */
function earliestIn(people: readonly Person[], message: number): EventEntry | undefined {
  let earliest: EventEntry | undefined;
  for (const { model } of people) {
    const entry = model.messages.get(message);
    if (entry !== undefined && !(earliest !== undefined && earliest.step <= entry.step)) earliest = entry;
  }
  return earliest;
}

function isOf(entry: DecisionEntry, reply: DecideReply): boolean {
  const isSame =
    entry.chosen.length === reply.actions.length &&
    entry.chosen.every(({ action, propensity }, k) => {
      const row = reply.actions[k];
      return row !== undefined && actionHash(row.action) === action && row.propensity === propensity;
    });
  return (
    isSame && (reply.price === undefined ? Number.isNaN(entry.priceMinor) : reply.price.priceMinor === entry.priceMinor)
  );
}
