/**
 * A person's own do-not-disturb and order of channels: how they come with the operation `consent`, where they stand in
 * the record, and how a turn sees them. Entries `contact` (all channels) and `contact.CHANNEL` of its `purposes` may
 * carry `quietHours`, `mutedUntilEpochMillis` and, of one channel, `preference`; null takes one back.
 *
 * Each is one standing moment, journalled as any, so that a decision computed again sees what this one saw; what was
 * said, with its proof and what was before, is in the cold section `consent`. A record without any has one flag less,
 * and that flag is all a turn looks at.
 */

import type { Catalog, Channel, QuietHours } from '../decision/catalog.ts';
import { parseQuietHours } from '../decision/contact-policy.ts';
import { type ContactWishes, NO_QUIET_HOURS } from '../decision/contact-wishes.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { type KeptStates, keepState, withProof } from './kept-states.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG, STANDING, type StandingKind } from './record-layout.ts';
import { beginStanding, changeStanding, STANDING_CHANGES_MAX } from './standing.ts';

/** Subject of what holds for all channels; no channel has this hash. */
const ALL_CHANNELS = 0;
const DAY_MINUTES = 1440;
const WISH_KEYS = ['quietHours', 'mutedUntilEpochMillis', 'preference'] as const;
type WishKey = (typeof WISH_KEYS)[number];
const KIND_OF: Readonly<Record<WishKey, StandingKind>> = {
  quietHours: STANDING.quietHours,
  mutedUntilEpochMillis: STANDING.muted,
  preference: STANDING.preference,
};
/** Entries of the cold section `consent`; no purpose has such a name. */
const ENTRY_PREFIX = '@wishes.';

/** One entry of `purposes`, read. */
export interface Wish {
  /** Null: all channels. */
  readonly channel: Channel | null;
  /** What was said, null for what is taken back. */
  readonly said: { readonly [key in WishKey]?: string | number | null };
}

/** Whether an entry of `purposes` says anything of how somebody wishes to be spoken to. */
export function hasWish(value: Plain | undefined): boolean {
  return typeof value === 'object' && value !== null && WISH_KEYS.some((key) => Object.hasOwn(value, key));
}

/** An entry without its wishes: what is left for the purpose. */
export function withoutWishes(value: Properties): Properties {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !(WISH_KEYS as readonly string[]).includes(key)));
}

/**
 * @param until the last instant that silence may be asked for
 * @returns the wish, or what is wrong with it
 */
export function readWish(name: string, value: Properties, catalog: Catalog, now: number, until: number): Wish | string {
  const at = `consent.purposes.${name.slice(0, 64)}`;
  const channel = name === 'contact' ? null : catalog.channelByKey.get(name.replace(/^contact\./, ''));
  if (channel === undefined || (channel !== null && name !== `contact.${channel.key}`))
    return `${at}: quietHours, mutedUntilEpochMillis and preference are of contact or contact.CHANNEL`;
  const { quietHours, mutedUntilEpochMillis, preference } = value;
  const isTime = typeof quietHours === 'string' && parseQuietHours(quietHours) !== null;
  if (quietHours !== undefined && quietHours !== null && !isTime)
    return `${at}.quietHours: expected two different local times such as "22:00-08:00", or null`;
  const isInstant =
    Number.isSafeInteger(mutedUntilEpochMillis) &&
    Number(mutedUntilEpochMillis) > now &&
    Number(mutedUntilEpochMillis) <= until;
  if (mutedUntilEpochMillis !== undefined && mutedUntilEpochMillis !== null && !isInstant)
    return `${at}.mutedUntilEpochMillis: expected an instant from now on, ten years ahead at most, or null`;
  const most = catalog.channels.length;
  const isRank = Number.isSafeInteger(preference) && Number(preference) >= 1 && Number(preference) <= most;
  if (preference !== undefined && preference !== null && !isRank)
    return `${at}.preference: expected an integer from 1, the channel liked best, to ${most}, or null`;
  if (preference !== undefined && channel === null) return `${at}.preference: is said of one channel`;
  const said = Object.fromEntries(WISH_KEYS.flatMap((key) => (value[key] === undefined ? [] : [[key, value[key]]])));
  return { channel, said: said as Wish['said'] }; // looked at one by one
}

/** For the audit log: which, not what. */
export function wishSummary(wishes: readonly Wish[]): string {
  return wishes.map((wish) => `${nameOf(wish.channel)}:${Object.keys(wish.said).join(',')}`).join(' ');
}

function nameOf(channel: Channel | null): string {
  return channel === null ? 'contact' : `contact.${channel.key}`;
}

/** Puts the wishes into the record bound. @returns false when a change failed and was undone */
export function standWishes(runtime: ActorRuntime, wishes: readonly Wish[], now: number): boolean {
  const changes = wishes.flatMap(({ channel, said }) =>
    Object.entries(said).map(([key, value]) => ({
      kind: KIND_OF[key as WishKey], // its own keys
      subject: channel?.hash ?? ALL_CHANNELS,
      value,
    })),
  );
  for (let from = 0; from < changes.length; from += STANDING_CHANGES_MAX) {
    beginStanding(runtime.effect);
    for (const { kind, subject, value } of changes.slice(from, from + STANDING_CHANGES_MAX))
      changeStanding(runtime.effect, kind, subject, value !== null, now, amountOf(value));
    if (!runtime.commit(now)) return false;
  }
  return true;
}

function amountOf(value: string | number | null): number {
  if (typeof value !== 'string') return value ?? 0;
  const hours = parseQuietHours(value);
  return hours === null ? 0 : hours.startMinute * DAY_MINUTES + hours.endMinute;
}

/** What the wishes change of the cold section `consent`. */
export function keepWishes(
  kept: KeptStates,
  wishes: readonly Wish[],
  proof: Properties | null,
  now: number,
): Record<string, Plain> {
  const entries: Record<string, Plain> = {};
  for (const { channel, said } of wishes) {
    const name = ENTRY_PREFIX + nameOf(channel);
    const { atEpochMillis: _at, proof: _proof, ...before } = kept[name]?.now ?? {};
    const all = Object.entries({ ...before, ...said }).filter(([, value]) => value !== null);
    const state = { ...Object.fromEntries(all), atEpochMillis: now, ...(proof === null ? {} : { proof }) };
    entries[name] = keepState(kept[name], state);
  }
  return entries;
}

/** For `profile`: by `contact` and `contact.CHANNEL`, with proof and what was before; null where nothing was ever said. */
export function describeWishes(kept: KeptStates): Record<string, Plain> | null {
  const told = Object.entries(kept).filter(([name]) => name.startsWith(ENTRY_PREFIX));
  if (told.length === 0) return null;
  return Object.fromEntries(
    told.map(([name, state]) => [
      name.slice(ENTRY_PREFIX.length),
      { ...withProof(state?.now ?? {}, []), history: [...(state?.before ?? [])] },
    ]),
  );
}

/** The wishes of the person bound last. */
export class BoundWishes implements ContactWishes {
  mutedUntil = new Float64Array(0);
  quietHours: (readonly QuietHours[])[] = [];
  ranks = new Float64Array(0);
  hasRanks = false;

  /** @returns itself, or null for somebody who wishes nothing, which costs one look at a flag */
  bind(record: ProfileRecord, { channels, channelByHash }: Catalog, now: number): BoundWishes | null {
    if ((record.getU16(FIELD.flags) & RECORD_FLAG.wishes) === 0) return null;
    if (this.ranks.length !== channels.length) {
      this.mutedUntil = new Float64Array(channels.length);
      this.ranks = new Float64Array(channels.length);
    }
    this.mutedUntil.fill(0);
    this.ranks.fill(Number.POSITIVE_INFINITY);
    this.quietHours = channels.map(() => NO_QUIET_HOURS);
    this.hasRanks = false;
    for (let i = 0; i < record.momentCount; i++) {
      const kind = record.momentKind(i);
      if (kind !== STANDING.quietHours && kind !== STANDING.muted && kind !== STANDING.preference) continue;
      const subject = record.momentSubject(i);
      const amount = record.momentAmount(i);
      const one = channelByHash.get(subject)?.index ?? -1;
      for (let channel = 0; channel < channels.length; channel++) {
        if (subject === ALL_CHANNELS || channel === one) this.#wish(kind, channel, amount, now);
      }
    }
    return this;
  }

  #wish(kind: number, channel: number, amount: number, now: number): void {
    if (kind === STANDING.muted) {
      if (amount > now) this.mutedUntil[channel] = Math.max(this.mutedUntil[channel] as number, amount); // a channel of the catalog
    } else if (kind === STANDING.preference) {
      this.ranks[channel] = amount;
      this.hasRanks = true;
    } else {
      const hours = { startMinute: Math.floor(amount / DAY_MINUTES), endMinute: amount % DAY_MINUTES };
      this.quietHours[channel] = [...(this.quietHours[channel] ?? NO_QUIET_HOURS), hours];
    }
  }
}
