/**
 * One profile at one instant, as rules and features see it: the bridge from the record's bytes to
 * `ProfileState`. Bound once a turn; counters are worked out in one pass over the moments at the first
 * question and kept until the next binding. Time is an argument, so a turn sees one instant only.
 */
import { MOMENT } from '../decision/catalog.ts';
import type { CatalogIndex } from '../decision/catalog-index.ts';
import { type ConsentRules, PURPOSE } from '../decision/consent.ts';
import type { ContactWishes } from '../decision/contact-wishes.ts';
import { FeedSet } from '../decision/feed-table.ts';
import { OUTSIDE, placeOf } from '../decision/journey.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { ProfileState } from '../decision/pipeline.ts';
import { decayedWeight } from '../decision/tag.ts';
import type { Properties, Scalar } from '../proto/messages.ts';
import { refusesChannel } from './apply-effect.ts';
import type { ConsentView } from './consent-view.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, STANDING } from './record-layout.ts';
import { ValueMoments } from './value-moments.ts';

const NEVER_SECONDS = 1e12;

export class ProfileScope implements ProfileState {
  readonly #zones: ZoneTable;
  /** Reads a string trait's text from the cold record; rare (rules like `startsWith`). */
  readonly #readText: (record: ProfileRecord, traitName: string) => string;
  readonly #feeds: FeedSet;
  #record: ProfileRecord;
  #index: CatalogIndex;
  #context: Properties | null = null;
  #counts = new Float64Array(0);
  #sums = new Float64Array(0);
  #newest = new Float64Array(0);
  #oldest = new Float64Array(0);
  /** The pass in which each counter was last met: what it holds from an earlier one counts as nothing. */
  #seenIn = new Float64Array(0);
  #countedIn = 0;
  #isCounted = false;
  readonly #values: ValueMoments;
  #hasTags = false;
  /** By tag: since when it is held, and what its weight was when; NaN where it is not, or does not decay. */
  #tagSince = new Float64Array(0);
  #weightAt = new Float64Array(0);
  #weights = new Float64Array(0);
  /** By journey: index of the stage, below 0 for none; since when; when the goal was reached, NaN before. */
  #stages = new Int8Array(0);
  #stageSince = new Float64Array(0);
  #goalAt = new Float64Array(0);

  /** By trait: 1 for one whose purpose the person does not allow; null when all may be read. */
  #hidden: Uint8Array | null = null;
  #hidesCounters = false;

  /** Set by the turn that decides. */
  hasConsent = true;
  isRestricted = false;
  #consent: ConsentView | null = null;
  suspicion = -1;
  wishes: ContactWishes | null = null;
  refusesPersonalPrice = false;
  isHoldingFull = false;
  atEpochMillis = 0;
  zone = 0;
  hourOfWeek = 0;
  minuteOfDay = 0;

  constructor(
    zones: ZoneTable,
    record: ProfileRecord,
    index: CatalogIndex,
    readText: (record: ProfileRecord, traitName: string) => string,
    feeds = new FeedSet(),
  ) {
    this.#feeds = feeds;
    this.#zones = zones;
    this.#values = new ValueMoments(zones);
    this.#record = record;
    this.#index = index;
    this.#readText = readText;
  }

  bind(record: ProfileRecord, index: CatalogIndex, context: Properties | null, now: number, defaultZone: number): void {
    this.#record = record;
    this.#context = context;
    this.atEpochMillis = now;
    this.#isCounted = false;
    this.#hidden = null;
    this.#hidesCounters = false;
    this.#consent = null;
    this.#hasTags = false;
    this.suspicion = -1;
    this.wishes = null;
    if (index !== this.#index || this.#counts.length < index.catalog.counters.length) {
      this.#index = index;
      const counters = index.catalog.counters.length;
      this.#counts = new Float64Array(counters);
      this.#sums = new Float64Array(counters);
      this.#newest = new Float64Array(counters);
      this.#oldest = new Float64Array(counters);
      this.#seenIn = new Float64Array(counters);
      this.#countedIn = 0;
    }
    this.zone = this.#zoneOf(record, defaultZone);
    this.hourOfWeek = this.#zones.localHourOfWeek(this.zone, now);
    this.minuteOfDay = this.#zones.localMinuteOfDay(this.zone, now);
  }

  /** From here to the next binding the scope shows what the person allows, and nothing else. */
  limit(consent: ConsentView, rules: ConsentRules): void {
    this.#consent = consent;
    const hidden =
      this.#hiddenTraits.length === rules.ofTrait.length ? this.#hiddenTraits : new Uint8Array(rules.ofTrait.length);
    for (let trait = 0; trait < hidden.length; trait++) {
      const purpose = rules.ofTrait[trait] as number; // one a trait
      hidden[trait] = purpose >= 0 && !consent.allows(purpose) ? 1 : 0;
    }
    this.#hiddenTraits = hidden;
    this.#hidden = hidden;
    this.#hidesCounters = !consent.allows(PURPOSE.personalisation);
    this.#hasTags = false;
  }
  #hiddenTraits = new Uint8Array(0);

  /** The record caches its zone's index (plus one); a record without a known zone uses the catalog's. */
  #zoneOf(record: ProfileRecord, defaultZone: number): number {
    const cached = record.getU16(FIELD.zone);
    if (cached !== 0) return cached - 1;
    const trait = this.#index.catalog.timeZoneTrait;
    const hash = trait < 0 ? Number.NaN : record.trait(trait);
    let zone = -1;
    if (!Number.isNaN(hash)) {
      zone = this.#zones.zoneIndexByHash(hash);
      if (zone < 0) {
        zone = this.#zones.zoneIndexByName(this.#readText(record, this.#index.catalog.traits[trait]?.name ?? ''));
      }
    }
    if (zone < 0) zone = defaultZone;
    record.setU16(FIELD.zone, zone + 1);
    return zone;
  }

  get moments(): ProfileRecord {
    return this.#record;
  }
  refusesChannel(channelHash: number): boolean {
    if (refusesChannel(this.#record, channelHash)) return true;
    if (this.#consent === null) return false;
    const channel = this.#index.catalog.channelByHash.get(channelHash);
    return (
      channel !== undefined && !this.#consent.allows(this.#index.catalog.consent.ofChannel[channel.index] as number)
    ); // one a channel
  }
  hasTrait(trait: number): boolean {
    return !Number.isNaN(this.traitNumber(trait));
  }
  traitNumber(trait: number): number {
    return this.#hidden !== null && this.#hidden[trait] === 1 ? Number.NaN : this.#record.trait(trait);
  }
  traitHash(trait: number): number {
    return this.traitNumber(trait);
  }
  traitText(trait: number): string {
    if (!this.hasTrait(trait)) return '';
    return this.#readText(this.#record, this.#index.catalog.traits[trait]?.name ?? '');
  }
  counterCount(counter: number): number {
    return this.#hasSeen(counter) ? (this.#counts[counter] as number) : 0;
  }
  counterSum(counter: number): number {
    return this.#hasSeen(counter) ? (this.#sums[counter] as number) : 0;
  }
  counterLastSeenSeconds(counter: number): number {
    const newest = this.counterNewestAt(counter);
    return !Number.isNaN(newest) ? Math.max(0, (this.atEpochMillis - newest) / 1000) : NEVER_SECONDS;
  }
  counterOldestLeavesAtEpochMillis(counter: number): number {
    if (!this.#hasSeen(counter)) return Number.NaN;
    return (this.#oldest[counter] as number) + (this.#index.catalog.counters[counter]?.windowMillis ?? Number.NaN);
  }
  /** Instant of the counter's newest event; NaN when never. */
  counterNewestAt(counter: number): number {
    return this.#hasSeen(counter) ? (this.#newest[counter] as number) : Number.NaN;
  }
  valueReading(reading: number): number {
    const spec = this.#index.catalog.valueReadings[reading];
    if (this.#hidesCounters) return 0;
    return spec === undefined ? Number.NaN : this.#values.read(this.#record, spec, this.atEpochMillis, this.zone);
  }
  holdsTag(tag: number): boolean {
    this.#readTags();
    return !Number.isNaN(this.#tagSince[tag] as number);
  }
  /** Since when the tag is held; NaN where it is not. */
  tagSince(tag: number): number {
    this.#readTags();
    return this.#tagSince[tag] as number;
  }
  /** The first tag held that is a suspicion, or -1: whatever the person allows, for abuse is nobody's right. */
  findSuspicion(): number {
    for (const tag of this.#index.catalog.suspicions) if (this.holdsTag(tag)) return tag;
    return -1;
  }
  tagWeight(tag: number): number {
    this.#readTags();
    const spec = this.#index.catalog.tags[tag];
    if (spec === undefined || Number.isNaN(this.#tagSince[tag] as number)) return 0;
    const at = this.#weightAt[tag] as number; // as many as tags
    const { halfLifeMillis } = spec;
    if (halfLifeMillis === Number.POSITIVE_INFINITY || Number.isNaN(at)) {
      const weight = spec.weightOf(this);
      return Number.isFinite(weight) ? weight : 0;
    }
    return decayedWeight(this.#weights[tag] as number, at, halfLifeMillis, this.atEpochMillis); // as many as tags
  }
  feedNumber(feed: number, field: number, key: string | undefined): number {
    return this.#feeds.number(feed, field, key, this.atEpochMillis);
  }
  feedText(feed: number, field: number, key: string | undefined): string | undefined {
    return this.#feeds.text(feed, field, key, this.atEpochMillis);
  }
  allows(purpose: string): boolean {
    if (this.#consent === null) return true;
    const found = this.#index.catalog.consent.byName.get(purpose);
    return found !== undefined && this.#consent.allows(found.index);
  }
  stageOf(journey: number): number {
    this.#readTags();
    return this.#stages[journey] as number; // as many as journeys
  }
  /** Since when the person is in the stage, or has left. */
  stageSince(journey: number): number {
    this.#readTags();
    return this.#stageSince[journey] as number; // as many as journeys
  }
  /** When the journey's goal was first reached since the person entered it; NaN before. */
  goalAt(journey: number): number {
    this.#readTags();
    return this.#goalAt[journey] as number; // as many as journeys
  }
  context(key: string): Scalar | undefined {
    const value = this.#context === null ? undefined : this.#context[key];
    return value === undefined || typeof value === 'object' ? undefined : value;
  }
  nowEpochMillis(): number {
    return this.atEpochMillis;
  }
  nowHour(): number {
    return this.hourOfWeek % 24;
  }
  nowWeekday(): number {
    return Math.floor(this.hourOfWeek / 24);
  }

  // Asked for only where a cap counts by calendar days or weeks.
  get dayStartEpochMillis(): number {
    return this.#zones.localDayStart(this.zone, this.atEpochMillis);
  }
  get weekStartEpochMillis(): number {
    return this.#zones.localWeekStart(this.zone, this.atEpochMillis);
  }
  nextDayStartEpochMillis(): number {
    return this.#zones.localDayStartAfter(this.zone, this.atEpochMillis, 1);
  }
  nextWeekStartEpochMillis(): number {
    return this.#zones.localDayStartAfter(this.zone, this.atEpochMillis, 7 - this.nowWeekday());
  }
  minuteOfDayAt(epochMillis: number): number {
    return this.#zones.localMinuteOfDay(this.zone, epochMillis);
  }
  nextClockChangeAfter(epochMillis: number): number {
    return this.#zones.nextTransitionAt(this.zone, epochMillis);
  }

  #readTags(): void {
    if (this.#hasTags) return;
    this.#hasTags = true;
    const { tags, tagByHash, journeys, journeyByHash } = this.#index.catalog;
    if (this.#tagSince.length !== tags.length) {
      this.#tagSince = new Float64Array(tags.length);
      this.#weightAt = new Float64Array(tags.length);
      this.#weights = new Float64Array(tags.length);
    }
    if (this.#stages.length !== journeys.length) {
      this.#stages = new Int8Array(journeys.length);
      this.#stageSince = new Float64Array(journeys.length);
      this.#goalAt = new Float64Array(journeys.length);
    }
    this.#tagSince.fill(Number.NaN);
    this.#stages.fill(OUTSIDE);
    this.#goalAt.fill(Number.NaN);
    if (this.#hidesCounters) return;
    this.#weightAt.fill(Number.NaN);
    const record = this.#record;
    for (let i = 0; i < record.momentCount; i++) {
      const kind = record.momentKind(i);
      if (kind === STANDING.stage || kind === STANDING.goal) {
        const journey = journeyByHash.get(record.momentSubject(i));
        if (journey === undefined) continue;
        if (kind === STANDING.goal) this.#goalAt[journey.index] = record.momentAt(i);
        else {
          this.#stages[journey.index] = placeOf(journey, record.momentAmount(i));
          this.#stageSince[journey.index] = record.momentAt(i);
        }
      }
      if (kind !== STANDING.tag && kind !== STANDING.tagWeight) continue;
      const tag = tagByHash.get(record.momentSubject(i));
      if (tag === undefined) continue;
      if (kind === STANDING.tag) this.#tagSince[tag.index] = record.momentAt(i);
      else {
        this.#weightAt[tag.index] = record.momentAt(i);
        this.#weights[tag.index] = record.momentAmount(i);
      }
    }
  }

  /** Whether the counter has anything at this instant. */
  #hasSeen(counter: number): boolean {
    this.#count();
    return this.#seenIn[counter] === this.#countedIn;
  }

  #clear(counter: number): void {
    this.#seenIn[counter] = this.#countedIn;
    this.#counts[counter] = 0;
    this.#sums[counter] = 0;
    this.#newest[counter] = Number.NaN;
    this.#oldest[counter] = Number.NaN;
  }

  #count(): void {
    if (this.#isCounted) return;
    this.#isCounted = true;
    const counters = this.#index.catalog.counters;
    if (counters.length === 0) return;
    this.#countedIn++;
    // What an earlier pass met counts as nothing, so here nothing counts.
    if (this.#hidesCounters) return;
    const record = this.#record;
    const now = this.atEpochMillis;
    for (let i = 0; i < record.momentCount; i++) {
      if (record.momentKind(i) !== MOMENT.event) continue;
      const list = this.#index.countersByEvent.get(record.momentSubject(i));
      if (list === undefined) continue;
      const at = record.momentAt(i);
      for (let k = 0; k < list.length; k++) {
        const counter = list[k] as number;
        // An event dated in the future (a skewed clock) counts once its time has come.
        if (at > now || at <= now - (counters[counter]?.windowMillis as number)) continue;
        if (this.#seenIn[counter] !== this.#countedIn) this.#clear(counter);
        this.#counts[counter] = (this.#counts[counter] as number) + record.momentTimes(i);
        this.#sums[counter] = (this.#sums[counter] as number) + record.momentAmount(i);
        if (!((this.#newest[counter] as number) >= at)) this.#newest[counter] = at;
        if (!((this.#oldest[counter] as number) <= at)) this.#oldest[counter] = at;
      }
    }
  }
}
