/** What the journal of a real shard says of people: purchases, refunds, late and future events, products. */
import { describe, expect, it } from 'vitest';
import { EFFECT, Effect } from '../../../actors/effect.ts';
import { LAST_AT, PURCHASES, REPEAT_SPEND } from '../../../decision/purchase-cycle.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { JournalPeople, PERSON } from '../../../workers/fits/journal-people.ts';
import { type Fields, OneShard } from '../../actors/one-shard.ts';
import { catalogText } from '../../actors/test-catalog.ts';

const NOW = Date.UTC(2026, 10, 2, 12);
const DAY = 86_400_000;
const CATALOG = catalogText({ actions: '{ key: a, channels: [app], slots: [home], valueMinor: 1 }' });

/** Tells a shard these events, days before now, and reads its journal. */
function readBack(events: readonly (Fields & { readonly days: number })[]): JournalPeople {
  const shard = new OneShard({ catalog: CATALOG });
  for (const { days, ...fields } of events)
    shard.track({ profile: 'ann', ...fields, atEpochMillis: NOW - days * DAY }, NOW);
  return peopleOf(shard);
}

function peopleOf(shard: OneShard): JournalPeople {
  const catalog = compileCatalog(CATALOG, 'test.yaml');
  const people = new JournalPeople({ nowEpochMillis: NOW, cutEpochMillis: NOW - 30 * DAY, catalogOf: () => catalog });
  shard.store.commitNow();
  const entry = new Effect();
  const mark = new Effect();
  mark.begin(EFFECT.identify, 16);
  mark.u8[4] = 16; // a start
  people.add(mark);
  shard.store.scanJournal([], ({ bytes }) => {
    for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at)) people.add(entry);
  });
  return people;
}

const bought = (days: number, revenueMinor: number, more: Record<string, unknown> = {}) => ({
  days,
  event: 'purchase',
  properties: { revenueMinor, ...more } as NonNullable<Fields['properties']>,
});

describe('journal people', () => {
  it('journal people: purchases, money and events of a person, before the cut and in all', () => {
    const people = readBack([
      { days: 50, event: 'view' },
      bought(40, 1000),
      bought(20, 3000),
      { days: 10, event: 'refund', properties: { revenueMinor: 500 } },
    ]);
    expect([people.people, people.events]).toEqual([1, 4]);
    const numbers = Object.fromEntries(Object.entries(PERSON).map(([name, slot]) => [name, people.number(0, slot)]));
    expect(numbers).toEqual({
      spendMinor: 3500,
      firstAt: NOW - 50 * DAY,
      lastAt: NOW - 10 * DAY,
      events: 4,
      lastBefore: NOW - 40 * DAY,
      eventsBefore: 2,
    });
    expect([PURCHASES, REPEAT_SPEND, LAST_AT].map((slot) => people.number(0, slot))).toEqual([2, 2500, NOW - 20 * DAY]);
  });

  it('journal people: what is told late is part of the newest purchase, and the first event may come last', () => {
    const people = readBack([bought(20, 1000), bought(40, 2000), { days: 90, event: 'view' }]);
    expect(people.number(0, PURCHASES)).toBe(1);
    expect(people.number(0, PERSON.spendMinor)).toBe(3000);
    expect(people.number(0, PERSON.firstAt)).toBe(NOW - 90 * DAY);
    expect(people.number(0, PERSON.lastBefore)).toBe(NOW - 40 * DAY);
  });

  it('journal people: what we did to a person is no behaviour of theirs, and nobody is of the future', () => {
    const people = readBack([
      { days: 3, event: 'impression' },
      { days: 2, event: 'contact' },
      { days: 1, event: 'view', profile: 'bea' },
    ]);
    expect([people.people, people.events]).toEqual([1, 1]);
    const skewed = readBack([{ days: -0.001, event: 'view' }]);
    expect(skewed.number(0, PERSON.lastAt)).toBe(NOW);
  });

  it('journal people: money of another currency is left out and counted', () => {
    const people = readBack([bought(9, 1000, { currency: 'EUR' }), bought(5, 9_999_999, { currency: 'JPY' })]);
    expect([people.foreignPurchases, people.number(0, PERSON.spendMinor)]).toEqual([1, 1000]);
    expect(people.number(0, PURCHASES)).toBe(2);
  });

  it('journal people: products by person and time; what is no product is passed over', () => {
    const people = readBack([
      bought(5, 1, { items: [{ sku: 'tripod' }, { sku: 'bag' }, { sku: 7 }, null, 'x', { sku: 'y'.repeat(65) }] }),
      { days: 6, event: 'view', properties: { sku: 'camera' } },
      { days: 4, event: 'view', properties: { sku: 'camera' }, profile: 'bea' },
      bought(3, 1, { sku: '__proto__' }),
      bought(2, 1, { items: 'none' }),
    ]);
    expect(people.skus).toEqual(['tripod', 'bag', 'camera', '__proto__']);
    const lines = [...people.lines()].map(({ person, product, atEpochMillis, isPurchase }) => [
      person,
      people.skus[product],
      (NOW - atEpochMillis) / DAY,
      isPurchase,
    ]);
    expect(lines).toEqual([
      [0, 'camera', 6, false],
      [0, 'tripod', 5, true],
      [0, 'bag', 5, true],
      [0, '__proto__', 3, true],
      [1, 'camera', 4, false],
    ]);
  });

  it('journal people: columns grow beyond their first size and keep every person', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const count = 2_500;
    for (let n = 0; n < count; n++)
      shard.track({ profile: `p-${n}`, event: 'view', properties: { sku: `s-${n % 50}` } }, NOW - n);
    const people = peopleOf(shard);
    expect(people.people).toBe(count);
    expect(new Uint32Array(people.keys()).length).toBe(4 * count);
    expect([0, 1500, count - 1].map((row) => people.number(row, PERSON.events))).toEqual([1, 1, 1]);
    expect([...people.lines()]).toHaveLength(count);
    expect(people.skus).toHaveLength(50);
  });
});
