/** Segment's calls, CloudEvents and amounts, as events of ours: each field's meaning, and each way to be wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Properties } from '../../../proto/messages.ts';
import { readBinaryCloudEvent, readCloudEvent } from '../../../server/http/cloud-events.ts';
import { minorDigits, toMinor } from '../../../server/http/minor-units.ts';
import { readSegmentCall, type SegmentType } from '../../../server/http/segment-calls.ts';

const NOW = Date.UTC(2026, 10, 26, 12);
const iso = (at: number): string => new Date(at).toISOString();

function read(type: SegmentType, call: Properties, sentAt = Number.NaN): unknown[] | string {
  const result = readSegmentCall(type, call, { sentAt, receivedAt: NOW });
  return 'problem' in result ? result.problem : [...result.parts];
}
const first = (type: SegmentType, call: Properties, sentAt?: number): Properties =>
  read(type, call, sentAt)[0] as Properties; // tests of what is read

describe('Segment', () => {
  it('an order: money in minor units of its currency, items by sku, the rest as it came', () => {
    const properties = {
      order_id: '50314b8e',
      revenue: 25.005,
      total: 30,
      currency: 'eur',
      coupon: 'hasbros',
      products: [
        { product_id: '507f1', sku: '45790-32', price: 19, quantity: 1 },
        { product_id: '505bd', price: '3.00', quantity: 2 },
        { name: 'no id at all' },
      ],
    };
    expect(first('track', { userId: 'ann', event: 'Order Completed', messageId: 'm1', properties })).toEqual({
      op: 'track',
      profile: 'ann',
      event: 'purchase',
      messageId: 'm1',
      atEpochMillis: NOW,
      properties: {
        order_id: '50314b8e',
        coupon: 'hasbros',
        currency: 'EUR',
        revenueMinor: 2501,
        items: [
          { sku: '45790-32', quantity: 1, priceMinor: 1900 },
          { sku: '505bd', quantity: 2, priceMinor: 300 },
        ],
      },
    });
  });

  it.each<[SegmentType, Properties, Properties]>([
    [
      'track',
      { event: 'Product Viewed', properties: { product_id: 'x1' } },
      { event: 'view', properties: { product_id: 'x1', sku: 'x1' } },
    ],
    [
      'track',
      { event: 'Products Searched', properties: { query: 'shoes' } },
      { event: 'search', properties: { query: 'shoes' } },
    ],
    ['track', { event: 'Own Event' }, { event: 'Own Event' }],
    [
      'track',
      { event: 'click', properties: { decisionId: 'd', a: 1 } },
      { event: 'click', decisionId: 'd', properties: { a: 1 } },
    ],
    ['page', { name: 'Home', category: 'shop' }, { event: 'view', properties: { page: 'Home', category: 'shop' } }],
    ['screen', { properties: { name: 'Cart' } }, { event: 'view', properties: { name: 'Cart', screen: 'Cart' } }],
  ])('%s %o', (type, call, expected) => {
    expect(first(type, { anonymousId: 'anon', ...call })).toMatchObject({ op: 'track', profile: 'anon', ...expected });
  });

  it('who logs in is joined first and then described; a group has trait names of its own; ids may be numbers', () => {
    expect(read('identify', { userId: 7, anonymousId: 'a', traits: { age: 30 } })).toEqual([
      { op: 'alias', from: 'a', to: '7' },
      { op: 'identify', profile: '7', traits: { age: 30 } },
    ]);
    expect(read('identify', { userId: 'u', anonymousId: 'u', traits: { age: 30 } })).toHaveLength(1);
    const externalIds = [
      { type: 'email', id: 'a@b.com', collection: 'users', encoding: 'none' },
      { type: 'card', id: 7 },
      { type: 'crowd', id: 'g', collection: 'accounts' },
      { type: 'email', id: 'YQ==', encoding: 'base64' },
    ];
    expect(read('identify', { anonymousId: 'a', context: { externalIds } })).toEqual([
      { op: 'alias', from: 'email:a@b.com', to: 'a' },
      { op: 'alias', from: 'card:7', to: 'a' },
    ]);
    expect(read('group', { userId: 'u', groupId: 'g', traits: { name: 'Initech' } })).toEqual([
      { op: 'identify', profile: 'u', traits: { groupId: 'g', groupName: 'Initech' } },
    ]);
    expect(read('alias', { userId: 'u', previousId: 'a' })).toEqual([{ op: 'alias', from: 'a', to: 'u' }]);
  });

  it.each<[string, Properties, number, number]>([
    ['no timestamp: when it came', {}, Number.NaN, NOW],
    ['no sentAt: as it says', { timestamp: iso(NOW - 5000) }, Number.NaN, NOW - 5000],
    ['a clock an hour behind is moved', { timestamp: iso(NOW - 3_605_000) }, NOW - 3_600_000, NOW - 5000],
    ['a clock years ahead too', { timestamp: iso(NOW + 1e11 - 5000) }, NOW + 1e11, NOW - 5000],
    ['of tomorrow: when it came', { timestamp: iso(NOW + 86_400_000) }, Number.NaN, NOW],
    ['before 1970: when it came', { timestamp: '1804-01-01T00:00:00Z' }, Number.NaN, NOW],
  ])('instant: %s', (_, call, sentAt, expected) => {
    expect(first('track', { userId: 'u', event: 'e', ...call }, sentAt).atEpochMillis).toBe(expected);
  });

  it('without an id the same call has the same one, and another call another', () => {
    const id = (call: Properties): unknown => first('track', { userId: 'u', event: 'e', ...call }).messageId;
    expect(id({ properties: { a: 1 } })).toBe(id({ properties: { a: 1 } }));
    expect(id({ properties: { a: 1 } })).not.toBe(id({ properties: { a: 2 } }));
  });

  it.each<[SegmentType, Properties, RegExp]>([
    ['track', { event: 'e' }, /expected userId or anonymousId/],
    ['track', { userId: '', event: 'e' }, /expected userId or anonymousId/],
    ['track', { userId: 'ü'.repeat(129), event: 'e' }, /expected userId or anonymousId/],
    ['track', { userId: 'u' }, /track\.event/],
    ['track', { userId: 'u', event: 'e', properties: [] }, /track\.properties: expected a map/],
    ['track', { userId: 'u', event: 'e', messageId: 5 }, /messageId/],
    ['track', { userId: 'u', event: 'e', timestamp: 'yesterday' }, /timestamp: expected an ISO/],
    ['track', { userId: 'u', event: 'Order Completed', properties: { revenue: 'a lot' } }, /revenue/],
    ['track', { userId: 'u', event: 'Order Completed', properties: { revenue: 1, currency: 'XQX' } }, /currency/],
    [
      'track',
      { userId: 'u', event: 'Order Completed', properties: { products: [{ sku: 's', quantity: -1 }] } },
      /products\[0\]\.quantity/,
    ],
    [
      'track',
      { userId: 'u', event: 'Order Completed', properties: { products: [3] } },
      /products\[0\]: expected a map/,
    ],
    ['identify', { userId: 'u', traits: 'x' }, /identify\.traits/],
    ['identify', { userId: 'u', context: { externalIds: 'x' } }, /externalIds: expected at most 16/],
    ['identify', { userId: 'u', context: { externalIds: [{ type: 'email' }] } }, /externalIds/],
    ['identify', { userId: 'u', context: { externalIds: new Array(17).fill({ type: 'a', id: 'b' }) } }, /externalIds/],
    ['group', { userId: 'u' }, /groupId/],
    ['alias', { userId: 'u' }, /previousId/],
  ])('%s %o is refused by name', (type, call, problem) => {
    expect(read(type, call)).toMatch(problem);
  });

  it('whatever comes: events or a problem, never an error', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<SegmentType>('track', 'identify', 'page', 'group', 'alias'),
        fc.jsonValue(),
        (type, value) => {
          const call = {
            userId: 'u',
            event: 'Order Completed',
            traits: value,
            properties: value,
            groupId: value,
            previousId: value,
          };
          const result = read(type, call as Properties); // JSON
          expect(typeof result === 'string' || result.length > 0).toBe(true);
        },
      ),
    );
  });
});

describe('amounts', () => {
  it.each([
    [19.99, 2, 1999],
    [1.005, 2, 101],
    ['0.1', 2, 10],
    ['-3.5', 2, -350],
    [-0.004, 2, 0],
    [1000, 0, 1000],
    [1.0005, 3, 1001],
    [0.1 + 0.2, 2, 30],
    [1e-9, 2, 0],
    [2 ** 53 + 2, 2, null],
    [1e21, 2, null],
    [Number.NaN, 2, null],
    ['1,5', 2, null],
    ['', 2, null],
    [null, 2, null],
  ])('%s with %i digits is %s', (amount, digits, minor) => {
    expect(toMinor(amount, digits)).toBe(minor);
  });

  it('cents come back as they went, for every whole number of them', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 1e12 }), (cents) => {
        expect(toMinor((cents / 100).toFixed(2), 2)).toBe(cents);
      }),
    );
  });

  it('digits of a currency, and none of what is none', () => {
    expect([
      minorDigits('EUR'),
      minorDigits('JPY'),
      minorDigits('KWD'),
      minorDigits('QQQ'),
      minorDigits('eur'),
    ]).toEqual([2, 0, 3, null, null]);
  });
});

describe('CloudEvents', () => {
  const event = {
    specversion: '1.0',
    id: '1',
    source: '/shop',
    type: 'view',
    subject: 'ann',
    time: iso(NOW - 9),
    data: { sku: 's', decisionId: 'd' },
  };

  it('structured and binary say the same', () => {
    const expected = {
      messageId: '1',
      parts: [
        {
          op: 'track',
          profile: 'ann',
          event: 'view',
          messageId: '/shop 1',
          atEpochMillis: NOW - 9,
          decisionId: 'd',
          properties: { sku: 's' },
        },
      ],
    };
    expect(readCloudEvent(event, NOW)).toEqual(expected);
    const { data, ...attributes } = event;
    const headers = Object.fromEntries(
      Object.entries(attributes).map(([name, value]) => [`ce-${name}`, encodeURIComponent(value)]),
    );
    expect(readBinaryCloudEvent(headers, data, NOW)).toEqual(expected);
  });

  it('an id of a long source is still its own', () => {
    const [one, other] = ['1', '2'].map((id) => readCloudEvent({ ...event, source: 's'.repeat(300), id }, NOW));
    expect(one).not.toEqual(other);
    expect((one as unknown as { parts: { messageId: string }[] }).parts[0]?.messageId.length).toBeLessThanOrEqual(256);
  });

  it.each([
    [{ specversion: '0.3' }, /specversion/],
    [{ id: '' }, /id: expected/],
    [{ source: undefined }, /source/],
    [{ subject: undefined }, /subject: expected the key/],
    [{ time: 'noon' }, /time/],
    [{ time: '2026-02-30T12:00:00Z' }, /time/],
    [{ data: [1] }, /data: expected a map/],
    [{ data_base64: 'AA==' }, /data_base64/],
  ])('%o is refused by name', (part, problem) => {
    expect((readCloudEvent({ ...event, ...part }, NOW) as { problem: string }).problem).toMatch(problem);
    expect(readCloudEvent([event], NOW)).toEqual({ problem: 'event: expected a map' });
    expect(readBinaryCloudEvent({ 'ce-specversion': '%zz' }, {}, NOW)).toEqual({
      problem: 'ce-specversion: expected percent-encoded UTF-8',
    });
  });
});
