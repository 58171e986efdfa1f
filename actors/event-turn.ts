/**
 * The turns that take in facts: `track`, and `confirm` and `release` of a lease. A fact becomes an
 * effect that says in full what it does: which lease it confirms, which moment it adds, what the models
 * learn. Learning happens here and now, so the next decision of this person, and of everybody else on
 * this shard, knows it.
 *
 * What an event means (docs/PROTOCOL.md):
 *   impression, dismiss            seen: confirms the lease, counts as a trial
 *   click, conversion, purchase    responded: confirms, and turns the trial into a response
 *   purchase                       also teaches demand, for the quoted product, and takes its stock
 *   complaint, unsubscribe         refuses contact on `properties.channel`, or on all; `subscribe` allows it again
 */
import { MOMENT } from '../decision/catalog.ts';
import { PURPOSE } from '../decision/consent.ts';
import { logGapBetween } from '../decision/purchase-due.ts';
import { IMPOSSIBLE_TRAVEL, type TravelRules } from '../decision/travel.ts';
import type { Properties } from '../proto/messages.ts';
import { murmur3Text, textHash } from '../proto/murmur3.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { type ActorRuntime, textWords } from './actor-runtime.ts';
import { EVENT_MOMENT_KIND } from './apply-effect.ts';
import { type DecisionIdParts, parseDecisionId } from './decision-id.ts';
import { EFFECT, EVENT, EVENT_FLAG, LEASE_EFFECT, LEDGER } from './effect.ts';
import { isMoved, joinedKeys, joinedName } from './identity.ts';
import { MapBytes } from './map-bytes.ts';
import { stockSubject } from './ports.ts';
import { FIELD, LEASE, LEASE_FLAG, LEASE_STATE } from './record-layout.ts';
import { dropSensitive } from './sealed-trait.ts';
import { addValue, beginStanding, isRestricted, STANDING_CHANGES_MAX } from './standing.ts';
import { watchTravel } from './travel-watch.ts';
import { owedAt, watchRipening } from './trial-ripening.ts';

/** An event dated further ahead than this is a broken clock and is taken as now. */
const FUTURE_MILLIS_MAX = 300_000;
const ENCODER = new TextEncoder();
const EVENT_NAME_BYTES_MAX = 1024;
/** Longest event name, in bytes of UTF-8, and properties that a journal entry takes. */
const PROPERTY_BYTES_MAX = 128 * 1024;

interface EventMeaning {
  readonly kind: number;
  readonly flags: number;
  readonly isResponse: boolean;
  readonly isSignal: boolean;
  /** Nothing will come of it any more: no response is waited for. */
  readonly isFinal: boolean;
}
function meaning(kind: number, isSeen: boolean, isResponse: boolean, isSignal: boolean, flags = 0): EventMeaning {
  const seen = isSeen ? EVENT_FLAG.confirms | EVENT_FLAG.trial : 0;
  return { kind, flags: flags | seen, isResponse, isSignal, isFinal: false };
}
const PLAIN = meaning(0, false, false, false);
const MEANINGS: ReadonlyMap<string, EventMeaning> = new Map([
  ['impression', meaning(MOMENT.impression, true, false, false)],
  ['dismiss', { ...meaning(0, true, false, false), isFinal: true }],
  ['click', meaning(MOMENT.click, true, true, true)],
  ['conversion', meaning(MOMENT.conversion, true, true, true)],
  ['purchase', meaning(MOMENT.conversion, true, true, true)],
  ['open', meaning(0, false, false, true)],
  ['complaint', meaning(0, false, false, false, EVENT_FLAG.contactRefused)],
  ['unsubscribe', meaning(0, false, false, false, EVENT_FLAG.contactRefused)],
  ['subscribe', meaning(0, false, false, false, EVENT_FLAG.contactAllowed)],
]);
const NO_BYTES = new Uint8Array(0);
const CONFIRM = meaning(0, true, false, false);

export class EventTurn {
  /** After `track`: whether the message id was known; then nothing was changed. */
  isDuplicate = false;
  /** After `track`: whether the event refuses or allows contact. */
  changesConsent = false;
  readonly #runtime: ActorRuntime;
  readonly #id: DecisionIdParts = { partition: 0, hashLow: 0, hashHigh: 0, decisionSeq: 0 };
  readonly #words = new Uint32Array(2);
  readonly #name = new Uint8Array(EVENT_NAME_BYTES_MAX);
  readonly #properties = new MapBytes();
  /** Of the event being filled in, see `EVENT.owed`. */
  #owed = 0;
  /** Whether the person lets what they do teach the models. */
  #teaches = true;

  constructor(runtime: ActorRuntime) {
    this.#runtime = runtime;
  }

  /** Takes in the request's event. Returns null when it was applied (or known already), else the fault. */
  track(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    this.isDuplicate = false;
    let decision = this.#decisionOf(request.decisionId, 'track.decisionId');
    if (decision < 0) return FAULT.malformedId;
    const { partition, hashLow, hashHigh } = this.#id;
    let quote = this.#decisionOf(request.quoteId, 'track.quoteId');
    if (quote < 0) return FAULT.malformedId;
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    const { record } = runtime;
    decision = this.#numberHere(decision, partition, hashLow, hashHigh);
    quote = this.#numberHere(quote, this.#id.partition, this.#id.hashLow, this.#id.hashHigh);
    if (decision < 0 || quote < 0) {
      return runtime.fail(FAULT.malformedId, 'track.decisionId: this decision was made for another profile');
    }
    const hasMessage = request.messageId !== '';
    if (hasMessage) {
      textWords(request.messageId, this.#words);
      if (record.hasMessage(this.#words[0] as number, this.#words[1] as number)) {
        this.isDuplicate = true;
        runtime.stats.duplicateEvents++;
        return null;
      }
    }
    runtime.expireDue(now);
    const { sensitiveNames, catalog } = runtime.index;
    // What is told under the name of a sensitive trait is not kept: properties lie in the journal as they are.
    if (sensitiveNames.length > 0) dropSensitive(request, sensitiveNames);
    const { cleaning } = catalog;
    if (cleaning !== null && !runtime.cleaner.cleanEvent(cleaning, request)) {
      const { message } = runtime.cleaner.map;
      runtime.letters.keepEvent(request, runtime.cleaner.refusalsOf(cleaning, request), now);
      return runtime.fail(FAULT.invalidProperty, message);
    }
    const channel = request.properties?.channel;
    const channelSpec = typeof channel === 'string' ? runtime.index.catalog.channelByKey.get(channel) : undefined;
    const what = MEANINGS.get(request.event) ?? PLAIN;
    this.changesConsent = what.flags >= EVENT_FLAG.contactRefused;
    if (typeof channel === 'string' && channelSpec === undefined && this.changesConsent) {
      return runtime.fail(FAULT.unknownChannel, 'track.properties.channel: the catalog has no such channel');
    }
    const { properties, frame, propertiesStart, propertiesEnd } = request;
    this.#properties.take(properties, frame, propertiesStart, propertiesEnd, runtime.options.coldCodec);
    const ok = this.#apply(
      request.event,
      what,
      decision !== 0 ? decision : quote,
      quote,
      properties,
      this.#eventAt(request.atEpochMillis, now),
      hasMessage,
      channelSpec?.hash ?? 0,
      now,
    );
    if (ok) {
      const eventHash = murmur3Text(request.event, 0);
      this.#keepValues(eventHash, properties, this.#eventAt(request.atEpochMillis, now), now);
      if (cleaning !== null) runtime.cleaner.afterEvent(request.event, now);
      runtime.tags.afterEvent(eventHash, now);
      if (catalog.travel !== null) this.#watchTravel(catalog.travel, properties, request.atEpochMillis, now);
      if (hasMessage) runtime.letters.settle(request.messageId, now);
    }
    return ok ? null : runtime.fail(FAULT.internal, 'track: the turn failed and was undone; see the log');
  }

  /** Tells an event of its own where nobody can have come from where the person was last. */
  #watchTravel(travel: TravelRules, properties: Properties | null, toldAt: number, now: number): void {
    const runtime = this.#runtime;
    const at = this.#eventAt(toldAt, now);
    const trip = watchTravel(runtime, travel, properties, at, now);
    if (trip !== null) this.tell(IMPOSSIBLE_TRAVEL, trip, at, now);
  }

  /**
   * An event of the server's own about the bound person, in a turn that has begun.
   * @param at when it was, at most `now`
   */
  tell(event: string, properties: Properties, at: number, now: number): void {
    const runtime = this.#runtime;
    this.#properties.take(properties, NO_BYTES, 0, 0, runtime.options.coldCodec);
    if (!this.#apply(event, PLAIN, 0, 0, properties, at, false, 0, now)) return;
    runtime.stats[event === IMPOSSIBLE_TRAVEL ? 'tripsTold' : 'devicesTold']++;
    const eventHash = murmur3Text(event, 0);
    this.#keepValues(eventHash, properties, at, now);
    runtime.tags.afterEvent(eventHash, now);
  }

  /** Keeps the values of the event's properties that some rule reads, in the same batch. */
  #keepValues(eventHash: number, properties: Properties | null, at: number, now: number): void {
    const runtime = this.#runtime;
    const readings = runtime.index.valuesByEvent.get(eventHash);
    if (readings === undefined || properties === null) return;
    let count = 0;
    for (const { property, subjectHash } of readings) {
      const value = properties[property];
      if (value === undefined || value === null || typeof value === 'object') continue;
      if (at <= now - runtime.index.valueRetentionMillis(subjectHash)) continue;
      if (count === 0) beginStanding(runtime.effect);
      if (count === STANDING_CHANGES_MAX) break;
      addValue(runtime.effect, subjectHash, at, textHash(String(value)));
      count++;
    }
    if (count > 0) runtime.commit(now);
  }

  /** Confirms every open lease of the decision: the offer was made, its cost is spent, a trial begins. */
  confirm(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    const fault = this.#openDecision(request, 'confirm.decisionId', now);
    if (fault !== null) return fault;
    const state = this.#leaseState();
    if (state === LEASE_STATE.confirmed) return null;
    if (state !== LEASE_STATE.open) {
      return runtime.fail(FAULT.leaseEnded, `confirm.decisionId: the lease was ${nameOfState(state)}`);
    }
    const ok = this.#apply('confirm', CONFIRM, this.#id.decisionSeq, this.#id.decisionSeq, null, now, false, 0, now);
    return ok ? null : runtime.fail(FAULT.internal, 'confirm: the turn failed and was undone; see the log');
  }

  /** Gives back what the decision holds. */
  release(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    const fault = this.#openDecision(request, 'release.decisionId', now);
    if (fault !== null) return fault;
    const state = this.#leaseState();
    if (state === LEASE_STATE.released) return null;
    if (state === LEASE_STATE.confirmed) {
      return runtime.fail(FAULT.leaseConfirmed, 'release.decisionId: the lease was confirmed already');
    }
    if (state !== LEASE_STATE.open)
      return runtime.fail(FAULT.leaseEnded, `release.decisionId: the lease was ${nameOfState(state)}`);
    const { effect, record, stats } = runtime;
    effect.begin(EFFECT.release, 8);
    effect.setU32(LEASE_EFFECT.decisionSeq, this.#id.decisionSeq);
    let released = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      if (!this.#isOpenLease(i, this.#id.decisionSeq)) continue;
      released++;
      const flags = record.leaseU8(i, LEASE.flags);
      if (flags & LEASE_FLAG.holdsBudget) {
        effect.addLedger(LEDGER.free, record.leaseU32(i, LEASE.actionHash), record.leaseCostMinor(i));
      }
      if (flags & LEASE_FLAG.holdsStock)
        effect.addLedger(LEDGER.free, stockSubject(record.leaseU32(i, LEASE.skuHash)), 1);
    }
    if (!runtime.commit(now))
      return runtime.fail(FAULT.internal, 'release: the turn failed and was undone; see the log');
    stats.leasesReleased += released;
    return null;
  }

  /** The partition that owns the decision, or -1 when the id is not of ours. */
  partitionOf(decisionId: string): number {
    return parseDecisionId(decisionId, this.#id) ? this.#id.partition : -1;
  }

  #decisionOf(id: string, field: string): number {
    if (id === '') return 0;
    if (parseDecisionId(id, this.#id)) return this.#id.decisionSeq;
    this.#runtime.message = `${field}: not an id this server issues (20 characters, with a check)`;
    return -1;
  }

  /**
   * The number by which the bound profile knows a decision; -1 for somebody else's. One made under a key that was joined
   * since has another number here than in its id.
   */
  #numberHere(decisionSeq: number, partition: number, hashLow: number, hashHigh: number): number {
    const { record } = this.#runtime;
    if (decisionSeq === 0 || (hashLow === record.hashLow && hashHigh === record.hashHigh)) return decisionSeq;
    const key = joinedKeys(this.#runtime.readCold()).get(joinedName({ partition, hashHigh, hashLow }));
    return key === undefined ? -1 : decisionSeq + key.raisedBy;
  }

  #openDecision(request: Request, field: string, now: number): Fault | null {
    const runtime = this.#runtime;
    if (!parseDecisionId(request.decisionId, this.#id)) {
      return runtime.fail(FAULT.malformedId, `${field}: not an id this server issues (20 characters, with a check)`);
    }
    const { partition, hashLow, hashHigh } = this.#id;
    const isSentOn = request.asPartition >= 0;
    const isKnown = isSentOn
      ? runtime.openKnown(request.asPartition, request.asLow, request.asHigh)
      : runtime.openKnown(partition, hashLow, hashHigh);
    if (!isKnown) {
      if (runtime.isQuarantined) return runtime.failQuarantined();
      return runtime.fail(FAULT.unknownDecision, `${field}: no such decision is kept`);
    }
    if (isMoved(runtime.record)) return runtime.failMoved();
    if (isSentOn) {
      this.#id.decisionSeq = this.#numberHere(this.#id.decisionSeq, partition, hashLow, hashHigh);
      if (this.#id.decisionSeq < 0) return runtime.fail(FAULT.unknownDecision, `${field}: no such decision is kept`);
    }
    runtime.expireDue(now);
    if (this.#leaseState() === 0) return runtime.fail(FAULT.unknownDecision, `${field}: no such decision is kept`);
    return null;
  }

  /** State of the decision's leases (they end together), or 0 when none is kept. */
  #leaseState(): number {
    const { record } = this.#runtime;
    let state = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      if (record.leaseU32(i, LEASE.decisionSeq) !== this.#id.decisionSeq) continue;
      state = record.leaseU8(i, LEASE.state);
      if (state === LEASE_STATE.open) return state;
    }
    return state;
  }

  #isOpenLease(i: number, decisionSeq: number): boolean {
    const { record } = this.#runtime;
    return record.leaseU32(i, LEASE.decisionSeq) === decisionSeq && record.leaseU8(i, LEASE.state) === LEASE_STATE.open;
  }

  /** When the request's event was. */
  eventAt({ atEpochMillis }: Pick<Request, 'atEpochMillis'>, now: number): number {
    return this.#eventAt(atEpochMillis, now);
  }

  #eventAt(atEpochMillis: number, now: number): number {
    return Number.isNaN(atEpochMillis) || atEpochMillis > now + FUTURE_MILLIS_MAX ? now : atEpochMillis;
  }

  /**
   * One effect for the event and, for a decision of several actions that was seen as a whole, one more
   * for each further action, so that each learns its own trial.
   */
  #apply(
    name: string,
    what: EventMeaning,
    decisionSeq: number,
    quoteSeq: number,
    properties: Properties | null,
    at: number,
    hasMessage: boolean,
    channelHash: number,
    now: number,
  ): boolean {
    const { record } = this.#runtime;
    const wantedAction = properties?.action;
    const wanted =
      typeof wantedAction === 'string' ? this.#runtime.index.catalog.actionByKey.get(wantedAction) : undefined;
    const leases: number[] = [];
    for (let i = 0; decisionSeq !== 0 && i < record.leaseCount; i++) {
      if (record.leaseU32(i, LEASE.decisionSeq) !== decisionSeq) continue;
      if (wanted === undefined || record.leaseU32(i, LEASE.actionHash) === wanted.hash) leases.push(i);
    }
    // A response is to one action; being seen is about all of them.
    let owing = -1;
    const actions = what.isResponse || leases.length === 0 ? 1 : leases.length;
    for (let n = 0; n < actions; n++) {
      const lease = leases[n] ?? -1;
      const isFirst = n === 0;
      this.#fill(
        isFirst ? name : 'seen',
        what,
        lease,
        decisionSeq,
        quoteSeq,
        isFirst ? properties : null,
        at,
        isFirst && hasMessage,
        channelHash,
        isFirst,
        now,
      );
      if (!this.#runtime.commit(now)) return false;
      if (this.#owed !== 0) owing = lease;
    }
    // One hint a decision: its trials are looked at together.
    if (owing >= 0) watchRipening(this.#runtime, owing, now);
    return true;
  }

  #fill(
    name: string,
    what: EventMeaning,
    lease: number,
    decisionSeq: number,
    quoteSeq: number,
    properties: Properties | null,
    at: number,
    hasMessage: boolean,
    channelHash: number,
    isFirst: boolean,
    now: number,
  ): void {
    const runtime = this.#runtime;
    const { record, effect, index, options, stats } = runtime;
    const nameBytes = ENCODER.encodeInto(name, this.#name).written;
    const hasBytes = properties !== null && this.#properties.length <= PROPERTY_BYTES_MAX;
    const storedPropertyBytes = hasBytes ? this.#properties.length : 0;
    effect.begin(EFFECT.event, EVENT.name - 48 + nameBytes + storedPropertyBytes);
    effect.u8.set(this.#name.subarray(0, nameBytes), EVENT.name);
    if (hasBytes) this.#properties.copyTo(effect.u8, EVENT.name + nameBytes);
    effect.setU16(EVENT.nameBytes, nameBytes);
    effect.setU32(EVENT.propertyBytes, storedPropertyBytes);
    const eventHash = murmur3Text(name, 0);
    const isPurchase = name === 'purchase';
    let flags = runtime.consent.hasOptOut ? EVENT_FLAG.optOut : 0;
    effect.setF64(EVENT.eventAt, at);
    effect.setU32(EVENT.eventHash, eventHash);
    if (hasMessage) {
      flags |= EVENT_FLAG.hasMessage;
      effect.setU32(EVENT.messageLow, this.#words[0] as number);
      effect.setU32(EVENT.messageHigh, this.#words[1] as number);
    }
    this.#owed = 0;
    runtime.consent.bind(record, index.catalog.consent, now);
    const isUnused = isRestricted(record);
    if (isUnused) flags |= EVENT_FLAG.restricted;
    this.#teaches = !isUnused && runtime.consent.allows(PURPOSE.measurement);
    if (this.#teaches && index.catalog.suspicions.length > 0) {
      runtime.scope.bind(record, index, null, now, runtime.defaultZone);
      this.#teaches = runtime.scope.findSuspicion() < 0;
    }
    effect.setF64(EVENT.revenueMinor, numberOf(properties?.revenueMinor));
    effect.setU16(EVENT.hourOfWeek, 0xffff);
    if (lease >= 0) flags |= this.#fillAttribution(what, lease, decisionSeq, isFirst, isPurchase, properties);
    const owed = this.#owed;
    if (isPurchase) {
      this.#takeStock(properties, flags & EVENT_FLAG.endsStockHold ? effect.getU32(EVENT.skuHash) : 0);
    }
    if (quoteSeq === 0 && lease < 0) effect.setF64(EVENT.priceMinor, Number.NaN);
    const retention = index.catalog.retentions.get(eventHash);
    if (retention !== undefined && isFirst && at > now - retention.windowMillis) {
      flags |= EVENT_FLAG.eventMoment;
      effect.setF64(EVENT.amount, retention.property === null ? 0 : numberOf(properties?.[retention.property]));
    }
    if (what.isSignal && isFirst && this.#teaches) {
      runtime.scope.bind(record, index, null, at, runtime.defaultZone);
      flags |= EVENT_FLAG.sendTime;
      effect.setU16(EVENT.hourOfWeek, runtime.scope.hourOfWeek);
      effect.setU32(EVENT.zoneHash, murmur3Text(options.zones.zoneName(runtime.scope.zone), 0));
    }
    if (isPurchase && isFirst && this.#teaches) {
      const isKnown = record.getU16(FIELD.purchases) > 0;
      const logGap = isKnown ? logGapBetween(record.getF64(FIELD.lastPurchaseAt), at) : Number.NaN;
      if (!isKnown || !Number.isNaN(logGap)) flags |= EVENT_FLAG.occasion;
      effect.f32[EVENT.logGap >>> 2] = logGap;
    }
    flags |= what.flags & (EVENT_FLAG.contactRefused | EVENT_FLAG.contactAllowed);
    // What is learnt of a decision is about the channel it chose; a refusal is about the one named, or all.
    const isContact = (flags & (EVENT_FLAG.contactRefused | EVENT_FLAG.contactAllowed)) !== 0;
    if (lease < 0 || isContact) effect.setU32(EVENT.channelHash, channelHash);
    effect.setU32(EVENT.flags, flags);
    effect.u8[EVENT.owed] = owed;
    if (flags & EVENT_FLAG.response) this.#owed = 0;
    if (flags & (EVENT_FLAG.trial | EVENT_FLAG.response | EVENT_FLAG.trialWithResponse | EVENT_FLAG.purchase))
      stats.learnUpdates++;
  }

  /** What the event does to the lease it is about; returns the flags. */
  #fillAttribution(
    what: EventMeaning,
    lease: number,
    decisionSeq: number,
    isFirst: boolean,
    isPurchase: boolean,
    properties: Properties | null,
  ): number {
    const { record, effect, stats, index } = this.#runtime;
    const state = record.leaseU8(lease, LEASE.state);
    const leaseFlags = record.leaseU8(lease, LEASE.flags);
    const owed = record.leaseU8(lease, LEASE.owed);
    const actionHash = record.leaseU32(lease, LEASE.actionHash);
    const priceMinor = record.leaseF64(lease, LEASE.priceMinor);
    let flags = 0;
    effect.setU32(EVENT.decisionSeq, decisionSeq);
    effect.setU32(EVENT.actionHash, actionHash);
    effect.setU32(EVENT.channelHash, record.leaseU32(lease, LEASE.channelHash));
    effect.setU32(EVENT.skuHash, record.leaseU32(lease, LEASE.skuHash));
    effect.setF64(EVENT.priceMinor, priceMinor);
    effect.setU32(EVENT.decisionEpoch, record.leaseU32(lease, LEASE.journalEpoch));
    effect.setU32(EVENT.decisionStream, record.leaseU32(lease, LEASE.journalStream));
    effect.setU32(EVENT.decisionBatch, record.leaseU32(lease, LEASE.journalBatch));
    effect.setU32(EVENT.decisionOffset, record.leaseU32(lease, LEASE.journalOffset));
    if (what.flags & EVENT_FLAG.confirms && isFirst && state === LEASE_STATE.open) {
      flags |= EVENT_FLAG.confirms;
      for (let i = 0; i < record.leaseCount; i++) {
        if (!this.#isOpenLease(i, decisionSeq)) continue;
        stats.leasesConfirmed++;
        if (record.leaseU8(i, LEASE.flags) & LEASE_FLAG.holdsBudget) {
          effect.addLedger(LEDGER.spend, record.leaseU32(i, LEASE.actionHash), record.leaseCostMinor(i));
        }
      }
    }
    const isWithinReward =
      effect.getF64(EVENT.eventAt) - record.leaseF64(lease, LEASE.at) <= index.catalog.decision.rewardWindowMillis;
    if (actionHash !== 0 && isWithinReward) {
      const isTrial = (leaseFlags & LEASE_FLAG.trialLearnt) !== 0;
      if (!this.#teaches) {
        // Counted for caps all the same.
      } else if (what.isResponse) {
        if ((leaseFlags & LEASE_FLAG.responseLearnt) === 0)
          flags |= isTrial ? EVENT_FLAG.response : EVENT_FLAG.trialWithResponse;
        this.#owed = owed;
      } else if (what.flags & EVENT_FLAG.trial) {
        if (!isTrial) {
          flags |= EVENT_FLAG.trial;
          const age = effect.getF64(EVENT.eventAt) - record.leaseF64(lease, LEASE.at);
          if (!what.isFinal) this.#owed = owedAt(this.#runtime, record.leaseU32(lease, LEASE.channelHash), age);
        } else if (what.isFinal && owed !== 0) {
          flags |= EVENT_FLAG.ripened;
          effect.setF64(EVENT.quantity, owed);
        }
      }
      if (what.kind !== 0 && index.keeps(what.kind, actionHash)) {
        flags |= EVENT_FLAG.actionMoment;
        effect.u8[EVENT_MOMENT_KIND] = what.kind;
      }
    }
    if (!Number.isNaN(priceMinor) && isWithinReward) {
      // A decision has one price, however many actions it has: its quote and its purchase count once.
      const decisionFlags = this.#flagsOfDecision(decisionSeq);
      if (decisionFlags & LEASE_FLAG.personalPrice) flags |= EVENT_FLAG.personalPrice;
      if (this.#teaches && what.flags & EVENT_FLAG.trial && (decisionFlags & LEASE_FLAG.quoteLearnt) === 0)
        flags |= EVENT_FLAG.quote;
      if (isPurchase && (decisionFlags & LEASE_FLAG.purchaseLearnt) === 0) {
        if (this.#teaches) flags |= EVENT_FLAG.purchase;
        const quantity = this.#quantityOf(properties, record.leaseU32(lease, LEASE.skuHash));
        effect.setF64(EVENT.quantity, quantity);
        if (decisionFlags & LEASE_FLAG.holdsStock) {
          flags |= EVENT_FLAG.endsStockHold;
          effect.addLedger(LEDGER.spend, stockSubject(record.leaseU32(lease, LEASE.skuHash)), 1);
        }
      }
    }
    return flags;
  }

  /** What any lease of the decision holds or has taught. */
  #flagsOfDecision(decisionSeq: number): number {
    const { record } = this.#runtime;
    let flags = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      if (record.leaseU32(i, LEASE.decisionSeq) === decisionSeq) flags |= record.leaseU8(i, LEASE.flags);
    }
    return flags;
  }

  /** Units of the product bought by this purchase; 1 when the items do not say. */
  #quantityOf(properties: Properties | null, skuHash: number): number {
    let quantity = 0;
    this.#eachItem(properties, (hash, units) => {
      if (hash === skuHash) quantity += units;
    });
    return quantity > 0 ? quantity : 1;
  }

  /** Takes the bought units from stock; of the product whose lease held one, one less. */
  #takeStock(properties: Properties | null, heldSku: number): void {
    const { effect, options } = this.#runtime;
    let held = heldSku;
    this.#eachItem(properties, (hash, units) => {
      const left = hash === held ? units - 1 : units;
      if (hash === held) held = 0;
      if (left > 0 && options.ledger.isLimited(stockSubject(hash)) && effect.ledgerCount < 250) {
        effect.addLedger(LEDGER.take, stockSubject(hash), left);
      }
    });
  }

  #eachItem(properties: Properties | null, visit: (skuHash: number, units: number) => void): void {
    const items = properties?.items;
    if (!Array.isArray(items)) return;
    for (const item of items as readonly unknown[]) {
      if (typeof item !== 'object' || item === null) continue;
      const { sku, quantity } = item as { sku?: unknown; quantity?: unknown }; // a plain object of the caller's
      const product = typeof sku === 'string' ? this.#runtime.index.catalog.productBySku.get(sku) : undefined;
      const units = quantity === undefined ? 1 : quantity;
      if (product === undefined || typeof units !== 'number' || !(units > 0) || units > 1e6) continue;
      visit(product.hash, Math.floor(units));
    }
  }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function nameOfState(state: number): string {
  return state === LEASE_STATE.released ? 'released' : state === LEASE_STATE.expired ? 'expired' : 'confirmed';
}
