/**
 * The market's truth: people, offers, products, and the probabilities with which people respond and buy. Nobody but
 * the market and the policies named oracle or clairvoyant reads it.
 *
 *   response to an offer    sigmoid(quality + taste + tier + hour + affinity + season + drift - wear - fatigue)
 *   purchase at a price     size x season / (1 + exp(sensitivity x log(price / rival's price)))
 *   hour of the week        weekday's share x (plain day + the person's own bump), weekends an hour later, mail earlier
 *   gap between two visits  cycle x Gamma(2) / 2, in days
 *
 * Demand is not of the form that `decision/demand-model.ts` supposes, and part of each taste shows in nothing but what
 * the person browses: a model that meets its figures here does so without knowing the truth's form.
 */
import type { ZoneTable } from '../../decision/local-time.ts';
import { exponential, naturalLogarithm, sigmoid } from '../../decision/normal.ts';
import { textHash } from '../../proto/murmur3.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { Chance, KIND } from './chance.ts';

export const HOUR_MILLIS = 3_600_000;
export const DAY_HOURS = 24;
/** Monday 5 January 2026, 00:00 UTC. */
export const MARKET_START_EPOCH_MILLIS = 1_767_571_200_000;

export const ZONE_NAMES = [
  'Europe/Berlin',
  'Europe/London',
  'America/New_York',
  'America/Los_Angeles',
  'Asia/Tokyo',
] as const;
export const CATEGORIES = ['garden', 'kitchen', 'sport', 'books'] as const;
export const TIERS = ['none', 'silver', 'gold'] as const;
export const DEVICES = ['phone', 'desktop'] as const;
/** Channels on which messages go out; `app` is where visits happen. */
export const MESSAGE_CHANNELS = ['push', 'mail'] as const;

export interface MarketOptions {
  readonly seed: number;
  readonly people: number;
  readonly days: number;
  /** Offers to choose from, dealt to the categories in turn. */
  readonly actions: number;
  /** Products, dealt likewise. */
  readonly products: number;
  /** From this day on rivals are cheaper and people mind prices more; null: never. */
  readonly shockDay: number | null;
  /** True: no seasons, no drift, and rivals keep their prices. */
  readonly isStationary: boolean;
}
export const MARKET_DEFAULTS: MarketOptions = {
  seed: 1,
  people: 1000,
  days: 180,
  actions: 10,
  products: 4,
  shockDay: null,
  isStationary: false,
};

/** Offer to the whole market: what the catalog says of it, and what only the truth knows. */
export interface Offer {
  readonly key: string;
  readonly category: number;
  /** Index in `MESSAGE_CHANNELS`. */
  readonly channel: number;
  readonly valueMinor: number;
}

export interface Good {
  readonly sku: string;
  readonly category: number;
  readonly listMinor: number;
  readonly costMinor: number;
  readonly floorMinor: number;
  readonly ceilingMinor: number;
  readonly stepMinor: number;
}

const LIMITS: Readonly<Record<Exclude<keyof MarketOptions, 'shockDay' | 'isStationary'>, readonly [number, number]>> = {
  seed: [0, 2 ** 32 - 1],
  people: [1, 1_000_000],
  days: [1, 3650],
  actions: [1, 100],
  products: [1, 100],
};

/** Quiet night, working day, evening: what people share of the day before their own habits; sums to 1 by `normalise`. */
const PLAIN_DAY = [1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 10, 9, 8, 8, 9, 10, 11, 12, 12, 10, 7, 3];
const WEEKDAY_SHARES = [0.15, 0.15, 0.15, 0.15, 0.14, 0.12, 0.14];
const CHRONOTYPE_PEAKS = [7, 12.5, 17.5, 20.5, 22.5];
/** How many kinds of day there are. */
export const CHRONOTYPES = CHRONOTYPE_PEAKS.length;
const PEAK_DEVIATION_HOURS = 1.2;
const BUMP_SHARE = 0.5;
const BUMP_HOURS = 2.2;
const WEEKEND_LAG_HOURS = 1;
/** By how many hours each channel's habits lie before the app's: push, mail. */
const CHANNEL_LEAD_HOURS = [0, 5];
const BASE_LOGIT = -2.6;
const INTEREST_EFFECT = 0.8;
const TASTE_DEVIATION = 0.6;
const QUALITY_DEVIATION = 0.5;
const TIER_DEVIATION = 0.4;
const HOUR_EFFECT_MAX = 0.4;
const AFFINITY_EFFECT = 0.9;
const SEASON_EFFECT = 0.25;
const DRIFT_DEVIATION = 0.008;
/** Logit lost for each recent showing of this very offer, and of any; showings fade by half in a week. */
const WEAR_EFFECT = 0.12;
const FATIGUE_EFFECT = 0.05;
export const FATIGUE_HALF_LIFE_DAYS = 7;
const CYCLE_DAYS_MEDIAN = 5;
const CYCLE_LOG_DEVIATION = 0.5;
const SENSITIVITY_LOG_DEVIATION = 0.3;
const RIVAL_LOG_DEVIATION = 0.015;
const SEASON_DEMAND = 0.25;
const SHOCK_RIVAL = 0.85;
const SHOCK_SENSITIVITY = 1.2;
const SHOCK_SIZE = 0.8;
const PROBABILITY_MAX = 0.9;
const YEAR_DAYS = 365;
/** Mean demand is tabled over sensitivity-scaled log price ratios -RATIO_MAX to RATIO_MAX. */
const RATIO_MAX = 6;
const RATIO_CELLS = 300;

/** A year's or day's wave in [-1, 1] without a sine, whose bits differ between engines: two parabolas. */
function wave(phase: number): number {
  const u = phase - Math.floor(phase);
  return u < 0.5 ? 16 * u * (0.5 - u) : -16 * (u - 0.5) * (1 - u);
}

/** @throws RangeError naming the option, its bound and what it was */
export function checkMarketOptions(options: MarketOptions): void {
  for (const [name, [min, max]] of Object.entries(LIMITS)) {
    const value = options[name as keyof typeof LIMITS]; // the keys of LIMITS
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(`market ${name}: expected a whole number from ${min} to ${max}, got ${value}`);
    }
  }
  const { shockDay, days } = options;
  if (shockDay !== null && !(Number.isInteger(shockDay) && shockDay >= 0 && shockDay < days)) {
    throw new RangeError(`market shockDay: expected a whole number from 0 to ${days - 1}, or none, got ${shockDay}`);
  }
}

/** Shared by all markets of a thread: reading a zone takes milliseconds. */
export const MARKET_ZONES: ZoneTable = createZoneTable(textHash);

export class World {
  readonly options: MarketOptions;
  readonly chance: Chance;
  readonly offers: readonly Offer[];
  readonly goods: readonly Good[];
  /** By person. */
  readonly zone: Uint8Array;
  readonly tier: Uint8Array;
  readonly interest: Uint8Array;
  readonly device: Uint8Array;
  readonly cycleDays: Float64Array;
  readonly sensitivity: Float64Array;
  /** Mean responses to messages, whatever the hour. */
  readonly eagerness: Float64Array;
  /** 1, or 0 in a stationary market. */
  readonly #motion: number;
  readonly #zoneIndex: readonly number[];
  /** Person x category: logit units. */
  readonly #taste: Float64Array;
  /** Person x 24: share of a weekday's activity. */
  readonly #hours: Float64Array;
  readonly #quality: Float64Array;
  readonly #drift: Float64Array;
  readonly #tierEffect: Float64Array;
  readonly #hourEffect: Float64Array;
  /** Day x product: log of the rival's price over ours on the list. */
  readonly #rival: Float64Array;
  readonly #size: Float64Array;
  /** Product x table of the mean of 1 / (1 + exp(sensitivity x ratio)) over those who consider it. */
  readonly #meanShare: Float64Array;

  /** @throws RangeError for options out of bounds */
  constructor(options: MarketOptions) {
    checkMarketOptions(options);
    this.options = options;
    const { people, actions, products, days } = options;
    const chance = new Chance(options.seed);
    this.chance = chance;
    this.#motion = options.isStationary ? 0 : 1;
    this.#zoneIndex = ZONE_NAMES.map((name) => MARKET_ZONES.zoneIndexByName(name));
    const dealt = (kind: (typeof KIND)[keyof typeof KIND], count: number): Uint8Array =>
      Uint8Array.from({ length: people }, (_, i) => chance.whole(kind, count, i));
    this.zone = dealt(KIND.zone, ZONE_NAMES.length);
    this.tier = dealt(KIND.tier, TIERS.length);
    this.interest = dealt(KIND.interest, CATEGORIES.length);
    this.device = dealt(KIND.device, DEVICES.length);
    this.cycleDays = Float64Array.from({ length: people }, (_, i) =>
      Math.max(1, CYCLE_DAYS_MEDIAN * exponential(CYCLE_LOG_DEVIATION * chance.normal(KIND.cycle, i))),
    );
    this.sensitivity = Float64Array.from({ length: people }, (_, i) =>
      exponential(SENSITIVITY_LOG_DEVIATION * chance.normal(KIND.sensitivity, i)),
    );
    this.eagerness = Float64Array.from(
      { length: people },
      (_, i) => 0.05 * exponential(0.5 * chance.normal(KIND.eagerness, i)),
    );
    this.#taste = Float64Array.from({ length: people * CATEGORIES.length }, (_, at) => {
      const [i, c] = [Math.floor(at / CATEGORIES.length), at % CATEGORIES.length];
      return (this.interest[i] === c ? INTEREST_EFFECT : 0) + TASTE_DEVIATION * chance.normal(KIND.taste, i, c);
    });
    this.#hours = this.#drawHours();
    this.offers = Array.from({ length: actions }, (_, a) => ({
      key: `offer-${String(a + 1).padStart(2, '0')}`,
      category: a % CATEGORIES.length,
      channel: chance.whole(KIND.value, MESSAGE_CHANNELS.length, a, 1),
      valueMinor: 400 + 50 * chance.whole(KIND.value, 9, a),
    }));
    this.#quality = Float64Array.from(
      { length: actions },
      (_, a) => BASE_LOGIT + QUALITY_DEVIATION * chance.normal(KIND.quality, a),
    );
    this.#tierEffect = Float64Array.from(
      { length: actions * TIERS.length },
      (_, at) => TIER_DEVIATION * chance.normal(KIND.tierEffect, at),
    );
    this.#hourEffect = Float64Array.from(
      { length: actions },
      (_, a) => HOUR_EFFECT_MAX * (2 * chance.uniform(KIND.hourEffect, a) - 1),
    );
    this.#drift = walks(days, actions, (day, a) => this.#motion * DRIFT_DEVIATION * chance.normal(KIND.drift, a, day));
    this.goods = Array.from({ length: products }, (_, j) => {
      const listMinor = 2000 + 500 * chance.whole(KIND.demand, 9, j);
      const costMinor = Math.round(listMinor * (0.4 + 0.2 * chance.uniform(KIND.demand, j, 1)));
      return {
        sku: `product-${String(j + 1).padStart(2, '0')}`,
        category: j % CATEGORIES.length,
        listMinor,
        costMinor,
        floorMinor: Math.round(listMinor * 0.6),
        ceilingMinor: Math.round(listMinor * 1.4),
        stepMinor: 10,
      };
    });
    this.#size = Float64Array.from({ length: products }, (_, j) => 0.2 + 0.2 * chance.uniform(KIND.demand, j, 2));
    // Rivals wander about their own level and come back to it.
    this.#rival = Float64Array.from({ length: days * products }, () => 0);
    for (let j = 0; j < products; j++) {
      const level = 0.2 * (chance.uniform(KIND.rival, j) - 0.5);
      let away = 0;
      for (let day = 0; day < days; day++) {
        away = 0.9 * away + RIVAL_LOG_DEVIATION * 0.436 * chance.normal(KIND.rival, j, day + 1); // stationary deviation RIVAL_LOG_DEVIATION
        this.#rival[day * products + j] = level + this.#motion * away;
      }
    }
    this.#meanShare = this.#tableMeanShare();
  }

  get start(): number {
    return MARKET_START_EPOCH_MILLIS;
  }

  zoneName(person: number): string {
    return ZONE_NAMES[this.zone[person] as number] as string; // person < people
  }

  localHourOfWeek(person: number, epochMillis: number): number {
    return MARKET_ZONES.localHourOfWeek(this.#zoneIndex[this.zone[person] as number] as number, epochMillis); // person < people
  }

  offsetHours(person: number, epochMillis: number): number {
    const zone = this.#zoneIndex[this.zone[person] as number] as number; // person < people
    return Math.round(MARKET_ZONES.offsetSecondsAt(zone, epochMillis) / 3600);
  }

  taste(person: number, category: number): number {
    return this.#taste[person * CATEGORIES.length + category] as number; // both in range
  }

  /**
   * Share of a person's week that falls in an hour of it; the 168 sum to 1.
   * @param channel index in `MESSAGE_CHANNELS`, or -1 for the app
   */
  hourShare(person: number, channel: number, hourOfWeek: number): number {
    const hour = hourOfOwnDay(channel, hourOfWeek);
    return weekdayShare(hourOfWeek) * (this.#hours[person * DAY_HOURS + hour] as number); // in range
  }

  /** How much likelier than at an average hour a person responds at this one; its mean over the week is 1. */
  hourFactor(person: number, channel: number, hourOfWeek: number): number {
    return 168 * this.hourShare(person, channel, hourOfWeek);
  }

  /**
   * Probability that a person responds to an offer.
   * @param product what the person is considering, or -1
   * @param wear, fatigue recent showings of this offer and of any, faded
   */
  responseProbability(
    person: number,
    action: number,
    day: number,
    hourOfDay: number,
    product: number,
    wear: number,
    fatigue: number,
  ): number {
    const { category } = this.offers[action] as Offer; // action < actions
    const isNear = product >= 0 && this.goods[product]?.category === category;
    const logit =
      (this.#quality[action] as number) + // action < actions
      (this.#drift[day * this.options.actions + action] as number) + // in range
      (this.#tierEffect[action * TIERS.length + (this.tier[person] as number)] as number) + // in range
      this.taste(person, category) +
      (this.#hourEffect[action] as number) * wave((hourOfDay - 8) / DAY_HOURS) + // action < actions
      (isNear ? AFFINITY_EFFECT : 0) +
      this.#motion * SEASON_EFFECT * wave(day / YEAR_DAYS + category / CATEGORIES.length) -
      WEAR_EFFECT * wear -
      FATIGUE_EFFECT * fatigue -
      this.#actionShock(action, day);
    return sigmoid(logit);
  }

  /** Logit a third of the offers loses at the shock. */
  #actionShock(action: number, day: number): number {
    const { shockDay } = this.options;
    if (shockDay === null || day < shockDay) return 0;
    return this.chance.uniform(KIND.shock, action) < 1 / 3 ? 1 : 0;
  }

  #isShocked(day: number): boolean {
    return this.options.shockDay !== null && day >= this.options.shockDay;
  }

  /** The rival's price of a like product, minor units. */
  rivalMinor(product: number, day: number): number {
    const log = this.#rival[day * this.options.products + product] as number; // in range
    return (this.goods[product] as Good).listMinor * exponential(log) * (this.#isShocked(day) ? SHOCK_RIVAL : 1);
  }

  /** Share of those considering a product who would buy it if prices did not matter, twice over. */
  #market(product: number, day: number): number {
    const season = 1 + this.#motion * SEASON_DEMAND * wave(day / YEAR_DAYS + product / this.options.products);
    return (this.#size[product] as number) * season * (this.#isShocked(day) ? SHOCK_SIZE : 1); // product < products
  }

  /** How much a price matters on a day: sensitivity of a middling person to the log of the price over the rival's. */
  #sensitivityScale(product: number, day: number): number {
    return (5 + 2 * this.chance.uniform(KIND.demand, product, 3)) * (this.#isShocked(day) ? SHOCK_SENSITIVITY : 1);
  }

  #ratio(product: number, priceMinor: number, day: number): number {
    return (
      this.#sensitivityScale(product, day) * naturalLogarithm(Math.max(priceMinor, 1) / this.rivalMinor(product, day))
    );
  }

  /** Probability that a person who considers a product buys it at a price. */
  purchaseProbability(person: number, product: number, priceMinor: number, day: number): number {
    const z = (this.sensitivity[person] as number) * this.#ratio(product, priceMinor, day); // person < people
    return Math.min(PROBABILITY_MAX, this.#market(product, day) * sigmoid(-z));
  }

  /** The same over everybody who considers it, by how often they do. */
  meanPurchaseProbability(product: number, priceMinor: number, day: number): number {
    const ratio = this.#ratio(product, priceMinor, day);
    const at = Math.min(Math.max((ratio / RATIO_MAX + 1) / 2, 0), 1) * RATIO_CELLS;
    const cell = Math.min(Math.floor(at), RATIO_CELLS - 1);
    const from = product * (RATIO_CELLS + 1) + cell;
    const [a, b] = [this.#meanShare[from] as number, this.#meanShare[from + 1] as number]; // in range
    return Math.min(PROBABILITY_MAX, this.#market(product, day) * (a + (at - cell) * (b - a)));
  }

  /** The price of the highest expected margin on a day, over all multiples of the step within bounds. */
  bestPriceMinor(product: number, day: number): number {
    const { floorMinor, ceilingMinor, costMinor, stepMinor } = this.goods[product] as Good; // product < products
    let best = floorMinor;
    let bestMargin = Number.NEGATIVE_INFINITY;
    for (let price = Math.ceil(floorMinor / stepMinor) * stepMinor; price <= ceilingMinor; price += stepMinor) {
      const margin = (price - costMinor) * this.meanPurchaseProbability(product, price, day);
      if (margin > bestMargin) [best, bestMargin] = [price, margin];
    }
    return best;
  }

  /** Share of a person's visits that consider a product: softmax of the tastes. */
  productShare(person: number, product: number): number {
    let sum = 0;
    for (const { category } of this.goods) sum += exponential(this.taste(person, category));
    return exponential(this.taste(person, (this.goods[product] as Good).category)) / sum; // product < products
  }

  #drawHours(): Float64Array {
    const { people } = this.options;
    const hours = new Float64Array(people * DAY_HOURS);
    for (let i = 0; i < people; i++) {
      const type = this.chance.whole(KIND.chronotype, CHRONOTYPES, i);
      chronotypeDay(type, this.chance.normal(KIND.peakHour, i), hours.subarray(i * DAY_HOURS, (i + 1) * DAY_HOURS));
    }
    return hours;
  }

  #tableMeanShare(): Float64Array {
    const { people, products } = this.options;
    const table = new Float64Array(products * (RATIO_CELLS + 1));
    for (let j = 0; j < products; j++) {
      const weights = Float64Array.from(
        { length: people },
        (_, i) => this.productShare(i, j) / (this.cycleDays[i] ?? 1),
      );
      const sum = weights.reduce((a, b) => a + b);
      for (let cell = 0; cell <= RATIO_CELLS; cell++) {
        const ratio = RATIO_MAX * ((2 * cell) / RATIO_CELLS - 1);
        let share = 0;
        for (let i = 0; i < people; i++)
          share += (weights[i] as number) * sigmoid(-(this.sensitivity[i] as number) * ratio); // i < people
        table[j * (RATIO_CELLS + 1) + cell] = share / sum;
      }
    }
    return table;
  }
}

/** Share of the week that falls on the weekday of an hour of it. */
export function weekdayShare(hourOfWeek: number): number {
  return WEEKDAY_SHARES[Math.floor(hourOfWeek / DAY_HOURS)] as number; // below 168
}

/**
 * Which hour of people's own day an hour of the week is: weekends run late, some channels early.
 * @param channel index in `MESSAGE_CHANNELS`, or -1 for the app
 */
export function hourOfOwnDay(channel: number, hourOfWeek: number): number {
  const lag = (hourOfWeek >= 5 * DAY_HOURS ? WEEKEND_LAG_HOURS : 0) - (CHANNEL_LEAD_HOURS[channel] ?? 0);
  return ((hourOfWeek % DAY_HOURS) - lag + 2 * DAY_HOURS) % DAY_HOURS;
}

/** Share of a weekday's activity by hour, of a person of this type whose peak lies `deviate` deviations late. */
export function chronotypeDay(type: number, deviate: number, out: Float64Array): Float64Array {
  const plainSum = PLAIN_DAY.reduce((a, b) => a + b);
  const peak = (CHRONOTYPE_PEAKS[type] as number) + PEAK_DEVIATION_HOURS * deviate; // type < CHRONOTYPES
  let sum = 0;
  for (let h = 0; h < DAY_HOURS; h++) {
    const distance = (((h + 0.5 - peak + 60) % DAY_HOURS) - 12) / BUMP_HOURS;
    out[h] = exponential(-(distance * distance) / 2);
    sum += out[h] as number; // just set
  }
  for (let h = 0; h < DAY_HOURS; h++) {
    out[h] = ((1 - BUMP_SHARE) * (PLAIN_DAY[h] as number)) / plainSum + (BUMP_SHARE * (out[h] as number)) / sum; // h < 24
  }
  return out;
}

/** Day x item: sums of the steps up to each day. */
function walks(days: number, items: number, step: (day: number, item: number) => number): Float64Array {
  const out = new Float64Array(days * items);
  for (let day = 1; day < days; day++) {
    for (let a = 0; a < items; a++) out[day * items + a] = (out[(day - 1) * items + a] as number) + step(day, a); // in range
  }
  return out;
}
