/** The body of a push to a context feed: what is taken, and how every kind of bad input is named. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FeedTable } from '../../decision/feed-table.ts';
import {
  FEED_KEY_LENGTH_MAX,
  FEED_TEXT_LENGTH_MAX,
  isValueOf,
  PUSH_ROWS_MAX,
  readFeedPush,
} from '../../workers/feed-push.ts';

const NOW = 1_000_000;

function weather(): Map<string, FeedTable> {
  const table = new FeedTable({
    name: 'weather',
    fields: [
      { name: 'celsius', type: 'number', min: -60, max: 60, values: [] },
      { name: 'sky', type: 'text', min: null, max: null, values: [] },
      { name: 'kind', type: 'text', min: null, max: null, values: ['dawn', 'dusk'] },
      { name: 'storm', type: 'boolean', min: null, max: null, values: [] },
    ],
    timeToLiveMillis: 5000,
    rowsMax: 10,
  });
  table.apply({ feed: 'weather', version: 3, atEpochMillis: NOW, replace: false, rows: [] });
  return new Map([['weather', table]]);
}

function problemOf(row: unknown): string | undefined {
  const read = readFeedPush({ feed: 'weather', rows: [row] }, weather(), NOW);
  return read.ok ? read.problems[0]?.problem : `refused whole: ${read.problem}`;
}

describe('feed push', () => {
  it('feed push: takes the good rows, leaves out what is not told and names the bad by their place', () => {
    const rows = [
      { key: 'Oslo', fields: { celsius: -60 } },
      { key: 'Rome', fields: { celsius: 61 } },
      { key: 'Bern', fields: { sky: 'fog', storm: true }, timeToLiveMillis: 1 },
      { key: 'Nice', fields: {}, expiresAtEpochMillis: NOW + 7 },
    ];
    const read = readFeedPush({ feed: 'weather', rows }, weather(), NOW);
    expect(read).toMatchObject({
      ok: true,
      push: {
        version: 4,
        replace: false,
        rows: [
          { key: 'Oslo', values: [-60, null, null, null], expiresAtEpochMillis: NOW + 5000 },
          { key: 'Bern', values: [null, 'fog', null, true], expiresAtEpochMillis: NOW + 1 },
          { key: 'Nice', values: [null, null, null, null], expiresAtEpochMillis: NOW + 7 },
        ],
      },
      problems: [{ index: 1, problem: '`celsius` must be a finite number from -60 up to 60, or null' }],
    });
  });

  it.each([
    ['null', null, /object/],
    ['an array', [], /object/],
    ['an unknown feed', { feed: 'tides', rows: [] }, /catalog declares: weather/],
    ['no rows', { feed: 'weather' }, /array/],
    ['an unknown name', { feed: 'weather', entries: [] }, /"entries" is not known here/],
    ['the version held', { feed: 'weather', version: 3, rows: [] }, /stale: version 3 is not above 3/],
    ['version 0', { feed: 'weather', version: 0, rows: [] }, /whole number/],
    ['version NaN', { feed: 'weather', version: Number.NaN, rows: [] }, /whole number/],
    ['a version past 2^53', { feed: 'weather', version: 2 ** 53, rows: [] }, /whole number/],
    ['replace as text', { feed: 'weather', replace: 'yes', rows: [] }, /replace/],
    ['one row too many', { feed: 'weather', rows: Array(PUSH_ROWS_MAX + 1).fill({}) }, /push them in parts/],
  ])('feed push: is refused whole when it is or has %s', (_, body, problem) => {
    const read = readFeedPush(body, weather(), NOW);
    expect(read.ok ? '' : read.problem).toMatch(problem);
  });

  it.each([
    ['no object', 7, /object/],
    ['an empty key', { key: '', fields: {} }, /key/],
    ['a key too long', { key: 'k'.repeat(FEED_KEY_LENGTH_MAX + 1), fields: {} }, /key/],
    ['an unknown field', { key: 'k', fields: { wind: 1 } }, /no field "wind"/],
    ['a field named like a method', { key: 'k', fields: { toString: 1 } }, /no field "toString"/],
    ['a wrong type', { key: 'k', fields: { celsius: '7' } }, /finite number/],
    ['NaN', { key: 'k', fields: { celsius: Number.NaN } }, /finite number/],
    ['a number past the largest', { key: 'k', fields: JSON.parse('{"celsius":1e999}') }, /finite number/],
    ['a number for a boolean', { key: 'k', fields: { storm: 1 } }, /true or false/],
    ['an unknown name', { key: 'k', fields: {}, ttl: 5 }, /"ttl" is not known here/],
    ['a text that is none of the values', { key: 'k', fields: { kind: 'noon' } }, /one of dawn, dusk/],
    ['a text too long', { key: 'k', fields: { sky: 's'.repeat(FEED_TEXT_LENGTH_MAX + 1) } }, /at most/],
    ['an expiry now', { key: 'k', fields: {}, expiresAtEpochMillis: NOW }, /expired/],
    ['no time to live', { key: 'k', fields: {}, timeToLiveMillis: 0 }, /expired/],
    ['a time to live of two years', { key: 'k', fields: {}, timeToLiveMillis: 2 * 366 * 86_400_000 }, /366 days/],
    ['an expiry as text', { key: 'k', fields: {}, expiresAtEpochMillis: 'soon' }, /whole milliseconds/],
    ['two expiries', { key: 'k', fields: {}, expiresAtEpochMillis: NOW + 1, timeToLiveMillis: 1 }, /not both/],
  ])('feed push: an row is named when it is or has %s', (_, row, problem) => {
    expect(problemOf(row)).toMatch(problem);
  });

  it('feed push: says of what is stale that it is, and takes minus zero as zero', () => {
    expect(readFeedPush({ feed: 'weather', version: 2, rows: [] }, weather(), NOW)).toMatchObject({ isStale: true });
    expect(readFeedPush({ feed: 'weather', rows: 7 }, weather(), NOW)).toMatchObject({ isStale: false });
    const read = readFeedPush({ feed: 'weather', rows: [{ key: 'k', fields: { celsius: -0 } }] }, weather(), NOW);
    expect(read.ok ? read.push.rows[0]?.values[0] : NaN).toBe(0);
  });

  it('feed push: whatever JSON it is given it answers, and what it takes is as the feed declares', () => {
    const row = fc.record(
      {
        key: fc.anything(),
        fields: fc.oneof(fc.anything(), fc.dictionary(fc.constantFrom('celsius', 'sky', 'x'), fc.anything())),
        timeToLiveMillis: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const body = fc.oneof(
      fc.anything(),
      fc.record(
        { feed: fc.constant('weather'), version: fc.anything(), rows: fc.oneof(fc.anything(), fc.array(row)) },
        { requiredKeys: ['feed'] },
      ),
    );
    fc.assert(
      fc.property(body, (value) => {
        const read = readFeedPush(value, weather(), NOW);
        if (!read.ok) return;
        for (const { key, values, expiresAtEpochMillis } of read.push.rows) {
          expect(typeof key === 'string' && key.length > 0 && expiresAtEpochMillis > NOW).toBe(true);
          for (const [i, each] of values.entries()) {
            const field = read.table.spec.fields[i];
            expect(each === null || (field !== undefined && isValueOf(field, each))).toBe(true);
          }
        }
      }),
    );
  });

  it('feed push: keys and texts of just the allowed length are taken', () => {
    const fields = { kind: 'dusk', sky: 's'.repeat(FEED_TEXT_LENGTH_MAX), celsius: 60 };
    expect(problemOf({ key: 'k'.repeat(FEED_KEY_LENGTH_MAX), fields })).toBeUndefined();
  });
});
