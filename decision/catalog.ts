/**
 * The catalog as the decision functions see it: every name resolved to an index, every rule compiled,
 * every duration in milliseconds. Built by `workers/catalog/` from the YAML file, never changed after;
 * a reload builds a new one. Indices are positions in the arrays below and mean nothing in another
 * version; what is stored on disk uses the 32-bit hashes (murmur3 of the key, seed 0), which the
 * compiler checks to be free of collisions.
 */
import type { Cleaning, QualityRules } from './cleaning/value-rules.ts';
import type { ConsentRules } from './consent.ts';
import type { DemandInput } from './demand-inputs.ts';
import type { DeviceRules } from './device.ts';
import type { FeedCell, FeedSpec } from './feed-table.ts';
import type { IdentityRules } from './identity-rules.ts';
import type { Journey } from './journey.ts';
import type { Promotion } from './promotion.ts';
import type { Rule, RuleScope } from './rule.ts';
import type { Tag } from './tag.ts';
import type { TravelRules } from './travel.ts';

export type TraitType = 'integer' | 'number' | 'boolean' | 'string' | 'enum' | 'timeZone';

export interface TraitSpec {
  readonly index: number;
  readonly name: string;
  readonly hash: number;
  readonly type: TraitType;
  readonly min: number | null;
  readonly max: number | null;
  /** Allowed values of an `enum`, in declared order; empty otherwise. */
  readonly values: readonly string[];
  readonly unit: string | null;
  /** Measured for fairness, never a feature and never in a rule. */
  readonly isProtected: boolean;
  /** Personal: kept in the cold record only, never a feature, never logged. */
  readonly isSensitive: boolean;
  /** One of `facts.ts`: computed by a fit, and nobody may set it. */
  readonly isFact: boolean;
}

/** What a counter or cap counts. `event` is a tracked event by name; the others are about an action. */
export const MOMENT = { event: 1, decision: 2, impression: 3, click: 4, conversion: 5, contact: 6 } as const;
export type MomentKind = (typeof MOMENT)[keyof typeof MOMENT];

/** A moment of an event that keeps a property's value: subject of event and property, amount `textHash` of the value. */
export const VALUE_MOMENT = 14;

export type CapPeriod =
  /** A window that rolls with the clock. */
  | { readonly kind: 'rolling'; readonly windowMillis: number }
  /** The person's local calendar day, or week beginning on Monday. */
  | { readonly kind: 'day' }
  | { readonly kind: 'week' };

export interface Cap {
  readonly count: number;
  readonly period: CapPeriod;
  /** `decision`, `impression`, `click` or `conversion`. */
  readonly on: MomentKind;
  /** As the marketer wrote it, for explanations: `3 per 7d on decision`. */
  readonly text: string;
}

export interface QuietHours {
  /** Minutes after local midnight, 0 to 1439; start may be later than end (over midnight). */
  readonly startMinute: number;
  readonly endMinute: number;
}

/** A charge for each earlier offer, which halves with every half-life since. */
export interface Fatigue {
  readonly chargeMinor: number;
  readonly halfLifeMillis: number;
}

/** Only some people are offered an action of which little is known: `reach` of them at first, all at `positives`. */
export interface Maturity {
  readonly positives: number;
  readonly reach: number;
}

export interface Channel {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  readonly costMinor: number;
  readonly quietHours: QuietHours | null;
  /** How far ahead a send-time may be chosen. */
  readonly sendWithinMillis: number;
  /** See `SendTimeInput.waitingLossPerDay`. */
  readonly waitingLossPerDay: number;
  readonly caps: readonly Cap[];
  readonly fatigue: Fatigue | null;
  readonly maturity: Maturity | null;
}

export interface Slot {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  /** Channel indices; never empty. */
  readonly channels: readonly number[];
}

/** A promotion that may be offered beside a product's price; a bundle names the other product. */
export interface ProductPromotion {
  readonly key: string;
  readonly offer:
    | Exclude<Promotion, { readonly kind: 'bundle' }>
    | { readonly kind: 'bundle'; readonly bundleMinor: number; readonly otherHash: number };
}

/** For whom the rule holds, off everybody's price; of several the largest, never their sum. */
export interface PersonalDiscount {
  readonly when: Rule;
  /** In 1/10,000 of the price. */
  readonly basisPoints: number;
}

/** A value of a feed that a price stays at or below, give or take; cost, margin and floor go before it. */
export interface FeedCeiling extends FeedCell {
  /** How far above or below the value, in 1/10,000 of it. */
  readonly basisPoints: number;
}

export interface Product {
  readonly index: number;
  readonly sku: string;
  readonly hash: number;
  readonly currency: string;
  readonly listMinor: number;
  readonly floorMinor: number;
  readonly ceilingMinor: number;
  readonly costMinor: number;
  readonly stepMinor: number;
  /** Charm endings, each in [0, step); empty: prices are the floor plus whole steps. */
  readonly endingsMinor: readonly number[];
  /** Least margin over cost, in 1/10,000 of cost. */
  readonly marginBasisPointsMin: number;
  /** Never above the list price, whatever the ceiling. */
  readonly isCappedAtList: boolean;
  /** Most the price moves from one hour to the next, in 1/10,000; null: any. */
  readonly changeBasisPointsMax: number | null;
  /** Most the price lies above the reference price, in 1/10,000; null: any. */
  readonly referenceBasisPointsMax: number | null;
  /** After how many days what was learnt of demand counts half. */
  readonly memoryDays: number;
  /** Units on hand when the catalog was written; null: unlimited. */
  readonly stock: number | null;
  /** Until when the stock must be sold; null: no such day. Never without a stock. */
  readonly sellByEpochMillis: number | null;
  /** What a unit is worth that was not sold by then. */
  readonly salvageMinor: number;
  readonly promotions: readonly ProductPromotion[];
  /** Discounts of single people; empty where the product has one price for everybody. */
  readonly personalDiscounts: readonly PersonalDiscount[];
  /** Most a personal price may lie below everybody's, in 1/10,000 of it. */
  readonly groupGapBasisPointsMax: number;
  /** What moves its demand beside its price; at most six. */
  readonly demandInputs: readonly DemandInput[];
  /** Under which what they do is learnt: other inputs, another beginning. */
  readonly demandInputsHash: number;
  /** A price of others above which it is not sold, or null. */
  readonly ceilingFrom: FeedCeiling | null;
  readonly quoteTtlMillis: number;
}

export interface ContextWeight {
  readonly when: Rule;
  readonly weight: number;
}

export interface Action {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  /** Free label that groups actions for learning, or null. */
  readonly category: string | null;
  readonly categoryHash: number;
  /** Channel indices in the order of preference; never empty. */
  readonly channels: readonly number[];
  /** Slot indices where it may be shown; empty: every slot that shares a channel. */
  readonly slots: readonly number[];
  readonly valueMinor: number;
  readonly costMinor: number;
  readonly lever: number;
  readonly eligibility: Rule | null;
  readonly contextWeights: readonly ContextWeight[];
  readonly caps: readonly Cap[];
  readonly fatigue: Fatigue | null;
  readonly budgetMinor: number | null;
  readonly creatives: readonly string[];
}

/** One `count`, `sum` or `lastSeen` that some rule uses; records keep moments only for these. */
export interface EventCounter {
  readonly index: number;
  readonly event: string;
  readonly eventHash: number;
  /** Property summed, or null for counts. */
  readonly property: string | null;
  /** Infinity for `lastSeen`. */
  readonly windowMillis: number;
}

/**
 * One question about the values an event's property had, which some rule asks; records keep a moment of kind
 * `VALUE_MOMENT` a value only for these.
 */
export interface ValueReading {
  readonly index: number;
  /** Times the value was seen; values seen; calendar months in a row, the person's own, that one value was seen in. */
  readonly read: 'count' | 'distinct' | 'streak';
  readonly event: string;
  readonly eventHash: number;
  readonly property: string;
  /** Of event and property together: subject of its moments. */
  readonly subjectHash: number;
  /** Of a streak, as long as its months may be. */
  readonly windowMillis: number;
  /** The value counted, as `textHash` of its text; NaN where all are. */
  readonly valueHash: number;
  /** Most months of a streak, else 0. */
  readonly months: number;
}

/** How long and for what a record must remember tracked events of one name. */
export interface EventRetention {
  readonly eventHash: number;
  readonly windowMillis: number;
  /** Property whose number is kept as the moment's amount, or null. One a event. */
  readonly property: string | null;
}

/** A context feed, see `feed-table.ts`. */
export interface Feed extends FeedSpec {
  /** The key under which a request reads it where nothing else is said; undefined where that is not known. */
  readonly keyOf: ((scope: RuleScope) => string | undefined) | null;
  /** Indices of the fields that are features; none without `keyOf`. */
  readonly features: readonly number[];
}

/** How a decision turns what is known into a choice; see `choice.ts`. */
export type Strategy = 'thompson' | 'squarecb' | 'lints';

export interface DecisionParameters {
  readonly strategy: Strategy;
  readonly explorationProbability: number;
  readonly holdoutProbability: number;
  readonly rewardWindowMillis: number;
  readonly leaseMillis: number;
  /** Action index of the safe default, or -1. */
  readonly fallbackAction: number;
  /** Charged for what was offered of the same category lately, or null. */
  readonly diversity: Fatigue | null;
}

export interface Catalog {
  /** First 12 hex digits of the SHA-256 of the file's text. */
  readonly version: string;
  /** The same as an unsigned 32-bit number, for compact logs. */
  readonly versionHash: number;
  readonly name: string;
  readonly currency: string;
  readonly timeZone: string;
  readonly decision: DecisionParameters;
  readonly keepsAdditionalTraits: boolean;
  readonly traits: readonly TraitSpec[];
  /** Changes when the declared traits change: stored records then re-derive their trait slots. */
  readonly traitSchemaHash: number;
  readonly channels: readonly Channel[];
  readonly slots: readonly Slot[];
  readonly products: readonly Product[];
  readonly actions: readonly Action[];
  readonly counters: readonly EventCounter[];
  readonly retentions: ReadonlyMap<number, EventRetention>;
  /** Purposes, what each opens, and what holds where nobody was asked. */
  readonly consent: ConsentRules;
  /** So many counters, the first ones, are features: what only tags count is none. */
  readonly featureCounters: number;
  readonly valueReadings: readonly ValueReading[];
  readonly tags: readonly Tag[];
  readonly journeys: readonly Journey[];
  /** Changes when the tags or journeys change: people's are then looked at anew. 0 without either. */
  readonly tagsHash: number;
  /** Indices of the tags that are suspicions. */
  readonly suspicions: readonly number[];
  readonly tagByKey: ReadonlyMap<string, Tag>;
  readonly tagByHash: ReadonlyMap<number, Tag>;
  readonly journeyByHash: ReadonlyMap<number, Journey>;
  readonly feeds: readonly Feed[];
  /** Changes when the feeds do: their tables are then bound anew. 0 without feeds. */
  readonly feedsHash: number;
  /** How traits and events are cleaned; null where nothing is declared. */
  readonly cleaning: Cleaning | null;
  readonly quality: QualityRules;
  /** What trips are impossible; null where the catalog does not say. */
  readonly travel: TravelRules | null;
  /** How many people a device may have; null where the catalog does not say. */
  readonly device: DeviceRules | null;
  /** Number of the feed of what is usual, -1 where the catalog has none; how often that is measured, 0 without. */
  readonly usualFeed: number;
  readonly usualEveryMillis: number;
  /** Which keys may be one person's. */
  readonly identity: IdentityRules;
  /** Index of the trait of type timeZone, or -1. */
  readonly timeZoneTrait: number;
  readonly traitByName: ReadonlyMap<string, TraitSpec>;
  readonly channelByKey: ReadonlyMap<string, Channel>;
  readonly slotByKey: ReadonlyMap<string, Slot>;
  readonly productBySku: ReadonlyMap<string, Product>;
  readonly actionByKey: ReadonlyMap<string, Action>;
  readonly actionByHash: ReadonlyMap<number, Action>;
  readonly channelByHash: ReadonlyMap<number, Channel>;
  readonly productByHash: ReadonlyMap<number, Product>;
}
