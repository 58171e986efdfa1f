/**
 * The table of a context feed: what is read before, at and after expiry, what a push replaces, that what is left out is
 * not known, and that a table read back from its snapshot answers alike.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FeedPush, FeedSet, type FeedSpec, FeedTable } from '../../decision/feed-table.ts';

const SPEC: FeedSpec = {
  name: 'weather',
  fields: [
    { name: 'celsius', type: 'number', min: -60, max: 60, values: [] },
    { name: 'rain', type: 'boolean', min: null, max: null, values: [] },
    { name: 'sky', type: 'text', min: null, max: null, values: [] },
  ],
  timeToLiveMillis: 1000,
  rowsMax: 2,
};

const row = (key: string, celsius: number | null, expiresAtEpochMillis = 100) => ({
  key,
  values: [celsius, true, 'fog'],
  expiresAtEpochMillis,
});
const push = (version: number, rows: FeedPush['rows'], more: Partial<FeedPush> = {}): FeedPush => ({
  ...{ feed: 'weather', version, atEpochMillis: 0, replace: false, rows },
  ...more,
});

describe('feed table', () => {
  it('feed table: knows nothing of an unknown key and from the instant of expiry on', () => {
    const table = new FeedTable(SPEC);
    expect([table.number('Oslo', 0, 0), table.text('Oslo', 2, 0)]).toEqual([NaN, undefined]);
    table.apply(push(1, [row('Oslo', 0)]));
    expect([0, 99, 100, 101].map((now) => table.number('Oslo', 0, now))).toEqual([0, 0, NaN, NaN]);
    expect([99, 100].map((now) => table.number('Oslo', 1, now))).toEqual([1, NaN]);
    expect([99, 100].map((now) => table.text('Oslo', 2, now))).toEqual(['fog', undefined]);
    expect([99, 100].map((now) => table.countHeld(now))).toEqual([1, 0]);
    expect(table.lastExpiryEpochMillis()).toBe(100);
  });

  it('feed table: a field that is left out, of another type, or not there is not known', () => {
    const table = new FeedTable(SPEC);
    table.apply(push(1, [{ key: 'Oslo', values: [null, false, null], expiresAtEpochMillis: 9 }]));
    expect([0, 1, 2, 3].map((field) => table.number('Oslo', field, 0))).toEqual([NaN, 0, NaN, NaN]);
    expect([0, 1, 2, 3].map((field) => table.text('Oslo', field, 0))).toEqual(Array(4).fill(undefined));
    expect(table.snapshot(0).rows[0]?.values).toEqual([null, false, null]);
  });

  it('feed table: a push adds to what holds, replaces the row of a key, and with replace takes the place of all', () => {
    const table = new FeedTable(SPEC);
    table.apply(push(1, [row('Oslo', 1)]));
    table.apply(push(2, [row('Rome', 2), row('Oslo', null)]));
    expect([table.number('Oslo', 0, 0), table.number('Rome', 0, 0), table.version]).toEqual([NaN, 2, 2]);
    table.apply(push(3, [row('Rome', 3)], { replace: true, atEpochMillis: 7 }));
    expect([table.number('Oslo', 0, 0), table.number('Rome', 0, 0)]).toEqual([NaN, 3]);
    expect([table.version, table.pushedAtEpochMillis]).toEqual([3, 7]);
  });

  it('feed table: counts what would hold, and rows that have expired make room', () => {
    const table = new FeedTable(SPEC);
    table.apply(push(1, [row('a', 1), row('b', 2, 500)]));
    expect(table.countAfter(push(2, [row('c', 3), row('c', 4), row('b', 5)]))).toBe(3);
    const late = push(2, [row('c', 3, 500)], { atEpochMillis: 100 });
    expect([table.countAfter(late), table.countAfter({ ...late, replace: true })]).toEqual([2, 1]);
    table.apply(late);
    expect(['a', 'b', 'c'].map((key) => table.number(key, 0, 100))).toEqual([NaN, 2, 3]);
  });

  it('feed table: as a plain map answers, whatever is pushed; and so does one made of its snapshot', () => {
    const keys = fc.constantFrom('a', 'b', 'c', 'd', '__proto__');
    const rows = fc.array(
      fc.record({
        key: keys,
        values: fc.tuple(
          fc.constantFrom(null, -1.5, 0, 7),
          fc.constantFrom(null, true, false),
          fc.constantFrom(null, ''),
        ),
        expiresAtEpochMillis: fc.integer({ min: 1, max: 30 }),
      }),
      { maxLength: 4 },
    );
    const pushes = fc.array(fc.record({ rows, replace: fc.boolean(), after: fc.integer({ min: 0, max: 5 }) }));
    fc.assert(
      fc.property(pushes, (list) => {
        const table = new FeedTable({ ...SPEC, rowsMax: 5 });
        const plain = new Map<string, FeedPush['rows'][number]>();
        let now = 0;
        for (const [i, { rows: pushed, replace, after }] of list.entries()) {
          now += after;
          const held = pushed.map((one) => ({ ...one, expiresAtEpochMillis: now + one.expiresAtEpochMillis }));
          table.apply(push(i + 1, held, { replace, atEpochMillis: now }));
          if (replace) plain.clear();
          for (const one of held) plain.set(one.key, one);
        }
        const copy = new FeedTable(table.spec);
        copy.apply(table.snapshot(now));
        for (const key of ['a', 'b', 'c', 'd', '__proto__']) {
          const one = plain.get(key);
          const [celsius, rain, sky] = one !== undefined && now < one.expiresAtEpochMillis ? one.values : [];
          for (const each of [table, copy]) {
            expect(each.number(key, 0, now)).toBe(typeof celsius === 'number' ? celsius : NaN);
            expect(each.number(key, 1, now)).toBe(typeof rain === 'boolean' ? Number(rain) : NaN);
            expect(each.text(key, 2, now)).toBe(sky ?? undefined);
          }
        }
      }),
    );
  });
});

describe('feed set', () => {
  it('feed set: takes newer pushes only, to feeds there are, and is empty under another declaration', () => {
    const feeds = new FeedSet();
    expect([feeds.bind([SPEC], 5), feeds.bind([SPEC], 5)]).toEqual([true, false]);
    expect(feeds.apply(push(5, [row('Oslo', 1)]))).toBe(true);
    for (const version of [4, 5]) expect(feeds.apply(push(version, [row('Oslo', 2)]))).toBe(false);
    expect(feeds.apply(push(6, [], { feed: 'tides' }))).toBe(false);
    expect([feeds.number(0, 0, 'Oslo', 0), feeds.number(0, 0, undefined, 0), feeds.number(1, 0, 'Oslo', 0)]).toEqual([
      1,
      NaN,
      NaN,
    ]);
    expect([feeds.text(0, 2, 'Oslo', 0), feeds.text(0, 2, undefined, 0)]).toEqual(['fog', undefined]);
    expect(feeds.bind([SPEC], 6)).toBe(true);
    expect(feeds.number(0, 0, 'Oslo', 0)).toBeNaN();
  });
});
