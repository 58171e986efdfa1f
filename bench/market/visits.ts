/**
 * When people come to the app, and what they look at. A person's next visit follows from the last by their cycle and
 * rhythm alone: no policy can change it, so all policies see the same visits.
 */
import type { Agenda } from './agenda.ts';
import { KIND } from './chance.ts';
import { CATEGORIES, DAY_HOURS, HOUR_MILLIS, type World } from './world.ts';

export interface Visit {
  readonly person: number;
  /** Count of this person's visits before this one. */
  readonly index: number;
  readonly nowEpochMillis: number;
  /** Days since the market's start, UTC. */
  readonly day: number;
  readonly hourOfWeek: number;
  /** What the person is considering. */
  readonly product: number;
}

/** Puts every person's visits into the agenda, each when the one before it happens. */
export function planVisits(world: World, agenda: Agenda, onVisit: (visit: Visit) => void): void {
  for (let person = 0; person < world.options.people; person++) planNext(world, agenda, onVisit, person, 0, 0);
}

function planNext(
  world: World,
  agenda: Agenda,
  onVisit: (visit: Visit) => void,
  person: number,
  index: number,
  afterDay: number,
): void {
  const { chance } = world;
  const cycle = world.cycleDays[person] as number; // person < people
  const gap =
    ((chance.exponential(KIND.gap, person, 2 * index) + chance.exponential(KIND.gap, person, 2 * index + 1)) * cycle) /
    2;
  // The first visit lies anywhere in the cycle: the market was there before we looked.
  const day =
    index === 0
      ? Math.floor(chance.uniform(KIND.gap, person, 1_000_000) * cycle)
      : afterDay + Math.max(1, Math.round(gap));
  if (day >= world.options.days) return;
  const at = instantOfVisit(world, person, day, index);
  agenda.at(at, (nowEpochMillis) => {
    onVisit({
      person,
      index,
      nowEpochMillis,
      day,
      hourOfWeek: world.localHourOfWeek(person, nowEpochMillis),
      product: productOf(world, person, index),
    });
    planNext(world, agenda, onVisit, person, index + 1, day);
  });
}

/** An hour of the person's own day, by their rhythm, as an instant. */
function instantOfVisit(world: World, person: number, day: number, index: number): number {
  const midnight = world.start + day * DAY_HOURS * HOUR_MILLIS;
  const offset = world.offsetHours(person, midnight + 12 * HOUR_MILLIS);
  const weekday = day % 7;
  let dayShare = 0;
  for (let h = 0; h < DAY_HOURS; h++) dayShare += world.hourShare(person, -1, weekday * DAY_HOURS + h);
  let left = world.chance.uniform(KIND.visitHour, person, index) * dayShare;
  let hour = 0;
  for (; hour < DAY_HOURS - 1; hour++) {
    left -= world.hourShare(person, -1, weekday * DAY_HOURS + hour);
    if (left < 0) break;
  }
  // Local day and market day differ by the offset; the hour of the day is what matters.
  return midnight + ((hour - offset + DAY_HOURS) % DAY_HOURS) * HOUR_MILLIS;
}

function productOf(world: World, person: number, index: number): number {
  let left = world.chance.uniform(KIND.product, person, index);
  for (let j = 0; j < world.goods.length - 1; j++) {
    left -= world.productShare(person, j);
    if (left < 0) return j;
  }
  return world.goods.length - 1;
}

/** The category looked at, by the softmax of twice the tastes: what people browse says more of them than what they tell. */
export function browsedAt(world: World, { person, index }: Visit): number {
  let best = 0;
  let bestKey = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < CATEGORIES.length; c++) {
    const noise = world.chance.gumbel(KIND.browse, person, index * CATEGORIES.length + c);
    const key = 2 * world.taste(person, c) + noise;
    if (key > bestKey) [best, bestKey] = [c, key];
  }
  return best;
}
