/** Do-not-disturb and order of channels as a person asks for them: the next decide and send-time keep to it, to the minute. */
import { beforeEach, describe, expect, it } from 'vitest';
import { FIELD, RECORD_FLAG } from '../../actors/record-layout.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Properties, Rejection } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** 22:30 of a summer day in Berlin. */
const NIGHT = Date.UTC(2026, 5, 10, 20, 30);
const CATALOG = `version: 1
name: wishes
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0 }
profile: { traits: { timeZone: { type: timeZone } } }
channels: { push: { quietHours: "00:00-06:00", sendWithin: 24h }, mail: {} }
slots: { home: { channels: [push, mail] } }
actions:
  - { key: either, channels: [push, mail], valueMinor: 10 }
  - { key: pushed, channels: [push], valueMinor: 900 }
`;

let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
});
const wish = (purposes: Properties, now = NOON): void => expect(shard.consent('ann', purposes, now)).toBeNull();
/** Action and channel of what may be offered. */
function offered(now: number, from = shard): string[] {
  const { actions } = from.decide({ profile: 'ann', count: 2, wantMask: WANT.action, isDryRun: true }, now);
  return actions.map(({ action, channel }) => `${action} ${channel}`).sort();
}
function rejection(now: number): Rejection {
  const ask = { profile: 'ann', actions: ['pushed'], wantMask: WANT.action, isDryRun: true, isExplain: true };
  const [found] = shard.decide(ask, now).explain?.rejected ?? [];
  if (found === undefined) throw new Error('nothing was rejected');
  return found;
}
/** When the person would be spoken to on push. */
const sendAt = (now: number, fields: Properties = { channel: 'push' }): number =>
  shard.decide({ profile: 'ann', wantMask: WANT.sendTime, isDryRun: true, ...fields }, now).sendTime?.atEpochMillis ??
  0;
const localMinute = (at: number): number => ((at + 2 * HOUR) % DAY) / MINUTE;

describe('own quiet hours', () => {
  it('close a channel in local time, beside those of the catalog, and say when it opens', () => {
    wish({ 'contact.push': { quietHours: '22:00-07:30' } });
    expect(offered(NIGHT - HOUR)).toEqual(['either push', 'pushed push']);
    expect(offered(NIGHT)).toEqual(['either mail']);
    const opens = NIGHT + 9 * HOUR;
    expect(rejection(NIGHT)).toMatchObject({
      stage: 'contactPolicy',
      rule: "the person's quiet hours on push 22:00-07:30",
      value: '22:30',
      eligibleAgainAtEpochMillis: opens,
    });
    expect(offered(opens - 1)).toEqual(['either mail']);
    expect(offered(opens)).toEqual(['either push', 'pushed push']);
  });

  it('where the catalog has quiet hours that follow, both are waited for', () => {
    wish({ 'contact.push': { quietHours: '22:00-00:30' } });
    expect(rejection(NIGHT).eligibleAgainAtEpochMillis).toBe(NIGHT + 7.5 * HOUR);
    expect(offered(NIGHT + 7.5 * HOUR)).toContain('pushed push');
  });

  it('follow the person to another zone', () => {
    wish({ contact: { quietHours: '22:00-23:00' } });
    expect(offered(NIGHT)).toEqual([]);
    expect(shard.identify('ann', { timeZone: 'America/New_York' }, NOON)).toBeNull();
    expect(offered(NIGHT)).toEqual(['either push', 'pushed push']);
    expect(offered(NIGHT + 6 * HOUR)).toEqual([]);
  });

  it('move a message whose time is asked for as well', () => {
    wish({ contact: { quietHours: '08:00-21:00' }, 'contact.push': { quietHours: '21:00-23:30' } });
    for (let hour = 0; hour < 24; hour++) {
      const minute = localMinute(sendAt(NOON + hour * HOUR));
      // What is left of the day: 06:00 to 08:00 and 23:30 to midnight.
      expect([(minute >= 360 && minute < 480) || minute >= 1410, hour]).toEqual([true, hour]);
    }
    expect(
      shard.decide({ profile: 'ann', wantMask: WANT.action | WANT.sendTime, isDryRun: true }, NIGHT).actions,
    ).toHaveLength(1);
  });

  it('that leave no minute of the day: no instant is found, and nothing is offered', () => {
    wish({ contact: { quietHours: '00:00-12:00' }, 'contact.push': { quietHours: '12:00-00:00' } });
    expect([sendAt(NOON), rejection(NIGHT).eligibleAgainAtEpochMillis]).toEqual([0, null]);
  });
});

describe('silence until an instant', () => {
  it('of one channel, to the millisecond, and needs nobody to end it', () => {
    wish({ 'contact.push': { mutedUntilEpochMillis: NOON + DAY } });
    expect(offered(NOON + DAY - 1)).toEqual(['either mail']);
    expect(rejection(NOON)).toMatchObject({
      rule: 'muted by the person on push',
      threshold: NOON + DAY,
      eligibleAgainAtEpochMillis: NOON + DAY,
    });
    expect(offered(NOON + DAY)).toEqual(['either push', 'pushed push']);
  });

  it('of all, ending in quiet hours: both are waited for', () => {
    wish({ contact: { mutedUntilEpochMillis: NIGHT + 4 * HOUR } });
    expect(offered(NIGHT)).toEqual([]);
    // 02:30 is within the catalog's.
    expect(rejection(NIGHT).eligibleAgainAtEpochMillis).toBe(NIGHT + 7.5 * HOUR);
  });

  it('moves a message behind it, and forbids one where it ends too far ahead', () => {
    wish({ 'contact.push': { mutedUntilEpochMillis: NOON + 3 * DAY } });
    expect(sendAt(NOON)).toBeGreaterThanOrEqual(NOON + 3 * DAY);
    wish({ 'contact.push': { mutedUntilEpochMillis: NOON + 9 * DAY } });
    expect(sendAt(NOON)).toBe(0);
    const both = { profile: 'ann', wantMask: WANT.action | WANT.sendTime, isDryRun: true, count: 2 };
    expect(shard.decide(both, NOON).actions.map(({ channel }) => channel)).toEqual(['mail']);
  });

  it('taken back with null', () => {
    wish({ contact: { mutedUntilEpochMillis: NOON + DAY, quietHours: '10:00-11:00' } });
    wish({ contact: { mutedUntilEpochMillis: null } });
    expect(offered(NOON + 3 * HOUR)).toEqual(['either push', 'pushed push']);
    wish({ contact: { quietHours: null } });
    expect(offered(NOON)).toEqual(['either push', 'pushed push']);
  });
});

describe('an order of channels', () => {
  it('goes before the catalog’s, where the channel is open; what is not named comes last', () => {
    wish({ 'contact.mail': { preference: 1 } });
    expect(offered(NOON)).toEqual(['either mail', 'pushed push']);
    wish({ 'contact.push': { preference: 2 } });
    expect(offered(NOON)).toContain('either mail');
    wish({ 'contact.mail': { granted: false } });
    expect(offered(NOON)).toEqual(['either push', 'pushed push']);
    wish({ 'contact.mail': { preference: null, granted: true }, 'contact.push': { preference: null } });
    expect(offered(NOON)).toEqual(['either push', 'pushed push']);
  });

  it('says which channel a time is for, where none is asked for', () => {
    const channel = (): string | undefined =>
      shard.decide({ profile: 'ann', slot: 'home', wantMask: WANT.sendTime, isDryRun: true }, NOON).sendTime?.channel;
    expect(channel()).toBe('push');
    wish({ 'contact.mail': { preference: 1 } });
    expect(channel()).toBe('mail');
  });
});

describe('keeping it', () => {
  it('is shown with its proof and what was before, and holds after a recovery', () => {
    wish({ 'contact.push': { quietHours: '22:00-07:30', preference: 2 } });
    expect(
      shard.consent('ann', { 'contact.push': { quietHours: '21:00-07:30' } }, NOON + 1, { source: 'app settings' }),
    ).toBeNull();
    expect(shard.consentTurn.summary).toBe('contact.push:quietHours');
    const shown = shard.describe('ann', NOON + 2).wishes;
    expect(shown).toEqual({
      'contact.push': {
        quietHours: '21:00-07:30',
        preference: 2,
        atEpochMillis: NOON + 1,
        proof: { source: 'app settings' },
        history: [{ quietHours: '22:00-07:30', preference: 2, atEpochMillis: NOON }],
      },
    });
    shard.store.commitNow();
    const after = shard.recovered();
    expect([offered(NIGHT, after), after.describe('ann', NOON + 2).wishes]).toEqual([['either mail'], shown]);
  });

  it('somebody who wishes nothing has no flag, no moment and no entry', () => {
    wish({ personalisation: { granted: false } });
    const { record } = shard.runtime;
    expect(record.getU16(FIELD.flags) & RECORD_FLAG.wishes).toBe(0);
    expect(shard.describe('ann', NOON)).not.toHaveProperty('wishes');
  });

  it.each<[Properties, RegExp]>([
    [{ contact: {} }, /no such purpose/],
    [{ contact: { granted: true } }, /no such purpose/],
    [{ contact: { preference: 1 } }, /contact\.preference: is said of one channel/],
    [{ 'contact.fax': { quietHours: '22:00-07:00' } }, /are of contact or contact\.CHANNEL/],
    [{ push: { quietHours: '22:00-07:00' } }, /are of contact or contact\.CHANNEL/],
    [{ personalisation: { quietHours: '22:00-07:00' } }, /are of contact or contact\.CHANNEL/],
    [{ contact: { quietHours: '22:00' } }, /quietHours: expected two different local times/],
    [{ contact: { quietHours: '22:00-22:00' } }, /quietHours: expected/],
    [{ contact: { quietHours: '24:00-07:00' } }, /quietHours: expected/],
    [{ contact: { quietHours: 5 } }, /quietHours: expected/],
    [{ contact: { mutedUntilEpochMillis: NOON } }, /mutedUntilEpochMillis: expected an instant from now on/],
    [{ contact: { mutedUntilEpochMillis: NOON + 3661 * DAY } }, /mutedUntilEpochMillis: expected/],
    [{ contact: { mutedUntilEpochMillis: NOON + 0.5 } }, /mutedUntilEpochMillis: expected/],
    [{ 'contact.push': { preference: 0 } }, /preference: expected an integer from 1/],
    [{ 'contact.push': { preference: 3 } }, /from 1, the channel liked best, to 2/],
    [{ 'contact.push': { quietHours: '22:00-07:00', until: 5 } }, /contact\.push\.until: not known here/],
  ])('%o is refused, and nothing is taken', (purposes, message) => {
    wish({ sharing: { granted: false } });
    const before = shard.runtime.record.stateSeq;
    expect(shard.consent('ann', { 'contact.mail': { preference: 1 }, ...purposes }, NOON)).toBe(FAULT.invalidField);
    expect(shard.runtime.message).toMatch(message);
    expect(shard.runtime.record.stateSeq).toBe(before);
  });
});
