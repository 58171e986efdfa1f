/** Cleaning keys of a catalog: what is refused and why. */
import { describe, expect, it } from 'vitest';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { type CatalogParts, catalogText } from '../../actors/test-catalog.ts';

function problemsOf(parts: Partial<CatalogParts>): string {
  try {
    compileCatalog(catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }', ...parts }), 'test.yaml');
    return '';
  } catch (error) {
    if (error instanceof CatalogError) return error.problems.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
    throw error;
  }
}
const traits = (traits: string): Partial<CatalogParts> => ({ traits });
const events = (events: string): Partial<CatalogParts> => ({ more: `events: { ${events} }` });

describe('cleaning keys', () => {
  it.each([
    [
      'a normaliser of another type',
      traits('x: { type: integer, normalise: mail }'),
      'mail is for string, not for integer',
    ],
    ['two readers', traits('x: { type: string, normalise: [mail, phone] }'), 'can be one of mail, phone only'],
    ['a normaliser there is not', traits('x: { type: string, normalise: tidy }'), 'profile.traits.x.normalise'],
    ['a region without phone', traits('x: { type: string, region: DE }'), 'no meaning without normalise: phone'],
    ['a region that is none', traits('x: { type: string, normalise: phone, region: XX }'), 'no region with telephones'],
    ['a zone that is none', traits('x: { type: integer, normalise: time, zone: Mars/Base }'), 'no IANA time zone'],
    ['a default outside', traits('x: { type: integer, min: 1, default: 0 }'), 'expected an integer of at least 1'],
    [
      'a default in another form',
      traits('x: { type: string, normalise: lower, default: Ann }'),
      'in the form that cleaning',
    ],
    [
      'a default of a secret',
      traits('x: { type: string, sensitive: true, default: y }'),
      'a sensitive trait has no default',
    ],
    ['a value nobody can have', traits('x: { type: enum, values: [Gold], normalise: lower }'), 'nobody could have it'],
    ['a synonym of no value', traits('x: { type: enum, values: [a], synonyms: { b: [c] } }'), 'is not one of a itself'],
    ['a value as synonym', traits('x: { type: enum, values: [a, b], synonyms: { b: [a] } }'), '"a" is a value itself'],
    [
      'a synonym twice',
      traits('x: { type: enum, values: [a, b], synonyms: { b: [c], a: [c] } }'),
      'another value already',
    ],
    [
      'a synonym that never comes',
      traits('x: { type: enum, values: [a], normalise: lower, synonyms: { a: [B] } }'),
      'never comes',
    ],
    [
      'synonyms of numbers',
      traits('x: { type: integer, synonyms: { "1": [one] } }'),
      'only texts and enums have synonyms',
    ],
    [
      'outliers of texts',
      traits('x: { type: string, outlier: { max: 1 } }'),
      'only integer and number values have outliers',
    ],
    ['outliers of nothing', traits('x: { type: integer, outlier: {} }'), 'needs min, max or deviations'],
    [
      'outliers of a secret',
      traits('x: { type: integer, sensitive: true, outlier: { deviations: 3 } }'),
      'not compared among',
    ],
    ['major units without currency', traits('x: { type: integer, fromMajor: y }'), 'needs a currency'],
    [
      'major units of no currency',
      traits('x: { type: integer, fromMajor: y, currency: EUX }'),
      'no currency of ISO 4217',
    ],
    [
      'major units of a fraction',
      traits('x: { type: number, fromMajor: y, currency: EUR }'),
      'minor units are an integer',
    ],
    [
      'major units under a name that is taken',
      traits('x: { type: integer, fromMajor: y, currency: EUR }, y: { type: number }'),
      '"y" is declared itself',
    ],
    ['a currency for nothing', traits('x: { type: integer, currency: EUR }'), 'no meaning without fromMajor'],
    ['a property without type', events('visit: { properties: { x: {} } }'), 'needs its type'],
    ['bounds of a text', events('visit: { properties: { x: { type: string, max: 1 } } }'), 'have a min or max'],
    [
      'min above max',
      events('visit: { properties: { x: { type: integer, min: 2, max: 1 } } }'),
      'min 2 is above max 1',
    ],
    [
      'a wider standard',
      events('purchase: { properties: { revenueMinor: { min: -1 } } }'),
      'can only be made stricter',
    ],
    ['another standard', events('purchase: { properties: { items: { type: string } } }'), 'is of type items'],
    [
      'a default of what is required',
      events('visit: { properties: { x: { type: integer, default: 1, required: true } } }'),
      'nothing is ever missing',
    ],
    ['an enum without values', events('visit: { properties: { x: { type: enum } } }'), 'an enum needs its values'],
    ['a contradiction of events', { profile: ', contradictions: { x: \'count("v", "1d") > 1\' }' }, 'between traits'],
    ['a contradiction of the request', { profile: ", contradictions: { x: 'context.a == 1' }" }, 'between traits'],
    ['a contradiction that is none', { profile: ", contradictions: { x: '1 + 1' }" }, 'must be true or false'],
    ['ten years and more', { more: 'cleaning: { freshnessHalfLife: 9999w }' }, 'longer than ten years'],
  ])('is refused: %s', (_, parts, expected) => {
    expect(problemsOf(parts)).toContain(expected);
  });

  it('a property of a standard event is narrowed, its form stays', () => {
    const text = catalogText({
      actions: '{ key: a, channels: [app], valueMinor: 9 }',
      more: 'events: { purchase: { properties: { revenueMinor: { max: 500, required: true }, currency: {} } } }',
    });
    const rules = compileCatalog(text, 'test.yaml').cleaning?.events.get('purchase');
    expect(rules?.byName.get('revenueMinor')).toMatchObject({ min: 0, max: 500, type: 'integer', isRequired: true });
    expect(rules?.byName.get('currency')).toMatchObject({ normalisers: ['currencyCode'] });
    expect([...(rules?.byName.keys() ?? [])].sort()).toEqual(['currency', 'items', 'revenueMinor', 'sku']);
  });

  it('nothing declared compiles to nothing', () => {
    const text = catalogText({
      actions: '{ key: a, channels: [app], valueMinor: 9 }',
      traits: 'x: { type: integer, min: 1 }',
    });
    expect(compileCatalog(text, 'test.yaml').cleaning).toBeNull();
  });
});
