/**
 * The turns about what is known of a person: `identify` sets traits, `profile` shows the record. Traits
 * are checked by hand against the catalog's schema before anything changes; all or none of a request's
 * traits are taken. `profile` may read the cold record and follow the journal backwards, so it is not
 * for the hot path.
 */
import type { Cap, TraitSpec } from '../decision/catalog.ts';
import { MOMENT } from '../decision/catalog.ts';
import { TEXT_LENGTH_MAX } from '../decision/cleaning/clean-value.ts';
import { expectationOf, kindOf } from '../decision/cleaning/expectation.ts';
import { isInside } from '../decision/contact-policy.ts';
import { isBlockedKey } from '../decision/identity-rules.ts';
import { OUTSIDE } from '../decision/journey.ts';
import { LIMITS } from '../proto/limits.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { refusesChannel } from './apply-effect.ts';
import { REFUSED_MAX, refusalOfTrait } from './cleaner.ts';
import { describeConsent } from './consent-turn.ts';
import { describeWishes } from './contact-wishes.ts';
import { type Refusal, refusalOf } from './dead-letters.ts';
import { formatDecisionId } from './decision-id.ts';
import { EFFECT, Effect, fillIdentify, IDENTIFY } from './effect.ts';
import { describeIdentity, joinedKeys, joinedName } from './identity.ts';
import { describeEntry } from './journal-text.ts';
import { keptConsent } from './kept-states.ts';
import { newestEntryOf } from './person-chain.ts';
import { newestTold, qualityOf, traitsToldSince } from './profile-quality.ts';
import { FIELD, LEASE, LEASE_STATE } from './record-layout.ts';
import { describeRestriction } from './restriction.ts';
import { SealedTrait, usableKey } from './sealed-trait.ts';
import { isTimekeeping } from './standing.ts';

const TIMELINE_MAX = 50;
const NO_KEYS: readonly string[] = [];
const encoder = new TextEncoder();
const NONE: readonly Refusal[] = [];
const STATE_NAMES: Record<number, string> = { 1: 'open', 2: 'confirmed', 3: 'released', 4: 'expired' };

export class ProfileTurn {
  readonly #runtime: ActorRuntime;
  readonly #entry = new Effect();
  /** Keys that the traits of the last `identify` told, and the person is not joined with yet: of one that went well. */
  keysTold: readonly string[] = NO_KEYS;
  /** Of the traits looked at last, where one was refused. */
  #refusal: Refusal = refusalOf('', 0, '');

  constructor(runtime: ActorRuntime) {
    this.#runtime = runtime;
  }

  /** After `identify` by a door that leaves bad traits out: those, each with the reason; the others were taken. */
  dropped: readonly Refusal[] = NONE;

  identify(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    const { cleaning, identity } = runtime.index.catalog;
    this.keysTold = NO_KEYS;
    const told = request.traits ?? {};
    this.dropped = NONE;
    let traits = this.#cleaned(told);
    let refused = NONE;
    if (traits === null) {
      refused = this.#refusalsIn(told);
      if (runtime.letters.door === 'segment') traits = this.#cleaned(without(told, refused));
    }
    const { message } = runtime;
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    runtime.expireDue(now);
    if (refused.length > 0) {
      const names = new Set(refused.map(({ field }) => field));
      const letter =
        traits === null ? told : Object.fromEntries(Object.entries(told).filter(([name]) => names.has(name)));
      runtime.letters.keepTraits(request, letter, refused, now);
      if (traits === null) return runtime.fail(FAULT.invalidTrait, message);
      this.dropped = refused;
      if (Object.keys(traits).length === 0) return null;
    }
    if (traits === null) return runtime.fail(FAULT.invalidTrait, message);
    if (cleaning !== null) runtime.cleaner.weighTraits(cleaning);
    if (cleaning !== null && cleaning.traitsWithFallback.length > 0) {
      runtime.cleaner.addFallbacks(cleaning);
      traits = runtime.cleaner.map.values ?? {};
    }
    if (request.atEpochMillis < now) {
      traits = this.#notToldSince(traits, request.atEpochMillis);
      if (Object.keys(traits).length === 0) return null;
    }
    const stored = runtime.index.sensitiveNames.length === 0 ? traits : this.#sealed(traits);
    if (stored === null) {
      return runtime.fail(FAULT.keysUnavailable, 'identify: no key can be had for a sensitive trait; try again later');
    }
    const bytes = runtime.options.coldCodec.encodeProperties(stored);
    fillIdentify(runtime.effect, bytes, request.atEpochMillis, now);
    if (!runtime.commit(now))
      return runtime.fail(FAULT.internal, 'identify: the turn failed and was undone; see the log');
    if (cleaning?.flagsTraits === true) runtime.cleaner.afterTraits(cleaning, traits, now);
    runtime.tags.afterTraits(now);
    if (identity.traitTypes.length > 0) this.keysTold = this.#newKeys(traits);
    return null;
  }

  #newKeys(traits: Properties): readonly string[] {
    const { index, record } = this.#runtime;
    const { identity } = index.catalog;
    const joined = joinedKeys(this.#runtime.readCold());
    const keys: string[] = [];
    for (const { name, trait } of identity.traitTypes) {
      const value = traits[trait ?? ''];
      if (typeof value !== 'string' && typeof value !== 'number') continue;
      const key = `${name}:${value}`;
      if (isBlockedKey(identity, key) || encoder.encode(key).length > LIMITS.profileKeyBytesMax) continue;
      const hash = this.#runtime.hashOf(key);
      const isOwn = hash.hashLow === record.hashLow && hash.hashHigh === record.hashHigh;
      if (!isOwn && !joined.has(joinedName(hash))) keys.push(key);
    }
    return keys;
  }

  /** The traits as they are to be taken, or null where one is refused: `#refusal` says which. */
  #cleaned(told: Properties): Properties | null {
    const runtime = this.#runtime;
    const { cleaning, traitByName } = runtime.index.catalog;
    const { cleaner } = runtime;
    let traits = told;
    if (cleaning !== null) {
      if (!cleaner.cleanTraits(cleaning, traits)) {
        const { name, message } = cleaner.map;
        this.#refusal = refusalOf(name, cleaner.refusal, message);
        runtime.message = message;
        return null;
      }
      traits = cleaner.map.values ?? {};
    }
    for (const name of Object.keys(traits)) {
      const problem = this.#problemOf(name, traits[name]);
      if (problem === null) continue;
      cleaner.note(refusalOfTrait(traitByName.get(name), traits[name]));
      this.#refusal = refusalOf(name, cleaner.refusal, problem);
      runtime.message = problem;
      return null;
    }
    return traits;
  }

  /** Every trait that is refused. The reply names the first. */
  #refusalsIn(told: Properties): readonly Refusal[] {
    const { message } = this.#runtime;
    const { refusal } = this.#runtime.cleaner;
    const refused: Refusal[] = [];
    let left = told;
    do {
      refused.push(this.#refusal);
      if (!Object.hasOwn(left, this.#refusal.field) || refused.length === REFUSED_MAX) break;
      left = without(left, [this.#refusal]);
    } while (this.#cleaned(left) === null);
    this.#runtime.message = message;
    this.#runtime.cleaner.note(refusal);
    return refused;
  }

  /** What was told at an earlier instant does not replace what was told since. */
  #notToldSince(traits: Properties, atEpochMillis: number): Properties {
    const { store, record, options } = this.#runtime;
    const since = traitsToldSince(store, newestEntryOf(record), atEpochMillis, (entry) => {
      const end = IDENTIFY.traits + entry.getU32(IDENTIFY.traitBytes);
      return Object.keys(options.coldCodec.decodeProperties(entry.u8.slice(IDENTIFY.traits, end)));
    });
    const known = since === null ? this.#runtime.readCold().traits : {};
    const isOlder = (name: string): boolean => since?.has(name) ?? Object.hasOwn(known, name);
    if (!Object.keys(traits).some(isOlder)) return traits;
    return Object.fromEntries(Object.entries(traits).filter(([name]) => !isOlder(name)));
  }

  /**
   * The traits as they may lie on disk: sensitive ones sealed, before they enter the effect. Those that the person
   * has in plain, from before the catalog called them sensitive, are sealed along. Null when no key can be had.
   */
  #sealed(traits: Properties): Readonly<Record<string, Plain | SealedTrait>> | null {
    const runtime = this.#runtime;
    const { sealer } = runtime.options;
    const cold = runtime.readCold();
    const sealed: Record<string, Plain | SealedTrait> = { ...traits };
    let keyId: string | null | undefined;
    for (const name of runtime.index.sensitiveNames) {
      const value = traits[name] === undefined ? cold.traits[name] : traits[name];
      if (value === undefined || value === null || typeof value === 'object') continue;
      if (sealer === undefined) return null;
      keyId ??= usableKey(sealer, cold);
      const made = keyId === null ? null : sealer.seal(value, name, runtime.record, keyId);
      if (made === null) return null;
      sealed[name] = made;
    }
    return sealed;
  }

  /** Traits as the caller sees them. What is sealed and cannot be opened is left out, and named with the reason. */
  #describeTraits(out: Record<string, Plain>): void {
    const runtime = this.#runtime;
    const shown: Record<string, Plain> = {};
    const facts: Record<string, Plain> = {};
    const unreadable: Record<string, Plain> = {};
    const { traitByName } = runtime.index.catalog;
    for (const [name, value] of Object.entries(runtime.readCold().traits)) {
      if (!(value instanceof SealedTrait)) {
        (traitByName.get(name)?.isFact === true ? facts : shown)[name] = value;
        continue;
      }
      const opened = runtime.options.sealer?.open(value, name, runtime.record) ?? { problem: 'unavailable' as const };
      if ('value' in opened) shown[name] = opened.value;
      else unreadable[name] = opened.problem;
    }
    out.traits = shown;
    if (Object.keys(facts).length > 0) out.facts = facts;
    if (Object.keys(unreadable).length > 0) out.unreadableTraits = unreadable;
  }

  /** What is wrong with a trait, or null. Names the field and the bound, never the value. */
  #problemOf(name: string, value: Plain | undefined): string | null {
    const { catalog } = this.#runtime.index;
    const spec = catalog.traitByName.get(name);
    const at = `identify.traits.${name.length > 64 ? `${name.slice(0, 64)}…` : name}`;
    if (spec === undefined) {
      if (!catalog.keepsAdditionalTraits) return `${at}: the catalog declares no such trait`;
      return typeof value === 'object' && value !== null ? `${at}: expected a string, number or boolean` : null;
    }
    if (spec.isFact) return `${at}: a fact, which fits compute and nobody sets`;
    if (value === null || value === undefined) return null;
    const reason = reasonAgainst(spec, value);
    if (reason !== null) return `${at}: expected ${reason}, got ${kindOf(value)}`;
    if (spec.type === 'timeZone' && this.#runtime.options.zones.zoneIndexByName(String(value)) < 0) {
      return `${at}: expected an IANA time zone, such as Asia/Shanghai`;
    }
    return null;
  }

  /** Fills `out` with the person's record. */
  describe(request: Request, now: number, out: Record<string, Plain>): Fault | null {
    const runtime = this.#runtime;
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    runtime.expireDue(now);
    const { record, index, scope } = runtime;
    scope.bind(record, index, null, now, runtime.defaultZone);
    const zone = runtime.options.zones.zoneName(scope.zone);
    this.#describeTraits(out);
    out.consent = {
      contactRefusedChannels: index.catalog.channels
        .filter((channel) => refusesChannel(record, channel.hash))
        .map((c) => c.key),
      personalisation: !(index.catalog.traitByName.get('consent')?.type === 'boolean' && this.#trait('consent') === 0),
    };
    runtime.consent.bind(record, index.catalog.consent, now);
    out.purposes = describeConsent(runtime, (purpose) => runtime.consent.allows(purpose));
    const kept = keptConsent(runtime);
    const restriction = describeRestriction(kept);
    if (restriction !== null) out.restriction = restriction;
    const keys = describeIdentity(runtime.readCold());
    if (keys !== null) out.keys = keys;
    const wishes = describeWishes(kept);
    if (wishes !== null) out.wishes = wishes;
    const tags = describeTags(runtime);
    if (tags !== null) out.tags = tags;
    const journeys = describeJourneys(runtime);
    if (journeys !== null) out.journeys = journeys;
    out.counters = index.catalog.counters.map((counter) => ({
      event: counter.event,
      ...(counter.property === null ? {} : { property: counter.property, sum: scope.counterSum(counter.index) }),
      windowMillis: Number.isFinite(counter.windowMillis) ? counter.windowMillis : null,
      count: scope.counterCount(counter.index),
      lastSeenSeconds:
        scope.counterLastSeenSeconds(counter.index) >= 1e12 ? null : scope.counterLastSeenSeconds(counter.index),
    }));
    out.calendar = {
      timeZone: zone,
      local: runtime.options.zones.formatLocal(scope.zone, now),
      caps: this.#capUse(),
      leases: this.#leases(),
      hourOfDayCounts: Array.from(
        { length: 24 },
        (_, hour) => record.u16[((record.base + FIELD.tilt) >>> 1) + hour] as number,
      ),
    };
    out.timeline = this.#timeline();
    const newest = newestTold(runtime.store, newestEntryOf(record));
    out.quality = { ...qualityOf(index.catalog, runtime.readCold(), newest, now) };
    out.stateSeq = record.stateSeq;
    out.createdAtEpochMillis = record.getF64(FIELD.createdAt);
    out.lastTurnAtEpochMillis = record.getF64(FIELD.lastTurnAt);
    out.recordBytes = record.usedBytes;
    return null;
  }

  #trait(name: string): number {
    const spec = this.#runtime.index.catalog.traitByName.get(name);
    return spec === undefined ? Number.NaN : this.#runtime.record.trait(spec.index);
  }

  #capUse(): Plain[] {
    const { record, index, scope } = this.#runtime;
    const { catalog } = index;
    const rows: Plain[] = [];
    const tally = (cap: Cap, matches: (i: number) => boolean): number => {
      let used = 0;
      for (let i = 0; i < record.momentCount; i++) {
        if (record.momentKind(i) === cap.on && matches(i) && isInside(cap, record.momentAt(i), scope))
          used += record.momentTimes(i);
      }
      return used;
    };
    for (const action of catalog.actions) {
      for (const cap of action.caps) {
        const used = tally(cap, (i) => record.momentSubject(i) === action.hash);
        if (used > 0) rows.push({ action: action.key, cap: cap.text, used, limit: cap.count });
      }
    }
    for (const channel of catalog.channels) {
      for (const cap of channel.caps) {
        const used = tally(
          cap,
          (i) => record.momentAmount(i) === channel.hash && record.momentKind(i) !== MOMENT.event,
        );
        if (used > 0) rows.push({ channel: channel.key, cap: cap.text, used, limit: cap.count });
      }
    }
    return rows;
  }

  #leases(): Plain[] {
    const { record, index } = this.#runtime;
    const rows: Plain[] = [];
    for (let i = 0; i < record.leaseCount; i++) {
      rows.push({
        decisionId: formatDecisionId(
          record.partition,
          record.hashLow,
          record.hashHigh,
          record.leaseU32(i, LEASE.decisionSeq),
        ),
        action: index.catalog.actionByHash.get(record.leaseU32(i, LEASE.actionHash))?.key ?? null,
        state: STATE_NAMES[record.leaseU8(i, LEASE.state)] ?? 'open',
        atEpochMillis: record.leaseF64(i, LEASE.at),
        expiresAtEpochMillis:
          record.leaseU8(i, LEASE.state) === LEASE_STATE.open ? record.leaseF64(i, LEASE.expiresAt) : null,
      });
    }
    return rows;
  }

  /** The newest entries about this profile, by following each entry's pointer to the one before. */
  #timeline(): Plain[] {
    const { record, store, index } = this.#runtime;
    const rows: Properties[] = [];
    let epoch = record.getU32(FIELD.journalEpoch);
    let stream = record.getU32(FIELD.journalStream);
    let batch = record.getU32(FIELD.journalBatch);
    let offset = record.getU32(FIELD.journalOffset);
    while (epoch !== 0 && rows.length < TIMELINE_MAX) {
      const bytes = store.readJournal({ epoch, stream, batch });
      // The journal is kept for a bounded time; the timeline ends where it does.
      if (bytes === undefined || this.#entry.load(bytes, offset) < 0) break;
      const row = describeEntry(this.#entry, index.catalog, this.#runtime.options.coldCodec);
      const isShown =
        this.#entry.type === EFFECT.standing ? !isTimekeeping(this.#entry) : this.#entry.type !== EFFECT.expire;
      if (isShown) rows.push(row);
      epoch = this.#entry.getU32(32);
      stream = this.#entry.getU32(36);
      batch = this.#entry.getU32(40);
      offset = this.#entry.getU32(44);
    }
    return rows;
  }
}

/** Tags held, with the scope bound; null where the catalog has none. */
function describeTags({ index, scope }: ActorRuntime): Record<string, Plain> | null {
  const { tags } = index.catalog;
  if (tags.length === 0) return null;
  const held: Record<string, Plain> = {};
  for (const { index: tag, key, family } of tags) {
    if (!scope.holdsTag(tag)) continue;
    held[key] = { sinceEpochMillis: scope.tagSince(tag), weight: scope.tagWeight(tag), family };
  }
  return held;
}

/** Where the person is in each journey entered, with the scope bound; null where the catalog has none. */
function describeJourneys({ index, scope }: ActorRuntime): Record<string, Plain> | null {
  const { journeys } = index.catalog;
  if (journeys.length === 0) return null;
  const entered: Record<string, Plain> = {};
  for (const { index: journey, key, stages } of journeys) {
    const stage = scope.stageOf(journey);
    if (stage === OUTSIDE) continue;
    const since = scope.stageSince(journey);
    const timer = stages[stage]?.timer ?? null;
    const goalAt = scope.goalAt(journey);
    entered[key] = {
      stage: stages[stage]?.key ?? null,
      sinceEpochMillis: since,
      goalReachedAtEpochMillis: Number.isNaN(goalAt) ? null : goalAt,
      next: timer === null ? null : { stage: stages[timer.to]?.key ?? null, atEpochMillis: since + timer.afterMillis },
    };
  }
  return entered;
}

function without(traits: Properties, refused: readonly Refusal[]): Properties {
  const left: Record<string, Plain> = { ...traits };
  for (const { field } of refused) delete left[field];
  return left;
}

function reasonAgainst(spec: TraitSpec, value: Plain): string | null {
  return isDeclared(spec, value) ? null : expectationOf(spec);
}

function isDeclared({ type, min, max, values }: TraitSpec, value: Plain): boolean {
  switch (type) {
    case 'integer':
    case 'number':
      return (
        typeof value === 'number' &&
        (type === 'number' ? Number.isFinite(value) : Number.isSafeInteger(value)) &&
        value >= (min ?? Number.NEGATIVE_INFINITY) &&
        value <= (max ?? Number.POSITIVE_INFINITY)
      );
    case 'boolean':
      return typeof value === 'boolean';
    case 'enum':
      return typeof value === 'string' && values.includes(value);
    default:
      return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
  }
}
