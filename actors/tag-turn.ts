/**
 * Who holds which tag, and who is in which stage of a journey (`journey-stages.ts`), kept exact: at the event, trait or catalog that changes it, and at the instant at which time
 * does. An event looks at the rules it touches (`decision/tag-index.ts`) and no others; a wake (`wake-timers.ts`) at
 * those that time can change, in the order of their instants, so that a tag begins and ends when it should, however
 * late the visit. Nothing is evaluated nightly, and a decision finds the tags as standing moments of the record.
 *
 *   event, traits ─▸ rules touched ─┐
 *   wake ─▸ rules of time ──────────┼─▸ tags, then stages ─▸ one standing effect ─▸ next instant ─▸ wakeAt
 *   other catalog, clock set back ─▸ all rules, and what no rule is left for ends
 *
 * A moment of subject 0 says under which tags, and when, a person was last looked at. Traded away: 24 bytes a tag held,
 * 24 more where its weight decays, and a visit for each event that leaves a window, changed by it or not.
 */
import type { CatalogIndex } from '../decision/catalog-index.ts';
import type { Journey } from '../decision/journey.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { Tag } from '../decision/tag.ts';
import type { Effect } from './effect.ts';
import { JourneyStages } from './journey-stages.ts';
import type { ProfileRecord } from './profile-record.ts';
import type { ProfileScope } from './profile-scope.ts';
import { FIELD, MOMENT_BYTES, migrateRecord, RECORD_FLAG, STANDING, storedMomentsStart } from './record-layout.ts';
import { findStanding, isDevice, isRestricted } from './standing.ts';
import { StandingChanges } from './standing-changes.ts';
import { comesFromEvents, TimeChanges } from './time-changes.ts';
import { type WakeTimers, wakeAskedAt } from './wake-timers.ts';

/** Subject of the moment that says under which tags a person was looked at. */
const LOOKED = 0;
/** Instants gone through one by one in a visit that comes late; past them only the present is looked at. */
const STEPS_MAX = 256;

/** What the tags need of the runtime they are part of. */
interface TaggedRuntime {
  readonly record: ProfileRecord;
  readonly scope: ProfileScope;
  readonly effect: Effect;
  readonly index: CatalogIndex;
  readonly defaultZone: number;
  readonly wakes: WakeTimers;
  readonly options: { readonly zones: ZoneTable };
  commit(now: number): boolean;
}

export class TagTurn {
  readonly #runtime: TaggedRuntime;
  readonly #changes: StandingChanges;
  readonly #time: TimeChanges;
  readonly #stages: JourneyStages;
  /** By tag, of the bound person: since when it is held, NaN where it is not. */
  #since = new Float64Array(0);
  /** Hashes of tags held that the catalog does not have. */
  readonly #gone: number[] = [];
  /** Of a visit: the tags to look at in their order, which they are, and the subjects of moments gone through. */
  #timed = new Uint16Array(0);
  #isTimed = new Uint8Array(0);
  readonly #subjects = new Set<number>();

  constructor(runtime: TaggedRuntime) {
    this.#runtime = runtime;
    this.#changes = new StandingChanges(runtime);
    this.#time = new TimeChanges(runtime);
    this.#stages = new JourneyStages(runtime, this.#changes, this.#time);
    runtime.wakes.onWake((now) => this.#visit(now));
  }

  /** Before a turn: looks at everything anew where the catalog is another, or the clock was set back. */
  refresh(now: number): void {
    const { record, index } = this.#runtime;
    const isLooked = (record.getU16(FIELD.flags) & RECORD_FLAG.tags) !== 0;
    if ((index.tags.hash === 0 && !isLooked) || record.stateSeq === 0) return;
    if (isRestricted(record) || isDevice(record)) return;
    if (!isLooked || !this.#isCurrent(now)) this.lookAnew(now);
  }

  /** Works out all tags and stages of the bound person from what the record says now: for who changes it in another way than events. */
  lookAnew(now: number): void {
    this.#runtime.wakes.wakeAt(this.#lookAtAll(now), now);
  }

  /** Behind an event's effect, in the same batch. */
  afterEvent(eventHash: number, now: number): void {
    const { tags, journeys } = this.#runtime.index;
    if (tags.hash !== 0) this.#lookAt(tags.byEvent(eventHash), journeys.byEvent(eventHash), now);
  }

  /** Behind the effect that set traits. */
  afterTraits(now: number): void {
    const { tags, journeys } = this.#runtime.index;
    if (tags.hash !== 0) this.#lookAt(tags.byTraits, journeys.byTraits, now);
  }

  #isCurrent(now: number): boolean {
    const { record, index } = this.#runtime;
    const looked = findStanding(record, STANDING.tag, LOOKED);
    if (looked < 0 || record.momentAmount(looked) !== index.tags.hash) return false;
    const isBack = now < record.momentAt(looked) || now < record.getF64(FIELD.lastTurnAt) || now < wakeAskedAt(record);
    return !isBack;
  }

  #lookAt(list: Uint16Array, journeys: readonly Journey[], now: number): void {
    const { record, wakes } = this.#runtime;
    if (isRestricted(record)) return;
    if ((record.getU16(FIELD.flags) & RECORD_FLAG.tags) === 0) {
      this.lookAnew(now);
      return;
    }
    if (list.length === 0 && journeys.length === 0) return;
    this.#begin(false);
    const next = this.#evaluate(list, list.length, journeys, now, true);
    if (this.#changes.commit(now)) wakes.wakeAt(next, now);
  }

  /** Every tag and journey; returns when to look next. */
  #lookAtAll(now: number): number {
    const { index } = this.#runtime;
    this.#begin(false);
    this.#stages.endGone(now);
    const next = this.#evaluate(index.tags.all, index.tags.all.length, index.journeys.all, now, true);
    for (const hash of this.#gone) this.#changes.change(STANDING.tag, hash, false, now, 0, now);
    for (const hash of this.#gone) this.#changes.change(STANDING.tagWeight, hash, false, now, 0, now);
    this.#changes.change(STANDING.tag, LOOKED, index.tags.hash !== 0, now, index.tags.hash, now);
    return this.#changes.commit(now) ? next : now + 1;
  }

  /** The wake's visit: every instant up to now at which something may have changed, then when that is next. */
  #visit(now: number): number {
    const { record, index } = this.#runtime;
    // Lifting it looks at all of them anew.
    if (isRestricted(record)) return Number.POSITIVE_INFINITY;
    if (index.tags.hash === 0 || (record.getU16(FIELD.flags) & RECORD_FLAG.tags) === 0) return Number.POSITIVE_INFINITY;
    if (!this.#isCurrent(now)) {
      return this.#lookAtAll(now);
    }
    let at = Math.min(this.#runtime.wakes.dueAt, now);
    this.#begin(true);
    const length = this.#listTimed();
    const journeys = index.journeys.all;
    let next = this.#evaluate(this.#timed, length, journeys, at, false);
    for (let steps = 0; next <= now; steps++) {
      at = steps < STEPS_MAX ? next : now;
      next = this.#evaluate(this.#timed, length, journeys, at, false);
    }
    // Where a wake follows, that says when this was.
    if (next === Number.POSITIVE_INFINITY) this.#changes.change(STANDING.tag, LOOKED, true, now, index.tags.hash, now);
    return this.#changes.commit(now) ? next : now + 1;
  }

  /** Fills `timed` with the tags that time may change for the bound person; returns how many they are. */
  #listTimed(): number {
    const { record, index } = this.#runtime;
    const { tags, byTime, byClock } = index.tags;
    if (this.#timed.length < byTime.length || this.#isTimed.length !== tags.length) {
      this.#timed = new Uint16Array(byTime.length);
      this.#isTimed = new Uint8Array(tags.length);
    }
    this.#isTimed.fill(0);
    this.#subjects.clear();
    this.#markTimed(byClock);
    for (let i = 0; i < record.momentCount; i++) {
      const subject = record.momentSubject(i);
      if (!comesFromEvents(record.momentKind(i)) || this.#subjects.has(subject)) continue;
      this.#subjects.add(subject);
      this.#markTimed(index.tags.byMoment(subject));
    }
    for (const tag of index.tags.holding) {
      if (Number.isNaN(this.#since[tag.index] as number)) continue; // as many as tags
      for (let above: Tag | undefined = tag; above !== undefined; above = tags[above.parent])
        this.#isTimed[above.index] = 1;
    }
    let length = 0;
    for (let i = 0; i < byTime.length; i++) {
      const tag = byTime[i] as number; // i < length
      if (this.#isTimed[tag] === 1) this.#timed[length++] = tag;
    }
    return length;
  }

  #markTimed(list: Uint16Array): void {
    for (let i = 0; i < list.length; i++) this.#isTimed[list[i] as number] = 1; // i < length
  }

  /**
   * Brings the first `length` tags of the list, and then the journeys, to what holds at `at`; returns when time may change
   * one of them next.
   */
  #evaluate(list: Uint16Array, length: number, journeys: readonly Journey[], at: number, isOccasion: boolean): number {
    const { scope, index } = this.#runtime;
    const { tags } = index.tags;
    this.#bindScope(at);
    let next = this.#time.nextMoment(at);
    for (let i = 0; i < length; i++) {
      const tag = tags[list[i] as number] as Tag; // indices of the catalog's tags
      const since = this.#since[tag.index] as number; // as many as tags
      const isHeld = !Number.isNaN(since);
      const holds = tag.when?.evaluate(scope) ?? false;
      const isKept = tag.holdForMillis > 0 && at < since + tag.holdForMillis;
      const wants = holds || this.#holdsBelow(tag) || isKept;
      const fades = tag.halfLifeMillis !== Number.POSITIVE_INFINITY;
      if (wants && !isHeld) {
        this.#since[tag.index] = at;
        const weight = weightOf(tag, scope);
        this.#changes.change(STANDING.tag, tag.hash, true, at, weight, at);
        if (fades) this.#changes.change(STANDING.tagWeight, tag.hash, true, at, weight, at);
      } else if (!wants && isHeld) {
        this.#since[tag.index] = Number.NaN;
        this.#changes.change(STANDING.tag, tag.hash, false, at, 0, at);
        if (fades) this.#changes.change(STANDING.tagWeight, tag.hash, false, at, 0, at);
      } else if (isHeld && fades && isOccasion && holds) {
        this.#changes.change(STANDING.tagWeight, tag.hash, true, at, weightOf(tag, scope), at);
      }
      next = Math.min(next, this.#nextOfTag(tag.index, at));
    }
    if (journeys.length === 0) return next;
    if (this.#changes.isPending) {
      // Rules of stages read the tags as they are from this instant on.
      this.#changes.commit(at);
      this.#bindScope(at);
    }
    return Math.min(next, this.#stages.evaluate(journeys, at));
  }

  #holdsBelow({ children }: Tag): boolean {
    for (let i = 0; i < children.length; i++) {
      if (!Number.isNaN(this.#since[children[i] as number] as number)) return true; // i < length, as many as tags
    }
    return false;
  }

  /** When time alone may change this tag next, after `at`. The scope is bound at `at`. */
  #nextOfTag(tagIndex: number, at: number): number {
    const { dependsOn, holdForMillis } = this.#runtime.index.tags.tags[tagIndex] as Tag; // an index of the catalog's
    const next = this.#time.nextOf(dependsOn, at);
    const heldUntil = (this.#since[tagIndex] as number) + holdForMillis; // NaN where it is not held
    return heldUntil > at && heldUntil < next ? heldUntil : next;
  }

  /** What the bound person holds. */
  #readHeld(): void {
    const { record, index } = this.#runtime;
    const { tags } = index.tags;
    if (this.#since.length !== tags.length) this.#since = new Float64Array(tags.length);
    this.#since.fill(Number.NaN);
    this.#gone.length = 0;
    for (let i = 0; i < record.momentCount; i++) {
      if (record.momentKind(i) !== STANDING.tag || record.momentSubject(i) === LOOKED) continue;
      const tag = index.catalog.tagByHash.get(record.momentSubject(i));
      if (tag === undefined) this.#gone.push(record.momentSubject(i));
      else this.#since[tag.index] = record.momentAt(i);
    }
  }

  #bindScope(at: number): void {
    const { scope, record, index, defaultZone } = this.#runtime;
    scope.bind(record, index, null, at, defaultZone);
  }

  #begin(isByTime: boolean): void {
    this.#readHeld();
    if (this.#runtime.index.tags.hash !== 0) this.#stages.read();
    this.#changes.begin(isByTime);
  }
}

/** Under which tags a stored record's were worked out: `TagIndex.hash`, 0 for none. @param bytes as the store has them */
export function storedTagsHash(bytes: Uint8Array): number {
  const record = migrateRecord(bytes);
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if ((view.getUint16(FIELD.flags, true) & RECORD_FLAG.tags) === 0) return 0;
  const end = storedMomentsStart(record) + view.getUint16(FIELD.momentCount, true) * MOMENT_BYTES;
  for (let moment = storedMomentsStart(record); moment < end; moment += MOMENT_BYTES) {
    const isLooked = view.getUint8(moment + 20) === STANDING.tag && view.getUint32(moment + 16, true) === LOOKED;
    if (isLooked) return view.getFloat64(moment + 8, true);
  }
  return 0;
}

function weightOf(tag: Tag, scope: ProfileScope): number {
  const weight = tag.weightOf(scope);
  return Number.isFinite(weight) ? weight : 0;
}
