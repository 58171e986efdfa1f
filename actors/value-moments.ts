/**
 * What the values of an event's property say at an instant: how often one was seen, how many there were, how many
 * calendar months in a row one came back. Read from the record's moments of kind `VALUE_MOMENT`, in one pass a question;
 * nothing is kept between two. Called by `profile-scope.ts` for rules, and by `tag-turn.ts` for when it changes next.
 */
import { VALUE_MOMENT, type ValueReading } from '../decision/catalog.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { ProfileRecord } from './profile-record.ts';

export class ValueMoments {
  readonly #zones: ZoneTable;
  /** Value to the months it was seen in, a bit each, the current one lowest. */
  readonly #months = new Map<number, number>();

  constructor(zones: ZoneTable) {
    this.#zones = zones;
  }

  /** The reading's answer at `now` for a person in `zone`; values dated later than `now` do not count yet. */
  read(record: ProfileRecord, reading: ValueReading, now: number, zone: number): number {
    const { read, subjectHash, windowMillis, valueHash } = reading;
    let count = 0;
    if (read !== 'count') this.#months.clear();
    const thisMonth = read === 'streak' ? this.#zones.localMonth(zone, now) : 0;
    for (let i = 0; i < record.momentCount; i++) {
      if (record.momentKind(i) !== VALUE_MOMENT || record.momentSubject(i) !== subjectHash) continue;
      const at = record.momentAt(i);
      if (at > now || at <= now - windowMillis) continue;
      const value = record.momentAmount(i);
      if (read === 'count') {
        if (value === valueHash) count += record.momentTimes(i);
      } else {
        const back = read === 'streak' ? thisMonth - this.#zones.localMonth(zone, at) : 0;
        if (back <= reading.months) this.#months.set(value, (this.#months.get(value) ?? 0) | (1 << back));
      }
    }
    if (read === 'count') return count;
    return read === 'distinct' ? this.#months.size : this.#longestRun(reading.months);
  }

  /** The next instant after `now` at which time alone may change the answer; Infinity for never. */
  nextChangeAt(record: ProfileRecord, reading: ValueReading, now: number, zone: number): number {
    const { read, subjectHash, windowMillis, valueHash } = reading;
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < record.momentCount; i++) {
      if (record.momentKind(i) !== VALUE_MOMENT || record.momentSubject(i) !== subjectHash) continue;
      if (read === 'count' && record.momentAmount(i) !== valueHash) continue;
      const at = record.momentAt(i);
      if (at > now || at <= now - windowMillis) continue;
      if (read === 'streak') return this.#zones.nextLocalMonthStart(zone, now);
      next = Math.min(next, at + windowMillis);
    }
    return next;
  }

  /** A run ends with this month, or with the last where this one has nothing yet. */
  #longestRun(monthsMax: number): number {
    let longest = 0;
    for (const bits of this.#months.values()) {
      let month = (bits & 1) === 1 ? 0 : 1;
      let run = 0;
      while (run < monthsMax && ((bits >>> month) & 1) === 1) {
        run++;
        month++;
      }
      if (run > longest) longest = run;
    }
    return longest;
  }
}
