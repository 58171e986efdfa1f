/**
 * What is usual, as rules read it: a context feed of the server's own, whose rows say for each count of an event in a window
 * what the middle one of those who have any is, and how far people lie around it. `unusual(event, window)` is a person's
 * count, of now, beside that; so a score is as fresh as the last event, and replay sees it as it was. Measured by
 * `workers/segments/measure-usual.ts`, pushed like any feed; outsiders cannot push it.
 *
 *   all records, now and then ─▸ rows of the feed ─▸ every worker ─▸ unusual("click", "1h") = (ln(1 + count) − middle) / deviation
 */
import type { Feed } from './catalog.ts';
import type { FeedSet } from './feed-table.ts';
import { naturalLogarithm } from './normal.ts';

/** No feed of a catalog has such a name. */
export const USUAL_FEED = '_usual';

/** Fields of a row, all numbers: `middle` and `deviation` in ln(1 + count), `usual` the count itself, `people` who have any. */
export const USUAL_FIELDS = ['middle', 'deviation', 'usual', 'people'] as const;
/** Places of the fields that a score needs. */
export const MIDDLE = 0;
export const DEVIATION = 1;

/** Of people on a device. Not the key of any count. */
export const DEVICE_PEOPLE = 'people of a device';

/** Events with longer names are not measured: keys of feeds have a bound. */
export const MEASURED_EVENT_LENGTH_MAX = 100;
const ROWS_MAX = 10_000;
/** What was measured once stands for a month, should measuring fail. */
const TIME_TO_LIVE_MILLIS = 30 * 86_400_000;

/** Key of the row for a count of events in a window. */
export function usualKey(event: string, windowMillis: number): string {
  return `${event} ${windowMillis / 1000} s`;
}

export function usualFeed(): Feed {
  return {
    name: USUAL_FEED,
    fields: USUAL_FIELDS.map((name) => ({ name, type: 'number', min: null, max: null, values: [] })),
    timeToLiveMillis: TIME_TO_LIVE_MILLIS,
    rowsMax: ROWS_MAX,
    keyOf: null,
    features: [],
  };
}

/** Robust deviations of a count above what is usual; below 0 where it is less; NaN where that is not known. */
export function deviationsAbove(count: number, middle: number, deviation: number): number {
  return (naturalLogarithm(1 + count) - middle) / deviation;
}

/**
 * As `deviationsAbove`, by the row of the feed. The code of a rule does the same.
 * @param feed number of the feed in the catalog, or -1 where it has none
 */
export function unusualOf(count: number, feeds: FeedSet, feed: number, key: string, nowEpochMillis: number): number {
  const middle = feeds.number(feed, MIDDLE, key, nowEpochMillis);
  return deviationsAbove(count, middle, feeds.number(feed, DEVIATION, key, nowEpochMillis));
}
