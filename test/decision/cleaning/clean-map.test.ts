/** A message's map of values: amounts in major units, fallbacks, what is required, what nobody declared. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CleanedMap, cleanEvent } from '../../../decision/cleaning/clean-map.ts';
import { REFUSALS } from '../../../decision/cleaning/value-rules.ts';
import type { Properties } from '../../../proto/messages.ts';
import { textHash } from '../../../proto/murmur3.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { createZoneTable } from '../../../workers/zone-table.ts';
import { catalogText } from '../../actors/test-catalog.ts';

const ZONES = createZoneTable(textHash);
const UTC = ZONES.zoneIndexByName('UTC');

function cleanedBy(event: string, declared: string, properties: Properties | null): Properties | string | null {
  const more = `events: { ${event}: ${declared} }`;
  const catalog = compileCatalog(
    catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }', more }),
    'test.yaml',
  );
  const rules = catalog.cleaning?.events.get(event);
  if (rules === undefined) throw new Error('the catalog declares the event');
  const map = new CleanedMap();
  const isTaken = cleanEvent(map, rules, properties, ZONES, UTC);
  return isTaken ? map.values : `${REFUSALS[map.refusal]} ${map.message}`;
}
const MAJOR = '{ properties: { revenueMinor: { fromMajor: revenue, currencyFrom: currency, currency: EUR } } }';

describe('cleanEvent', () => {
  it('what is clean is the very map that came', () => {
    const properties = { revenueMinor: 100, currency: 'EUR' };
    expect(cleanedBy('purchase', '{}', properties)).toBe(properties);
    expect(cleanedBy('purchase', '{}', null)).toBeNull();
  });

  it.each<[string, Properties, Properties | string]>([
    ['text', { revenue: '12.90' }, { revenueMinor: 1290 }],
    ['a number', { revenue: 12.9, own: 1 }, { own: 1, revenueMinor: 1290 }],
    ["a double's own dust", { revenue: 0.1 + 0.2 }, { revenueMinor: 30 }],
    ['no digits', { revenue: '1200', currency: 'jpy' }, { revenueMinor: 1200, currency: 'JPY' }],
    ['three digits', { revenue: 1.234, currency: 'KWD' }, { revenueMinor: 1234, currency: 'KWD' }],
    ['three digits, where Intl knows none', { revenue: 1.5, currency: 'IQD' }, { revenueMinor: 1500, currency: 'IQD' }],
    ['half a cent', { revenue: 12.345 }, 'format track.properties.revenue: expected an amount of its currency'],
    ['a comma', { revenue: '12,90' }, 'format track.properties.revenue:'],
    ['a sign of money', { revenue: '€12' }, 'format track.properties.revenue:'],
    ['an exponent', { revenue: '1e3' }, 'format track.properties.revenue:'],
    ['NaN', { revenue: Number.NaN }, 'format track.properties.revenue:'],
    ['more than there is', { revenue: 1e12 }, 'format track.properties.revenue:'],
    ['negative', { revenue: -1 }, 'range track.properties.revenueMinor: expected an integer from 0 to'],
    ['an unknown currency', { revenue: 1, currency: 'XXY' }, 'needs an ISO 4217 currency in currency'],
    ['the same twice', { revenue: 1, revenueMinor: 100 }, { revenueMinor: 100 }],
    ['two amounts', { revenue: 1, revenueMinor: 101 }, 'contradiction track.properties.revenueMinor'],
  ])('major units: %s', (_, properties, expected) => {
    const cleaned = cleanedBy('purchase', MAJOR, properties);
    if (typeof expected === 'string') expect(cleaned).toContain(expected);
    else expect({ ...(cleaned as Properties) }).toEqual(expected); // without prototype
  });

  it('a purchase of a standard catalog: negative revenue, wrong currency and broken items are refused, named', () => {
    expect(cleanedBy('purchase', '{}', { revenueMinor: -1 })).toBe(
      'range track.properties.revenueMinor: expected an integer from 0 to 1000000000000, got a number',
    );
    expect(cleanedBy('purchase', '{}', { currency: 'euro' })).toContain('format track.properties.currency');
    expect(cleanedBy('purchase', '{}', { items: [{ sku: 'a', quantity: -1 }] })).toContain(
      'range track.properties.items[0].quantity',
    );
  });

  it('required, fallback and null', () => {
    const declared = '{ properties: { page: { type: string, required: true }, step: { type: integer, default: 1 } } }';
    expect(cleanedBy('visit', declared, {})).toBe('required track.properties.page: required, and missing');
    expect(cleanedBy('visit', declared, { page: null })).toContain('required');
    expect({ ...(cleanedBy('visit', declared, { page: 'x' }) as Properties) }).toEqual({ page: 'x', step: 1 });
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('a key of the language: %s', (name) => {
    const properties = Object.assign(Object.create(null) as Record<string, number>, { page: 1 }); // typed any
    properties[name] = 1;
    const refuse = '{ properties: { page: { type: integer } }, additionalProperties: refuse }';
    expect(cleanedBy('visit', refuse, properties)).toContain(`undeclared track.properties.${name}`);
    const drop = cleanedBy(
      'visit',
      '{ properties: { page: { type: integer } }, additionalProperties: drop }',
      properties,
    );
    expect(Object.keys(drop as Properties)).toEqual(['page']);
    const declared = `{ properties: { "${name}": { type: string, required: true } } }`;
    if (name !== '__proto__') expect(cleanedBy('visit', declared, {})).toContain('required');
  });

  it('what the server reads itself is never undeclared', () => {
    const declared = '{ additionalProperties: refuse }';
    const properties = { channel: 'app', action: 'a', source: 'pos' };
    expect(cleanedBy('visit', declared, properties)).toBe(properties);
  });

  it('never changes what came, never throws, and is done after one time', () => {
    const value = fc.oneof(fc.jsonValue(), fc.double(), fc.constantFrom('EUR', 'jpy', '12.90'));
    const key = fc.constantFrom('revenue', 'revenueMinor', 'currency', 'items', '__proto__', 'x');
    const catalog = compileCatalog(
      catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }', more: `events: { purchase: ${MAJOR} }` }),
      'test.yaml',
    );
    const rules = catalog.cleaning?.events.get('purchase');
    fc.assert(
      fc.property(fc.dictionary(key, value), (properties) => {
        const map = new CleanedMap();
        const before = JSON.stringify(properties);
        if (rules === undefined) throw new Error('declared above');
        const isTaken = cleanEvent(map, rules, properties as Properties, ZONES, UTC);
        expect(JSON.stringify(properties)).toBe(before);
        if (!isTaken) return;
        const { values } = map;
        expect(cleanEvent(map, rules, values, ZONES, UTC)).toBe(true);
        expect(map.values).toBe(values);
      }),
      { numRuns: 1000, seed: 26 },
    );
  });
});
