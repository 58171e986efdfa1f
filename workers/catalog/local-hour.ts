/**
 * The next local hour at which something holds, for explanations ("eligible again at 09:00"). Walks from
 * one local full hour to the next with the platform's own calendar, so daylight saving and half-hour
 * zones come out right; 1 to 2 µs a step, which only requests that ask for an explanation pay.
 */

export interface LocalHour {
  /** 0 to 23. */
  readonly hour: number;
  /** 0 to 59. */
  readonly minute: number;
  /** 0 (Monday) to 6 (Sunday). */
  readonly weekday: number;
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
/** Zones come from profiles: a bound, so that unusual names cannot grow the cache. */
const FORMATS_MAX = 700;
const formatByZone = new Map<string, Intl.DateTimeFormat>();

/** Local weekday, hour and minute at an instant; null when the zone is unknown. */
export function localHourAt(epochMillis: number, timeZone: string): LocalHour | null {
  let format = formatByZone.get(timeZone);
  if (format === undefined) {
    if (!isTimeZone(timeZone)) return null;
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    if (formatByZone.size >= FORMATS_MAX) formatByZone.clear();
    formatByZone.set(timeZone, format);
  }
  const match = /^([A-Z][a-z]{2})\D*(\d{1,2}):(\d{2})/.exec(format.format(epochMillis));
  const [, day, hour, minute] = match ?? [];
  const weekday = WEEKDAYS.indexOf(day ?? '');
  return weekday < 0 ? null : { weekday, hour: Number(hour), minute: Number(minute) };
}

/** Whether the platform knows `name` as an IANA zone; plain offsets such as `+08:00` are not zones. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * Start of the first later local hour at which `holds`, within `hoursMax` steps; null when there is
 * none or the zone is unknown.
 */
export function nextHourWhere(
  fromEpochMillis: number,
  timeZone: string,
  hoursMax: number,
  holds: (local: LocalHour) => boolean,
): number | null {
  let at = fromEpochMillis;
  let local = localHourAt(at, timeZone);
  for (let step = 0; step < hoursMax && local !== null; step += 1) {
    at += (60 - local.minute) * 60_000 - (((at % 60_000) + 60_000) % 60_000);
    local = localHourAt(at, timeZone);
    if (local !== null && holds(local)) return at;
  }
  return null;
}
