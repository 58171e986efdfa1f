/**
 * What the signals allow: a policy that is told what ours is told, and that knows beforehand how rhythms are drawn,
 * every constant of the truth included. It keeps the posterior of a person's rhythm given their visits, on a grid over
 * chronotype and peak hour, and sends at the hour of highest expected response, but for the same share of exploring as
 * ours. Nobody can know more of a person from their visits: what it lacks to the oracle is what they do not tell.
 *
 * Traded away: the few answers to messages, some four a person, are not used, nor is the posterior to explore better;
 * with the share at 0 it is the greedy choice. It knows the truth's form, no person's truth. For `market-checks.ts`.
 */
import { naturalLogarithm, normalInverseCdf } from '../../decision/normal.ts';
import { SEND_EXPLORATION_PROBABILITY } from '../../decision/send-time.ts';
import { KIND } from './chance.ts';
import type { TimePolicy } from './policy.ts';
import { candidateInstants } from './rival-policies.ts';
import { CHRONOTYPES, chronotypeDay, DAY_HOURS, hourOfOwnDay, type World, weekdayShare } from './world.ts';

const PEAKS_OF_TYPE = 31;
/** Push, on which the messages of this question go out. */
const CHANNEL = 0;
const APP = -1;

/** Every day that a person may have, all equally likely beforehand. */
function possibleDays(): readonly Float64Array[] {
  return Array.from({ length: CHRONOTYPES * PEAKS_OF_TYPE }, (_, i) =>
    chronotypeDay(
      Math.floor(i / PEAKS_OF_TYPE),
      normalInverseCdf(((i % PEAKS_OF_TYPE) + 0.5) / PEAKS_OF_TYPE),
      new Float64Array(DAY_HOURS),
    ),
  );
}

/** @param explored share of uniform answers */
export function informedTimes(world: World, explored = SEND_EXPLORATION_PROBABILITY): TimePolicy {
  const days = possibleDays();
  const logs = days.map((day) => day.map((share) => naturalLogarithm(share)));
  const seen = new Float64Array(world.options.people * DAY_HOURS);
  const odds = new Float64Array(days.length);
  const expected = new Float64Array(DAY_HOURS);
  const expect = (person: number): void => {
    let highest = Number.NEGATIVE_INFINITY;
    logs.forEach((day, i) => {
      let log = 0;
      for (let h = 0; h < DAY_HOURS; h++) log += (seen[person * DAY_HOURS + h] as number) * (day[h] as number); // in range
      odds[i] = log;
      highest = Math.max(highest, log);
    });
    expected.fill(0);
    days.forEach((day, i) => {
      const weight = Math.exp((odds[i] as number) - highest); // in range
      for (let h = 0; h < DAY_HOURS; h++) expected[h] = (expected[h] as number) + weight * (day[h] as number); // in range
    });
  };
  return {
    name: 'informed',
    choose({ person, index, nowEpochMillis }) {
      const instants = candidateInstants(nowEpochMillis);
      const draw = world.chance.uniform(KIND.policy, person, index);
      if (draw < explored) return instants[Math.floor((draw / explored) * instants.length)] as number; // in range
      expect(person);
      let best = nowEpochMillis;
      let most = Number.NEGATIVE_INFINITY;
      for (const at of instants) {
        const hour = world.localHourOfWeek(person, at);
        const response = weekdayShare(hour) * (expected[hourOfOwnDay(CHANNEL, hour)] as number); // below 24
        if (response > most) [best, most] = [at, response];
      }
      return best;
    },
    onVisit({ person, hourOfWeek }) {
      const at = person * DAY_HOURS + hourOfOwnDay(APP, hourOfWeek);
      seen[at] = (seen[at] as number) + 1; // in range
    },
    // An answer comes at the hour that was chosen for it: it says little of the person's, and is no draw from their day.
    onResponse() {},
  };
}
