/** Impossible trips: told as an event that suspicions count, kept coarsely, and only of who allows location. */
import { beforeEach, describe, expect, it } from 'vitest';
import { IdentityTurn } from '../../actors/identity-turn.ts';
import { STANDING } from '../../actors/record-layout.ts';
import { findStanding } from '../../actors/standing.ts';
import { packPlace } from '../../decision/travel.ts';
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
function join(from: string, to: string, now: number): void {
  const turn = new IdentityTurn(shard.runtime);
  const { runtime } = shard;
  runtime.openHashed(runtime.hashOf(from), now);
  expect(turn.depart(runtime.hashOf(to), null, now)).toBeNull();
  const profile = turn.pack();
  runtime.openHashed(runtime.hashOf(to), now);
  expect(turn.arrive(profile, runtime.index.catalog.identity, now)).toBeNull();
  runtime.openHashed(runtime.hashOf(from), now);
  expect(turn.settle(runtime.hashOf(to), now)).toBe(true);
}
const place = (now: number): number => placeOf('ann', now);
function placeOf(profile: string, now: number): number {
  shard.runtime.open(requestOf({ profile }), now);
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

  it('of two keys joined the later place counts, whichever joins the other; the same after a restart, byte by byte', () => {
    for (const [from, to] of [
      ['ann', 'bob'],
      ['bob', 'ann'],
    ] as const) {
      shard = new OneShard({ catalog: CATALOG });
      seen(BERLIN, NOON);
      expect(
        shard.track({ profile: 'bob', event: 'view', properties: SYDNEY, atEpochMillis: NOON + HOUR }, NOON + HOUR),
      ).toBeNull();
      const sydney = packPlace(SYDNEY.lat, SYDNEY.lon);
      join(from, to, NOON + HOUR + 1);
      const near = { profile: to, event: 'view', properties: SYDNEY, atEpochMillis: NOON + 2 * HOUR };
      expect(shard.track(near, NOON + 2 * HOUR)).toBeNull();
      expect(shard.describe(to, NOON + 2 * HOUR).tags).not.toHaveProperty('traveller');
      expect(placeOf(to, NOON + 2 * HOUR)).toBe(sydney);
      const far = { profile: to, event: 'view', properties: BERLIN, atEpochMillis: NOON + 3 * HOUR };
      expect(shard.track(far, NOON + 3 * HOUR)).toBeNull();
      expect(shard.describe(to, NOON + 3 * HOUR).tags).toHaveProperty('traveller');
      const bytes = shard.recordBytes(to);
      shard.store.commitNow();
      shard = shard.recovered();
      expect(shard.recordBytes(to)).toEqual(bytes);
    }
  });

  it('who is erased leaves no place', () => {
    seen(BERLIN, NOON);
    shard.runtime.open(requestOf({ profile: 'ann' }), NOON);
    expect(shard.runtime.eraseBound(NOON + 1)).not.toBeNull();
    shard.store.commitNow();
    shard = shard.recovered();
    expect(place(NOON + 2)).toBeNaN();
    seen(SYDNEY, NOON + HOUR);
    expect(isSuspected(NOON + HOUR)).toBe(false);
  });

  it('who restricted their data is not followed', () => {
    seen(BERLIN, NOON);
    expect(shard.consent('ann', { processing: { granted: false } }, NOON + 1)).toBeNull();
    seen(SYDNEY, NOON + HOUR);
    expect(shard.consent('ann', { processing: { granted: true } }, NOON + HOUR + 1)).toBeNull();
    expect(isSuspected(NOON + HOUR + 2)).toBe(false);
  });
});
