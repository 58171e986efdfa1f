/**
 * What ours is compared with: policies that know nothing, policies that shops commonly have, and those that know the
 * truth (oracle, clairvoyant), which bound what anybody can reach.
 */
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { learnResponse, learnTrial } from '../../decision/response-learning.ts';
import { predict, ResponseModel } from '../../decision/response-model.ts';
import { KIND } from './chance.ts';
import type { ActionPolicy, PricePolicy, TimePolicy } from './policy.ts';
import type { Showings } from './showings.ts';
import { browsedAt, type Visit } from './visits.ts';
import { CATEGORIES, DAY_HOURS, type Good, HOUR_MILLIS, type World } from './world.ts';

const IGNORE = (): void => {};

/** The largest of `count` scores; the first of equals. */
function best(count: number, score: (i: number) => number): number {
  let at = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const x = score(i);
    if (x > most) [at, most] = [i, x];
  }
  return at;
}

// ── actions ──────────────────────────────────────────────────────────────────────────────────────

export function randomActions(world: World): ActionPolicy {
  return {
    name: 'random',
    choose: ({ person, index }) => world.chance.whole(KIND.policy, world.offers.length, person, index),
    onResponse: IGNORE,
  };
}

/** The one offer of the highest expected value over everybody on the first day, as the truth knows it. */
export function fixedBestAction(world: World): ActionPolicy {
  const { people } = world.options;
  const action = best(world.offers.length, (a) => {
    let sum = 0;
    for (let i = 0; i < people; i++)
      sum += world.responseProbability(i, a, 0, 12, -1, 0, 0) / (world.cycleDays[i] ?? 1);
    return sum * (world.offers[a]?.valueMinor ?? 0);
  });
  return { name: 'fixed best', choose: () => action, onResponse: IGNORE };
}

/**
 * The offer whose value a showing was highest so far, over everybody, each counted as if it had been shown twice and
 * answered once at first: certainty, with no exploration.
 */
export function greedyActions(world: World): ActionPolicy {
  const shown = world.offers.map(() => 2);
  const responses = world.offers.map(() => 1);
  return {
    name: 'greedy',
    choose() {
      const action = best(
        world.offers.length,
        (a) => ((responses[a] ?? 0) / (shown[a] ?? 1)) * (world.offers[a]?.valueMinor ?? 0),
      );
      shown[action] = (shown[action] ?? 0) + 1;
      return action;
    },
    onResponse(_visit, action) {
      responses[action] = (responses[action] ?? 0) + 1;
    },
  };
}

/**
 * Greedy on the product's own response model: the same knowledge of people and the same learning, but the highest mean
 * is always taken. What Thompson sampling and the floor of exploration are worth is the difference to ours.
 */
export function greedyModelActions(world: World): ActionPolicy {
  const model = new ResponseModel();
  const moments = new Float64Array(2);
  const features = new Map<Visit, FeatureVector>();
  const partOf = (action: number): number => 20 + action;
  const categoryOf = (action: number): number => 1 + (world.offers[action]?.category ?? 0);
  const browsed = new Uint16Array(world.options.people * CATEGORIES.length);
  const featuresOf = (visit: Visit): FeatureVector => {
    const { person, hourOfWeek, product } = visit;
    const out = new FeatureVector();
    const known = [world.tier[person], world.interest[person], world.device[person], product];
    known.push(hourOfWeek % DAY_HOURS, Math.floor(hourOfWeek / DAY_HOURS));
    const own = browsed.subarray(person * CATEGORIES.length, (person + 1) * CATEGORIES.length);
    const seen = browsedAt(world, visit);
    own[seen] = (own[seen] ?? 0) + 1;
    // Powers of two, as the product's own features have counts.
    known.push(...Array.from(own, (count) => 32 - Math.clz32(count)));
    known.forEach((value = 0, kind) => {
      out.add(mixHash(kind, value), 1);
    });
    return out;
  };
  return {
    name: 'greedy, our model',
    choose(visit) {
      const known = featuresOf(visit);
      features.set(visit, known);
      const action = best(world.offers.length, (a) => {
        predict(model, known, partOf(a), categoryOf(a), 10, moments);
        return (world.offers[a]?.valueMinor ?? 0) / (1 + Math.exp(-(moments[0] ?? 0)));
      });
      learnTrial(model, known, partOf(action), categoryOf(action), 10, 0, 1, null);
      return action;
    },
    onResponse(visit, action) {
      const known = features.get(visit);
      features.delete(visit);
      if (known !== undefined) learnResponse(model, known, partOf(action), categoryOf(action), 10, 1, null);
    },
  };
}

/** The offer of the highest expected value to this person now, wear included. */
export function oracleActions(world: World, showings: Showings): ActionPolicy {
  return {
    name: 'oracle',
    choose: (visit) => best(world.offers.length, (a) => showings.expectedValue(visit, a)),
    onResponse: IGNORE,
  };
}

// ── prices ───────────────────────────────────────────────────────────────────────────────────────

function fixedPrices(name: string, world: World, priceOf: (good: Good) => number): PricePolicy {
  const prices = world.goods.map((good) => {
    const { floorMinor, ceilingMinor, stepMinor } = good;
    return Math.min(Math.max(Math.round(priceOf(good) / stepMinor) * stepMinor, floorMinor), ceilingMinor);
  });
  return { name, choose: ({ product }) => prices[product] as number, onSale: IGNORE }; // product < products
}

export function listPrices(world: World): PricePolicy {
  return fixedPrices('list', world, ({ listMinor }) => listMinor);
}

/** Cost and two thirds: a keystone-like mark-up, the same for everything. */
export function costPlusPrices(world: World): PricePolicy {
  return fixedPrices('cost-plus', world, ({ costMinor }) => (costMinor * 5) / 3);
}

/**
 * Greedy least squares: list and a tenth less in turn for the first 40 quotes of a product, from then on the best price
 * of the line fitted to all sales so far (certainty equivalence; den Boer and Zwart, "Simultaneously learning and
 * optimizing using controlled variance pricing", 2014, show why it may settle on a wrong price).
 */
export function leastSquaresPrices(world: World): PricePolicy {
  const sums = world.goods.map(() => ({ n: 0, x: 0, y: 0, xx: 0, xy: 0 }));
  return {
    name: 'greedy least squares',
    choose({ product }) {
      const good = world.goods[product] as Good; // product < products
      const sum = sums[product] as (typeof sums)[number]; // as above
      const { n, x, y, xx, xy } = sum;
      let ratio = n % 2 === 0 ? 1 : 0.9;
      if (n >= 40) {
        const slope = (n * xy - x * y) / (n * xx - x * x);
        const level = (y - slope * x) / n;
        // (p - c)(level + slope p) is highest midway between cost and the price at which nobody buys.
        if (slope < 0) ratio = (good.costMinor / good.listMinor - level / slope) / 2;
        else ratio = good.ceilingMinor / good.listMinor;
      }
      const { floorMinor, ceilingMinor, stepMinor } = good;
      const price = Math.round((ratio * good.listMinor) / stepMinor) * stepMinor;
      const priceMinor = Math.min(Math.max(price, floorMinor), ceilingMinor);
      const shown = priceMinor / good.listMinor;
      sum.n++;
      sum.x += shown;
      sum.xx += shown * shown;
      return priceMinor;
    },
    onSale({ product }, priceMinor) {
      const sum = sums[product] as (typeof sums)[number]; // product < products
      sum.y++;
      sum.xy += priceMinor / (world.goods[product] as Good).listMinor; // as above
    },
  };
}

/** Knows the mean demand of each day; one price for everybody, as ours. */
export function clairvoyantPrices(world: World): PricePolicy {
  const prices = world.goods.map(() => ({ day: -1, priceMinor: 0 }));
  return {
    name: 'clairvoyant',
    choose({ product, day }) {
      const known = prices[product] as (typeof prices)[number]; // product < products
      if (known.day !== day) {
        known.day = day;
        known.priceMinor = world.bestPriceMinor(product, day);
      }
      return known.priceMinor;
    },
    onSale: IGNORE,
  };
}

// ── times ────────────────────────────────────────────────────────────────────────────────────────

/** Now, and each full hour of the coming day. */
export function candidateInstants(nowEpochMillis: number): number[] {
  const first = (Math.floor(nowEpochMillis / HOUR_MILLIS) + 1) * HOUR_MILLIS;
  return [nowEpochMillis, ...Array.from({ length: DAY_HOURS }, (_, h) => first + h * HOUR_MILLIS)].filter(
    (at) => at <= nowEpochMillis + DAY_HOURS * HOUR_MILLIS,
  );
}

export function nowTimes(): TimePolicy {
  return { name: 'now', choose: ({ nowEpochMillis }) => nowEpochMillis, onVisit: IGNORE, onResponse: IGNORE };
}

/** The local hour of the day at which everybody together responds most, as the truth knows it. */
export function globalHourTimes(world: World): TimePolicy {
  const hour = best(DAY_HOURS, (h) => {
    let sum = 0;
    for (let person = 0; person < world.options.people; person++) {
      for (let day = 0; day < 7; day++) {
        sum += (world.eagerness[person] ?? 0) * world.hourFactor(person, 0, day * DAY_HOURS + h);
      }
    }
    return sum;
  });
  return {
    name: 'global best hour',
    choose({ person, nowEpochMillis }) {
      const instants = candidateInstants(nowEpochMillis);
      return instants.find((at) => world.localHourOfWeek(person, at) % DAY_HOURS === hour) ?? nowEpochMillis;
    },
    onVisit: IGNORE,
    onResponse: IGNORE,
  };
}

export function oracleTimes(world: World): TimePolicy {
  return {
    name: 'oracle',
    choose({ person, nowEpochMillis }) {
      const instants = candidateInstants(nowEpochMillis);
      const at = best(
        instants.length,
        (i) => world.hourFactor(person, 0, world.localHourOfWeek(person, instants[i] as number)), // i < length
      );
      return instants[at] as number; // at < length
    },
    onVisit: IGNORE,
    onResponse: IGNORE,
  };
}
