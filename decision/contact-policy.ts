/**
 * Contact policy: may this be offered now? Caps are counted exactly, from the instants a record keeps,
 * in one pass over them for all actions and channels; quiet hours are read from the person's local
 * clock. Counts include open leases, because a decision is a moment until it is given back.
 */
import { type Cap, MOMENT, type QuietHours } from './catalog.ts';
import type { CatalogIndex } from './catalog-index.ts';

const MINUTE_MILLIS = 60_000;

/** The moments of one profile; kinds are `MOMENT`, amount of an action's moment is its channel's hash. */
export interface MomentSource {
  readonly momentCount: number;
  momentAt(i: number): number;
  momentAmount(i: number): number;
  momentSubject(i: number): number;
  momentKind(i: number): number;
  momentTimes(i: number): number;
}

/** Local calendar facts of the person at the instant of the decision. */
export interface LocalNow {
  readonly atEpochMillis: number;
  readonly dayStartEpochMillis: number;
  readonly weekStartEpochMillis: number;
  readonly minuteOfDay: number;
  /** First instants of the next local day and week; for explanations. */
  nextDayStartEpochMillis(): number;
  nextWeekStartEpochMillis(): number;
  /** Minutes after local midnight at another instant, and the next change of the clocks; for explanations. */
  minuteOfDayAt(epochMillis: number): number;
  nextClockChangeAfter(epochMillis: number): number;
}

export class CapTally {
  #counts = new Int32Array(0);
  #index: CatalogIndex | null = null;

  /** Counts every moment towards every cap it falls under. Cost: moments × caps of their action and channel. */
  count(index: CatalogIndex, source: MomentSource, local: LocalNow): void {
    const total = index.caps.length;
    if (this.#counts.length < total) this.#counts = new Int32Array(total);
    else this.#counts.fill(0, 0, total);
    this.#index = index;
    if (total === 0) return;
    const { catalog } = index;
    for (let i = 0; i < source.momentCount; i++) {
      const kind = source.momentKind(i);
      if (kind <= 1) continue;
      const at = source.momentAt(i);
      const times = source.momentTimes(i);
      const action = catalog.actionByHash.get(source.momentSubject(i));
      if (action !== undefined) {
        this.#add(
          index,
          index.capStart[action.index] as number,
          index.capStart[action.index + 1] as number,
          kind,
          at,
          times,
          local,
        );
      }
      const channel = catalog.channelByHash.get(source.momentAmount(i));
      if (channel !== undefined) {
        const start = index.channelCapStart[channel.index] as number;
        const end = index.channelCapStart[channel.index + 1] as number;
        this.#add(index, start, end, kind, at, times, local);
      }
    }
  }

  #add(
    index: CatalogIndex,
    start: number,
    end: number,
    kind: number,
    at: number,
    times: number,
    local: LocalNow,
  ): void {
    for (let c = start; c < end; c++) {
      const cap = index.caps[c] as Cap;
      if (cap.on === kind && isInside(cap, at, local)) this.#counts[c] = (this.#counts[c] as number) + times;
    }
  }

  /** One more decision on the channel, made by the decision under way. */
  addDecision(channel: number): void {
    const starts = this.#index?.channelCapStart;
    if (this.#index === null || starts === undefined) return;
    for (let c = starts[channel] as number; c < (starts[channel + 1] as number); c++) {
      if ((this.#index.caps[c] as Cap).on === MOMENT.decision) this.#counts[c] = (this.#counts[c] as number) + 1;
    }
  }

  countOf(cap: number): number {
    return this.#counts[cap] as number;
  }

  /** Position in `index.caps` of the first cap of the action that is used up, or -1. */
  fullActionCap(action: number): number {
    return this.#firstFull(this.#index?.capStart, action);
  }
  fullChannelCap(channel: number): number {
    return this.#firstFull(this.#index?.channelCapStart, channel);
  }

  #firstFull(starts: Int32Array | undefined, item: number): number {
    if (this.#index === null || starts === undefined) return -1;
    const end = starts[item + 1] as number;
    for (let c = starts[item] as number; c < end; c++) {
      if ((this.#counts[c] as number) >= (this.#index.caps[c] as Cap).count) return c;
    }
    return -1;
  }
}

/** Whether a moment counts towards the cap now. A rolling window of w ends exactly w after the moment. */
export function isInside(cap: Cap, at: number, local: LocalNow): boolean {
  if (cap.period.kind === 'rolling') return at > local.atEpochMillis - cap.period.windowMillis;
  return at >= (cap.period.kind === 'day' ? local.dayStartEpochMillis : local.weekStartEpochMillis);
}

/**
 * When a used-up cap lets one more through, if nothing else happens. For explanations only: it sorts.
 * @param matches whether moment i counts towards this cap's action or channel
 * @param used the cap's count, at least `cap.count`; what the moments do not show was used just now
 */
export function capOpensAt(
  cap: Cap,
  source: MomentSource,
  matches: (i: number) => boolean,
  local: LocalNow,
  used: number,
): number {
  if (cap.period.kind === 'day') return local.nextDayStartEpochMillis();
  if (cap.period.kind === 'week') return local.nextWeekStartEpochMillis();
  const instants: number[] = [];
  for (let i = 0; i < source.momentCount; i++) {
    if (source.momentKind(i) === cap.on && matches(i) && isInside(cap, source.momentAt(i), local)) {
      for (let t = 0; t < source.momentTimes(i); t++) instants.push(source.momentAt(i));
    }
  }
  instants.sort((a, b) => a - b);
  return (instants[used - cap.count] ?? local.atEpochMillis) + cap.period.windowMillis;
}

export function isQuiet(quiet: QuietHours, minuteOfDay: number): boolean {
  if (quiet.startMinute === quiet.endMinute) return false;
  return quiet.startMinute < quiet.endMinute
    ? minuteOfDay >= quiet.startMinute && minuteOfDay < quiet.endMinute
    : minuteOfDay >= quiet.startMinute || minuteOfDay < quiet.endMinute;
}

/** When the quiet hours that hold at `from` end; to the millisecond, over changes of the clocks as well. */
export function quietEndsAt(quiet: QuietHours, local: LocalNow, from: number): number {
  let at = from;
  // At most a few stretches: quiet hours last less than a day, and zones change their clocks twice a year.
  for (let stretch = 0; stretch < 8; stretch++) {
    const minuteOfDay = local.minuteOfDayAt(at);
    if (!isQuiet(quiet, minuteOfDay)) return at;
    const minutes = (quiet.endMinute - minuteOfDay + 1440) % 1440;
    const ends = Math.floor(at / MINUTE_MILLIS) * MINUTE_MILLIS + minutes * MINUTE_MILLIS;
    at = Math.min(ends, local.nextClockChangeAfter(at));
  }
  return at;
}

export const QUIET_HOURS_PATTERN = /^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$/;

/** `HH:MM-HH:MM` in local time, start inclusive, end exclusive; null when malformed or when both are equal. */
export function parseQuietHours(text: string): QuietHours | null {
  if (!QUIET_HOURS_PATTERN.test(text)) return null;
  const startMinute = Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));
  const endMinute = Number(text.slice(6, 8)) * 60 + Number(text.slice(9, 11));
  return startMinute === endMinute ? null : { startMinute, endMinute };
}
