/** The catalog of docs/ABUSE.md, as it stands there: each of its suspicions begins with what it names, and one device is let be. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { USUAL_FEED } from '../../decision/usual-feed.ts';
import type { DeviceMessage } from '../../workers/abuse/devices.ts';
import { Devices } from '../../workers/abuse/devices.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const [, example = ''] = /```yaml\n([^`]*)```/.exec(readFileSync('docs/ABUSE.md', 'utf8')) ?? [];
const CATALOG = `version: 1
name: shop
currency: EUR
timeZone: UTC
${example}channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`;
const HOUR = 3_600_000;

describe('docs/ABUSE.md', () => {
  it('its catalog suspects a flood, a farmer, a traveller, a ring and an outlier, and nobody who does half of that', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const sent: DeviceMessage[] = [];
    const { runtime, eventTurn } = shard;
    const writer = { isReadOnly: false, limitBatch: (): void => {} };
    const devices = new Devices({ runtime, eventTurn, writer, send: (_, message) => sent.push(message) });
    const tell = (profile: string, event: string, properties: object, now: number): void => {
      const request = { profile, event, properties: { ...properties } as never, atEpochMillis: now };
      expect(shard.track(request, now)).toBeNull();
      devices.used(request, now, now);
      while (sent.length > 0) for (const message of sent.splice(0)) devices.take(message, now);
    };
    for (let n = 0; n < 61; n++) tell('robot', 'click', {}, NOON + n);
    for (let n = 0; n < 30; n++) tell('reader', 'click', {}, NOON + n);
    for (let n = 0; n < 6; n++) tell('farmer', 'purchase', { coupon: `c${n}` }, NOON + n);
    for (let n = 0; n < 6; n++) tell('loyal', 'purchase', { coupon: 'c1' }, NOON + n);
    const places = [
      { lat: 52.52, lon: 13.4 },
      { lat: -33.87, lon: 151.2 },
    ];
    for (let n = 0; n < 3; n++) tell('twin', 'view', places[n % 2] as object, NOON + n * HOUR);
    for (let n = 0; n < 3; n++) tell('pilot', 'view', places[n % 2] as object, NOON - (60 - n * 30) * HOUR);
    for (let n = 0; n < 6; n++) tell(`ring-${n}`, 'view', { deviceId: 'phone' }, NOON + n);
    for (let n = 0; n < 6; n++) tell(`buyer-${n}`, 'view', { deviceId: 'store-kiosk' }, NOON + n);
    // Of those who look at something, the middle one does so 40 times an hour.
    const views = [Math.log(41), 0.35, 40, 1000];
    const row = { key: 'view 3600 s', values: views, expiresAtEpochMillis: NOON + 9 * HOUR };
    runtime.feeds.apply({ feed: USUAL_FEED, version: 1, atEpochMillis: NOON, replace: true, rows: [row] });
    for (let n = 0; n < 400; n++) tell('scraper', 'view', {}, NOON + HOUR + 1 + n);
    for (let n = 0; n < 200; n++) tell('shopper', 'view', {}, NOON + HOUR + 1 + n);
    const suspicionsOf = (profile: string): string[] =>
      Object.keys((shard.describe(profile, NOON + 2 * HOUR).tags ?? {}) as object);
    const rings = ['ring-4', 'ring-5', 'buyer-5'];
    const people = ['robot', 'reader', 'farmer', 'loyal', 'twin', 'pilot', ...rings, 'scraper', 'shopper'];
    expect(Object.fromEntries(people.map((profile) => [profile, suspicionsOf(profile)]))).toEqual({
      robot: ['clickFlood'],
      reader: [],
      farmer: ['couponFarm'],
      loyal: [],
      twin: ['traveller'],
      pilot: [],
      'ring-4': [],
      'ring-5': ['ring'],
      'buyer-5': [],
      scraper: ['outlier'],
      shopper: [],
    });
  });
});
