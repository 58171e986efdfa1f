/**
 * Lets one policy live through the market's days and keeps what its choices were worth by the truth: expected values,
 * not the luck of single draws, so that few seeds tell much. What the policy is told is drawn.
 */
import { Agenda } from './agenda.ts';
import { KIND } from './chance.ts';
import type { ActionPolicy, Message, PlanMessage, PlanPolicy, PricePolicy, TimePolicy } from './policy.ts';
import type { Showings } from './showings.ts';
import { planVisits, type Visit } from './visits.ts';
import { DAY_HOURS, type Good, HOUR_MILLIS, type World } from './world.ts';

/** What a policy earned and what the best choice would have, in expectation, by day. */
export interface Ledger {
  readonly policy: string;
  /** Decisions taken. */
  decisions: number;
  /** By day: expected value of what was chosen, and of the best choice in the same state. */
  readonly earned: Float64Array;
  readonly best: Float64Array;
  readonly decisionsOfDay: Float64Array;
}

const DELAY_HOURS_MEAN = 8;
const MESSAGE_DELAY_HOURS_MEAN = 1;
const MESSAGE_GAP_DAYS = 3;
const PROBABILITY_MAX = 0.9;
/** A delivery each Monday brings this many weeks' expected sales at the clairvoyant's price. */
const DELIVERY_WEEKS = 1.5;

function newLedger(policy: string, world: World): Ledger {
  const zeros = (): Float64Array => new Float64Array(world.options.days);
  return { policy, decisions: 0, earned: zeros(), best: zeros(), decisionsOfDay: zeros() };
}

function enter(ledger: Ledger, day: number, earned: number, best: number): void {
  ledger.decisions++;
  ledger.earned[day] = (ledger.earned[day] as number) + earned; // day < days
  ledger.best[day] = (ledger.best[day] as number) + best; // day < days
  ledger.decisionsOfDay[day] = (ledger.decisionsOfDay[day] as number) + 1; // day < days
}

function newAgenda(world: World): Agenda {
  return new Agenda(world.start, world.options.days * DAY_HOURS);
}

/** Sum of a ledger's column over the days from `from` on. */
export function total(column: Float64Array, from = 0, until = column.length): number {
  let sum = 0;
  for (let day = from; day < until; day++) sum += column[day] as number; // in range
  return sum;
}

/** The visits of all days, in order of time, with nobody choosing anything; returns how many. */
export function eachVisit(world: World, onVisit: (visit: Visit) => void): number {
  const agenda = newAgenda(world);
  let visits = 0;
  planVisits(world, agenda, (visit) => {
    visits++;
    onVisit(visit);
  });
  agenda.run();
  return visits;
}

/** One offer a visit. Value and best are in minor units. */
export function runActions(world: World, policy: ActionPolicy, showings: Showings): Ledger {
  const ledger = newLedger(policy.name, world);
  const agenda = newAgenda(world);
  const { chance } = world;
  planVisits(world, agenda, (visit) => {
    const action = policy.choose(visit);
    let most = Number.NEGATIVE_INFINITY;
    for (let a = 0; a < world.offers.length; a++) most = Math.max(most, showings.expectedValue(visit, a));
    const probability = showings.responseProbability(visit, action);
    enter(ledger, visit.day, showings.expectedValue(visit, action), most);
    showings.add(visit, action);
    if (chance.uniform(KIND.response, visit.person, visit.index) >= probability) return;
    const delayHours = DELAY_HOURS_MEAN * chance.exponential(KIND.delay, visit.person, visit.index);
    agenda.at(visit.nowEpochMillis + delayHours * HOUR_MILLIS, (now) => policy.onResponse(visit, action, now));
  });
  agenda.run();
  return ledger;
}

/** One price a visit, for what the person considers. Value is the expected margin in minor units; best is the clairvoyant's. */
export function runPrices(world: World, policy: PricePolicy): Ledger {
  const ledger = newLedger(policy.name, world);
  const agenda = newAgenda(world);
  const stock = new Stock(world);
  const bestPrices = new BestPrices(world);
  planVisits(world, agenda, (visit) => {
    const { person, product, day } = visit;
    const good = world.goods[product] as Good; // product < products
    const priceMinor = policy.choose(visit);
    const bestMinor = bestPrices.of(product, day);
    const bestMargin = (bestMinor - good.costMinor) * world.purchaseProbability(person, product, bestMinor, day);
    const probability = world.purchaseProbability(person, product, priceMinor, day);
    const isInStock = stock.left(product, day) > 0;
    enter(ledger, day, isInStock ? (priceMinor - good.costMinor) * probability : 0, bestMargin);
    if (!isInStock || world.chance.uniform(KIND.purchase, person, visit.index) >= probability) return;
    stock.take(product);
    policy.onSale(visit, priceMinor);
  });
  agenda.run();
  return ledger;
}

class BestPrices {
  readonly #world: World;
  readonly #known: { day: number; priceMinor: number }[];

  constructor(world: World) {
    this.#world = world;
    this.#known = world.goods.map(() => ({ day: -1, priceMinor: 0 }));
  }

  of(product: number, day: number): number {
    const known = this.#known[product] as { day: number; priceMinor: number }; // product < products
    if (known.day !== day) {
      known.day = day;
      known.priceMinor = this.#world.bestPriceMinor(product, day);
    }
    return known.priceMinor;
  }
}

/** Stock on hand, filled up each Monday. */
class Stock {
  readonly #delivery: readonly number[];
  readonly #left: number[];
  #week = -1;

  constructor(world: World) {
    this.#delivery = world.goods.map((_, j) => {
      let sales = 0;
      const price = world.bestPriceMinor(j, 0);
      for (let i = 0; i < world.options.people; i++) {
        sales += (world.productShare(i, j) / (world.cycleDays[i] ?? 1)) * world.purchaseProbability(i, j, price, 0) * 7;
      }
      return Math.ceil(sales * DELIVERY_WEEKS) + 3;
    });
    this.#left = [...this.#delivery];
  }

  left(product: number, day: number): number {
    const week = Math.floor(day / 7);
    if (week !== this.#week) {
      this.#week = week;
      this.#delivery.forEach((units, j) => {
        this.#left[j] = units;
      });
    }
    return this.#left[product] as number; // product < products
  }

  take(product: number): void {
    this.#left[product] = (this.#left[product] as number) - 1; // product < products
  }
}

/** Every third day something is worth telling each person, at an hour that has nothing to do with theirs. */
function planMessages(world: World, agenda: Agenda, onMessage: (message: Message, day: number) => void): void {
  const { people, days } = world.options;
  for (let person = 0; person < people; person++) {
    for (let day = person % MESSAGE_GAP_DAYS, index = 0; day < days - 1; day += MESSAGE_GAP_DAYS, index++) {
      const hour = world.chance.whole(KIND.messageHour, DAY_HOURS, person, index);
      const [of, number] = [day, index];
      agenda.at(world.start + (day * DAY_HOURS + hour) * HOUR_MILLIS, (nowEpochMillis) =>
        onMessage({ person, index: number, nowEpochMillis }, of),
      );
    }
  }
}

/** One message every third day to everybody. Value is the expected number of responses. */
export function runTimes(world: World, policy: TimePolicy, oracle: TimePolicy): Ledger {
  const ledger = newLedger(policy.name, world);
  const agenda = newAgenda(world);
  const responseAt = (person: number, at: number): number =>
    Math.min(
      PROBABILITY_MAX,
      (world.eagerness[person] as number) * world.hourFactor(person, 0, world.localHourOfWeek(person, at)), // person < people
    );
  planVisits(world, agenda, (visit) => policy.onVisit(visit));
  planMessages(world, agenda, (message, day) => {
    const { person, index, nowEpochMillis } = message;
    const at = policy.choose(message);
    if (!(at >= nowEpochMillis && at <= nowEpochMillis + DAY_HOURS * HOUR_MILLIS)) {
      throw new RangeError(`policy ${policy.name}: sends at ${at}, not within a day of ${nowEpochMillis}`);
    }
    const probability = responseAt(person, at);
    enter(ledger, day, probability, responseAt(person, oracle.choose(message)));
    if (world.chance.uniform(KIND.response, person, index) >= probability) return;
    const delayHours = MESSAGE_DELAY_HOURS_MEAN * world.chance.exponential(KIND.delay, person, index);
    agenda.at(at + delayHours * HOUR_MILLIS, (now) => policy.onResponse(message, now));
  });
  agenda.run();
  return ledger;
}

/**
 * A message about a product every third day to everybody. A person who responds earns the offer's value, and buys at
 * the price as one who considers it would. Best is not known and left 0.
 */
export function runPlans(world: World, policy: PlanPolicy): Ledger {
  const ledger = newLedger(policy.name, world);
  const agenda = newAgenda(world);
  const { chance } = world;
  planVisits(world, agenda, (visit) => policy.onVisit(visit));
  planMessages(world, agenda, ({ person, index, nowEpochMillis }, day) => {
    const product = chance.whole(KIND.affinity, world.goods.length, person, index);
    const message: PlanMessage = { person, index, nowEpochMillis, product };
    const plan = policy.choose(message);
    const good = world.goods[product] as Good; // product < products
    const offer = world.offers[plan.action];
    if (offer === undefined) throw new RangeError(`policy ${policy.name}: offer ${plan.action} is none`);
    const hourOfWeek = world.localHourOfWeek(person, plan.atEpochMillis);
    const response = Math.min(
      PROBABILITY_MAX,
      world.responseProbability(person, plan.action, day, hourOfWeek % DAY_HOURS, product, 0, 0) *
        world.hourFactor(person, offer.channel, hourOfWeek),
    );
    const purchase = world.purchaseProbability(person, product, plan.priceMinor, day);
    enter(ledger, day, response * (offer.valueMinor + purchase * (plan.priceMinor - good.costMinor)), 0);
    const isResponse = chance.uniform(KIND.response, person, index) < response;
    const isPurchase = chance.uniform(KIND.purchase, person, index) < purchase;
    const delayHours = MESSAGE_DELAY_HOURS_MEAN * chance.exponential(KIND.delay, person, index);
    agenda.at(plan.atEpochMillis, (now) => policy.onSeen(message, now));
    if (!isResponse) return;
    agenda.at(plan.atEpochMillis + delayHours * HOUR_MILLIS, (now) =>
      policy.onResponse(message, plan, isPurchase, now),
    );
  });
  agenda.run();
  return ledger;
}
