/** Send-time against what people did: the hours in which 574 people wrote e-mail. */
import { addSendPrior, learnSend, TILT_SLOTS, tiltFactors, WEEK_SLOTS } from '../../decision/send-time.ts';
import { atMost, type Finding, type ScienceCheck, type ScienceData } from './science-check.ts';

const EMAIL_HOURS = 'email-eu/user_hours.csv.gz';

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

export const SEND_TIME_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'send-time: e-mail hours',
    source: "email-Eu; science.md section 4, which splits the full set; here each person's last fifth of what is given",
    needs: [EMAIL_HOURS],
    isFast: true,
    run: emailHours,
  },
];
