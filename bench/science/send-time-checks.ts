/**
 * Send-time against what people did: the hours in which they wrote e-mail, the days on which they bought. Each is
 * learnt from the earlier part of the data and judged on the later, against the week curve alone.
 */
import { TILT_SLOTS, tiltFactors } from '../../decision/hour-tilt.ts';
import {
  dueFactor,
  expectedLogGap,
  GAP_DECAY,
  GAP_SLOTS,
  logGapBetween,
  logGapDeviation,
} from '../../decision/purchase-due.ts';
import { addSendPrior, learnSend, WEEK_SLOTS } from '../../decision/send-time.ts';
import { atMost, type Finding, type ScienceCheck, type ScienceData } from './science-check.ts';

const EMAIL_HOURS = 'email-eu/user_hours.csv.gz';
const GROCERY = 'grocery/events.csv.gz';
const CDNOW = 'cdnow/purchases.csv.gz';

/** Learns from each person's first four fifths in time, judges on the last; figures in nats an event. */
function emailHours(data: ScienceData): readonly Finding[] {
  const people = new Map<string, number[]>();
  for (const { user = '', how } of data.rows(EMAIL_HOURS)) {
    const hours = people.get(user) ?? [];
    hours.push(Number(how));
    people.set(user, hours);
  }
  const week = new Float64Array(WEEK_SLOTS);
  addSendPrior(week, 0);
  const zoneTilt = new Float64Array(TILT_SLOTS);
  const tilts = new Map<string, Uint16Array>();
  const trained = (hours: readonly number[]): number => hours.length - Math.floor(hours.length / 5);
  for (const [user, hours] of people) {
    const tilt = new Uint16Array(TILT_SLOTS);
    tilts.set(user, tilt);
    for (const hour of hours.slice(0, trained(hours))) learnSend(week, 0, zoneTilt, 0, tilt, 0, hour);
  }
  const weekSum = week.reduce((a, b) => a + b);
  const factors = new Float64Array(TILT_SLOTS);
  let events = 0;
  let globalNats = 0;
  let tiltNats = 0;
  for (const [user, hours] of people) {
    tiltFactors(week, 0, zoneTilt, 0, tilts.get(user) ?? new Uint16Array(TILT_SLOTS), 0, factors);
    for (const hour of hours.slice(trained(hours))) {
      const share = (week[hour] ?? 0) / weekSum;
      globalNats -= Math.log(share);
      tiltNats -= Math.log(share * (factors[hour % TILT_SLOTS] ?? 0));
      events++;
    }
  }
  const [tilt, global] = [tiltNats / events, globalNats / events];
  return [
    atMost('e-mail hours: tilt x week, nats an event', 4.216, tilt),
    atMost('e-mail hours: tilt minus the week alone, nats', 0, tilt - global, `the week alone ${global.toFixed(4)}`),
    atMost('e-mail hours: the week alone minus uniform, nats', 0, global - Math.log(WEEK_SLOTS)),
  ];
}

const DAY_MILLIS = 86_400_000;
/** How far ahead the day of the next purchase is asked for. */
const AHEAD_DAYS = 7;

/** Instants of each person's purchases, ascending. */
function purchasesOf(data: ScienceData, file: string): number[][] {
  const people = new Map<string, number[]>();
  for (const { cust = '', date = '' } of data.rows(file)) {
    const at = Date.parse(date.length === 8 ? date.replace(/(....)(..)(..)/, '$1-$2-$3') : date);
    const days = people.get(cust) ?? [];
    if (days.at(-1) !== at) days.push(at);
    people.set(cust, days);
  }
  return [...people.values()].map((days) => days.sort((a, b) => a - b));
}

/**
 * On each day of the second half on which somebody's next purchase is at most a week away: on which of the seven
 * days? By the week curve alone, and by the curve and how due each day is. Everybody's gaps and the curve are those
 * of the first half, a person's numbers those of before that day. Nats an answer.
 */
function dayOfPurchase(name: string, file: string): (data: ScienceData) => readonly Finding[] {
  return (data) => {
    const people = purchasesOf(data, file);
    const first = Math.min(...people.map(([at = Number.POSITIVE_INFINITY]) => at));
    const last = Math.max(...people.map((days) => days.at(-1) ?? 0));
    const middle = first + Math.floor((last - first) / 2 / DAY_MILLIS) * DAY_MILLIS;
    const totals = new Float64Array(GAP_SLOTS);
    const weekdays = new Float64Array(7).fill(1);
    const weekdayOf = (at: number): number => Math.floor(at / DAY_MILLIS + 3) % 7;
    for (const days of people) {
      days.forEach((at, i) => {
        if (at >= middle) return;
        weekdays[weekdayOf(at)] = (weekdays[weekdayOf(at)] ?? 0) + 1;
        const logGap = logGapBetween(days[i - 1] ?? Number.NaN, at);
        if (Number.isNaN(logGap)) return;
        totals[0] = (totals[0] ?? 0) + 1;
        totals[1] = (totals[1] ?? 0) + logGap;
        totals[2] = (totals[2] ?? 0) + logGap * logGap;
      });
    }
    const dues = new Float64Array(AHEAD_DAYS);
    const deviation = logGapDeviation(totals);
    let answers = 0;
    let weekNats = 0;
    let dueNats = 0;
    for (const days of people) {
      let decayed = 0;
      for (let i = 0; i + 1 < days.length; i++) {
        const at = days[i] ?? 0;
        if (i > 0) decayed = GAP_DECAY * decayed + logGapBetween(days[i - 1] ?? 0, at);
        const next = days[i + 1] ?? 0;
        const logGap = expectedLogGap(i + 1, decayed, totals);
        for (let from = Math.max(at + DAY_MILLIS, middle, next - (AHEAD_DAYS - 1) * DAY_MILLIS); from <= next; ) {
          let [weekSum, dueSum] = [0, 0];
          for (let day = 0; day < AHEAD_DAYS; day++) {
            const curve = weekdays[weekdayOf(from + day * DAY_MILLIS)] ?? 0;
            dues[day] = curve * dueFactor(from - at + (day + 0.5) * DAY_MILLIS, logGap, deviation, i + 1);
            weekSum += curve;
            dueSum += dues[day] ?? 0;
          }
          weekNats -= Math.log((weekdays[weekdayOf(next)] ?? 0) / weekSum);
          dueNats -= Math.log((dues[(next - from) / DAY_MILLIS] ?? 0) / dueSum);
          answers++;
          from += DAY_MILLIS;
        }
      }
    }
    const [week, due] = [weekNats / answers, dueNats / answers];
    const note = `the week alone ${week.toFixed(4)}, with the cycle ${due.toFixed(4)}, ${answers} answers`;
    return [
      atMost(`${name}: day of the next purchase, the cycle minus the week alone, nats`, 0, due - week, note),
      atMost(`${name}: the week alone minus uniform, nats`, 0, week - Math.log(AHEAD_DAYS)),
    ];
  };
}

export const SEND_TIME_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'send-time: e-mail hours',
    source: "email-Eu; science.md section 4, which splits the full set; here each person's last fifth of what is given",
    needs: [EMAIL_HOURS],
    isFast: true,
    run: emailHours,
  },
  {
    name: 'send-time: days of online groceries',
    source: 'science.md section 4: never worse than global on any set; the data have days, no hours',
    needs: [GROCERY],
    isFast: true,
    run: dayOfPurchase('groceries', GROCERY),
  },
  {
    name: 'send-time: days of CDNOW',
    source: 'science.md section 4: never worse than global on any set; the data have days, no hours',
    needs: [CDNOW],
    isFast: true,
    run: dayOfPurchase('CDNOW', CDNOW),
  },
];
