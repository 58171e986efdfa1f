/** Impossible trips: told as an event that suspicions count, kept coarsely, and only of who allows location. */
import { beforeEach, describe, expect, it } from 'vitest';
import { STANDING } from '../../actors/record-layout.ts';
import { findStanding } from '../../actors/standing.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const CATALOG = catalogText({
  actions: '{ key: a, channels: [app], valueMinor: 9 }',
  tags: `traveller: { family: behaviour, when: 'count("impossible_travel", "1d") > 0', suspicion: true }`,
  more: 'abuse: { travel: { latitude: lat, longitude: lon, kmPerHourMax: 900 } }',
});
const BERLIN = { lat: 52.52, lon: 13.405 };
const SYDNEY = { lat: -33.869, lon: 151.209 };
const POTSDAM = { lat: 52.39, lon: 13.06 };

let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
});
const seen = (place: object, at: number, now = at, event = 'view'): void =>
  expect(shard.track({ profile: 'ann', event, properties: { ...place }, atEpochMillis: at }, now)).toBeNull();
const isSuspected = (now: number): boolean => 'traveller' in (shard.describe('ann', now).tags as object);
const offers = (now: number): number =>
  shard.decide({ profile: 'ann', slot: 'home', isDryRun: true }, now).actions.length;
function place(now: number): number {
  shard.runtime.open(requestOf({ profile: 'ann' }), now);
  const found = findStanding(shard.runtime.record, STANDING.place, 0);
  return found < 0 ? Number.NaN : shard.runtime.record.momentAmount(found);
}

describe('impossible travel', () => {
  it('Berlin and, two hours later, Sydney: suspected by the next answer, told in the timeline, free again a day later', () => {
    seen(BERLIN, NOON);
    seen(POTSDAM, NOON + 60_000);
    expect([isSuspected(NOON + 60_000), offers(NOON + 60_000)]).toEqual([false, 1]);
    seen(SYDNEY, NOON + 2 * HOUR);
    expect([isSuspected(NOON + 2 * HOUR), offers(NOON + 2 * HOUR)]).toEqual([true, 0]);
    const timeline = shard.describe('ann', NOON + 2 * HOUR).timeline as { event?: string; properties?: object }[];
    const told = timeline.find(({ event }) => event === 'impossible_travel');
    expect(told?.properties).toEqual({ kmPerHour: expect.any(Number), km: expect.any(Number) });
    expect(offers(NOON + 26 * HOUR)).toBe(1);
    shard.store.commitNow();
    shard = shard.recovered();
    expect(isSuspected(NOON + 3 * HOUR)).toBe(true);
    seen(SYDNEY, NOON + 4 * HOUR);
    expect(shard.describe('ann', NOON + 4 * HOUR).tags).toMatchObject({ traveller: {} });
  });

  it('a flight is possible; events without a place, or with none on earth, change nothing; late ones move nobody', () => {
    seen(BERLIN, NOON);
    const kept = place(NOON);
    seen({}, NOON + 1);
    seen({ lat: 900, lon: 13 }, NOON + 2);
    seen({ lat: '52', lon: 13 }, NOON + 3);
    expect(place(NOON + 3)).toBe(kept);
    seen(SYDNEY, NOON + 22 * HOUR);
    expect(isSuspected(NOON + 22 * HOUR)).toBe(false);
    const inSydney = place(NOON + 22 * HOUR);
    seen(POTSDAM, NOON + HOUR, NOON + 23 * HOUR);
    expect(place(NOON + 23 * HOUR)).toBe(inSydney);
    expect(isSuspected(NOON + 23 * HOUR)).toBe(false);
  });

  it('nothing is kept of who refuses location, and what was kept goes with the refusal', () => {
    seen(BERLIN, NOON);
    expect(place(NOON)).not.toBeNaN();
    expect(shard.consent('ann', { location: { granted: false } }, NOON + 1)).toBeNull();
    expect(place(NOON + 1)).toBeNaN();
    seen(SYDNEY, NOON + HOUR);
    seen(BERLIN, NOON + 2 * HOUR);
    expect(place(NOON + 2 * HOUR)).toBeNaN();
    expect(isSuspected(NOON + 2 * HOUR)).toBe(false);
  });

  it('who restricted their data is not followed', () => {
    seen(BERLIN, NOON);
    expect(shard.consent('ann', { processing: { granted: false } }, NOON + 1)).toBeNull();
    seen(SYDNEY, NOON + HOUR);
    expect(shard.consent('ann', { processing: { granted: true } }, NOON + HOUR + 1)).toBeNull();
    expect(isSuspected(NOON + HOUR + 2)).toBe(false);
  });
});
