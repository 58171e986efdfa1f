/** People of a device: counted once each, within the window, in the device's record; who is one too many is told. */
import { beforeEach, describe, expect, it } from 'vitest';
import { STANDING } from '../../../actors/record-layout.ts';
import { isDevice } from '../../../actors/standing.ts';
import { type DeviceMessage, Devices } from '../../../workers/abuse/devices.ts';
import { OneShard, requestOf } from '../../actors/one-shard.ts';
import { catalogText, NOON } from '../../actors/test-catalog.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const CATALOG = catalogText({
  actions: '{ key: a, channels: [app], valueMinor: 9 }',
  tags: `ring: { family: social, when: 'count("shared_device", "2h") > 0', suspicion: true }`,
  more: 'abuse: { device: { property: deviceId, personsMax: 2, per: 8h, except: [kiosk] } }',
});

let shard: OneShard;
let devices: Devices;
let sent: DeviceMessage[];
let isReadOnly: boolean;
beforeEach(() => begin(new OneShard({ catalog: CATALOG })));

function begin(next: OneShard): void {
  shard = next;
  sent = [];
  isReadOnly = false;
  const writer = {
    get isReadOnly(): boolean {
      return isReadOnly;
    },
    limitBatch: (): void => {},
  };
  const { runtime, eventTurn } = shard;
  devices = new Devices({ runtime, eventTurn, writer, send: (_, message) => sent.push(message) });
}
function deliver(now: number): void {
  while (sent.length > 0) for (const message of sent.splice(0)) devices.take(message, now);
}
/** As the runner does. */
function use(profile: string, deviceId: unknown, now: number, at = now): void {
  const request = { profile, event: 'view', properties: { deviceId } as never, atEpochMillis: at };
  expect(shard.track(request, now)).toBeNull();
  devices.used(request, at, now);
}
function useAndTell(profile: string, now: number, deviceId: unknown = 'd1'): void {
  use(profile, deviceId, now);
  deliver(now);
}
const isSuspected = (profile: string, now: number): boolean =>
  'ring' in ((shard.describe(profile, now).tags ?? {}) as object);
/** Bound; how many people its record keeps. */
function peopleKept(now: number): number {
  shard.runtime.open(requestOf({ profile: 'abuse.device:d1' }), now);
  const { record } = shard.runtime;
  let count = 0;
  for (let i = 0; i < record.momentCount; i++) if (record.momentKind(i) === STANDING.deviceUser) count++;
  return count;
}

describe('a device', () => {
  it('that three use where two may: the third is suspected at once, the others with their next event, for as long as the rule says', () => {
    useAndTell('ann', NOON);
    useAndTell('bob', NOON + 1);
    useAndTell('bob', NOON + 2 * MINUTE);
    expect([isSuspected('ann', NOON + 2 * MINUTE), isSuspected('bob', NOON + 2 * MINUTE)]).toEqual([false, false]);
    useAndTell('cid', NOON + 3 * MINUTE);
    const now = NOON + 3 * MINUTE;
    expect([isSuspected('ann', now), isSuspected('bob', now), isSuspected('cid', now)]).toEqual([false, false, true]);
    expect(shard.decide({ profile: 'cid', slot: 'home', isDryRun: true }, now).actions).toEqual([]);
    useAndTell('ann', now + 1);
    expect(isSuspected('ann', now + 1)).toBe(true);
    const timeline = shard.describe('ann', now + 1).timeline as { event?: string; properties?: object }[];
    expect(timeline.find(({ event }) => event === 'shared_device')?.properties).toEqual({
      persons: 3,
      device: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    // Told once, not with each event; again after an eighth of the window.
    useAndTell('ann', now + 10 * MINUTE);
    const told = (at: number): number =>
      (shard.describe('ann', at).timeline as { event?: string }[]).filter(({ event }) => event === 'shared_device')
        .length;
    expect(told(now + 10 * MINUTE)).toBe(1);
    useAndTell('ann', now + 61 * MINUTE);
    expect(told(now + 61 * MINUTE)).toBe(2);
    expect(isSuspected('cid', now + 3 * HOUR)).toBe(false);
  });

  it('forgets who was not seen within the window, and never keeps more people than it tells apart', () => {
    useAndTell('ann', NOON);
    useAndTell('bob', NOON + HOUR);
    useAndTell('cid', NOON + 8 * HOUR);
    expect(isSuspected('cid', NOON + 8 * HOUR)).toBe(false);
    expect(peopleKept(NOON + 8 * HOUR)).toBe(2);
    for (let n = 0; n < 200; n++) useAndTell(`p${n}`, NOON + 9 * HOUR + n);
    expect(peopleKept(NOON + 10 * HOUR)).toBeLessThanOrEqual(64);
    useAndTell('last', NOON + 10 * HOUR);
    const timeline = shard.describe('last', NOON + 10 * HOUR).timeline as { event?: string; properties?: object }[];
    expect(timeline.find(({ event }) => event === 'shared_device')?.properties).toMatchObject({ persons: 64 });
    useAndTell('later', NOON + 30 * HOUR);
    useAndTell('later', NOON + 33 * HOUR);
    expect(peopleKept(NOON + 33 * HOUR)).toBeLessThanOrEqual(1);
  });

  it('counts the same after a restart, byte by byte', () => {
    useAndTell('ann', NOON);
    useAndTell('bob', NOON + 1);
    useAndTell('cid', NOON + 2);
    const bytes = shard.recordBytes('abuse.device:d1');
    shard.store.commitNow();
    begin(shard.recovered());
    expect(shard.recordBytes('abuse.device:d1')).toEqual(bytes);
    expect(isSuspected('cid', NOON + 3)).toBe(true);
    useAndTell('dan', NOON + 4);
    expect(isSuspected('dan', NOON + 4)).toBe(true);
  });

  it('is asked once a minute a person, whatever the flood; a lost message is sent again', () => {
    for (let n = 0; n < 100; n++) use('ann', 'd1', NOON + n);
    expect(sent.splice(0)).toHaveLength(1);
    use('ann', 'd1', NOON + MINUTE);
    expect(sent).toHaveLength(1);
    deliver(NOON + MINUTE);
    isReadOnly = true;
    useAndTell('bob', NOON + MINUTE);
    isReadOnly = false;
    expect(peopleKept(NOON + MINUTE)).toBe(1);
    useAndTell('bob', NOON + 2 * MINUTE);
    expect(peopleKept(NOON + 2 * MINUTE)).toBe(2);
  });

  it('that is excepted, no name, told of late, or of who restricted their data, is not counted', () => {
    use('ann', 'kiosk', NOON);
    use('ann', '', NOON);
    use('ann', null, NOON);
    use('ann', 'd1', NOON, NOON - 8 * HOUR);
    expect(shard.consent('bob', { processing: { granted: false } }, NOON)).toBeNull();
    use('bob', 'd1', NOON);
    expect(sent).toEqual([]);
    // Restricted, or erased, while the messages were on their way.
    useAndTell('cid', NOON);
    useAndTell('dan', NOON);
    use('eve', 'd1', NOON);
    devices.take(sent.shift() as DeviceMessage, NOON); // its use
    expect(sent.map(({ kind }) => kind)).toEqual(['deviceShared']);
    expect(shard.consent('eve', { processing: { granted: false } }, NOON)).toBeNull();
    deliver(NOON);
    const timeline = shard.describe('eve', NOON).timeline as { event?: string }[];
    expect(timeline.some(({ event }) => event === 'shared_device')).toBe(false);
    use('fay', 'd1', NOON);
    devices.take(sent.shift() as DeviceMessage, NOON); // its use
    shard.runtime.open(requestOf({ profile: 'fay' }), NOON);
    shard.runtime.eraseBound(NOON);
    deliver(NOON);
    const fay = shard.runtime.hashOf('fay');
    expect(shard.runtime.openKnown(fay.partition, fay.hashLow, fay.hashHigh)).toBe(false);
  });

  it('is nobody until it is told of by its own key, and then begins as anybody', () => {
    useAndTell('ann', NOON);
    peopleKept(NOON);
    expect(isDevice(shard.runtime.record)).toBe(true);
    expect(shard.track({ profile: 'abuse.device:d1', event: 'view' }, NOON + HOUR)).toBeNull();
    peopleKept(NOON + HOUR);
    expect(isDevice(shard.runtime.record)).toBe(false);
    expect(shard.describe('abuse.device:d1', NOON + HOUR).createdAtEpochMillis).toBe(NOON + HOUR);
    useAndTell('bob', NOON + HOUR);
    useAndTell('cid', NOON + HOUR);
    expect(isSuspected('cid', NOON + HOUR)).toBe(true);
  });

  it('a catalog without the rule counts nothing, nor what was on its way', () => {
    use('ann', 'd1', NOON);
    shard.reload(catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }' }));
    deliver(NOON);
    use('bob', 'd1', NOON);
    expect(sent).toEqual([]);
    expect(peopleKept(NOON)).toBe(0);
  });
});
