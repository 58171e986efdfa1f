/** One value against its declaration: what it becomes, what refuses it, what flags it, whatever comes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CleanResult, cleanValue, TEXT_LENGTH_MAX } from '../../../decision/cleaning/clean-value.ts';
import { FLAGS, NORMALISERS, REFUSALS, type ValueRules } from '../../../decision/cleaning/value-rules.ts';
import type { Plain } from '../../../proto/messages.ts';
import { textHash } from '../../../proto/murmur3.ts';
import type { PropertyFile } from '../../../workers/catalog/cleaning-schema.ts';
import { compileValue } from '../../../workers/catalog/compile-cleaning.ts';
import { createZoneTable } from '../../../workers/zone-table.ts';

const ZONES = createZoneTable(textHash);
const UTC = ZONES.zoneIndexByName('UTC');

/** The clean value, or `refused: class`; a flag behind it. */
function cleaned(declared: PropertyFile, value: Plain): Plain {
  const result = new CleanResult();
  const isTaken = cleanValue(compileValue('x', declared), value, ZONES, UTC, result);
  if (!isTaken) return `refused: ${REFUSALS[result.refusal]}${result.at}`;
  return result.flag === 0 ? result.value : [result.value, FLAGS[result.flag] ?? ''];
}

const AGE: PropertyFile = { type: 'integer', min: 0, max: 120 };
const PHONE: PropertyFile = { type: 'string', normalise: 'phone', region: 'DE' };
const ABROAD: PropertyFile = { type: 'string', normalise: 'phone' };
const MAIL: PropertyFile = { type: 'string', normalise: 'mail' };
const FOLDED: PropertyFile = { ...MAIL, gmail: 'fold' };
const TIME: PropertyFile = { type: 'integer', normalise: 'time' };
const BERLIN: PropertyFile = { ...TIME, zone: 'Europe/Berlin' };
const TIER: PropertyFile = {
  type: 'enum',
  values: ['gold', 'plain'],
  normalise: ['trim', 'lower'],
  synonyms: { gold: ['au', '黄金'] },
};
const CURRENCY: PropertyFile = { type: 'string', normalise: 'currencyCode' };
const PARSED: PropertyFile = { type: 'integer', normalise: 'parse' };
const TRUTH: PropertyFile = { type: 'boolean', normalise: 'parse' };
const ITEMS: PropertyFile = { type: 'items' };
const INCOME: PropertyFile = { type: 'number', min: 0, outlier: { min: 100, max: 1e6 } };

describe('cleanValue', () => {
  it.each<[string, PropertyFile, Plain, Plain]>([
    ['least', AGE, 0, 0],
    ['most', AGE, 120, 120],
    ['below', AGE, -1, 'refused: range'],
    ['above', AGE, 121, 'refused: range'],
    ['NaN', AGE, Number.NaN, 'refused: type'],
    ['infinity', AGE, Number.POSITIVE_INFINITY, 'refused: type'],
    ['half a year', AGE, 40.5, 'refused: type'],
    ['an integer beyond a double', { type: 'integer' }, 2 ** 53, 'refused: type'],
    ['32 bits and one more', { type: 'integer' }, 2 ** 32, 2 ** 32],
    ['a number as text', AGE, '40', 'refused: type'],
    ['a truth value for a number', AGE, true, 'refused: type'],
    ['a list for a number', AGE, [40], 'refused: type'],
    ['plausible', INCOME, 100, 100],
    ['implausible, kept', INCOME, 99.5, [99.5, 'outlier']],
    ['implausible above', INCOME, 1e6 + 1, [1e6 + 1, 'outlier']],
    ['impossible', INCOME, -1, 'refused: range'],
    ['text to number', PARSED, ' -12 ', -12],
    ['text that is no number', PARSED, '12 pieces', 'refused: type'],
    ['hexadecimal is no number', PARSED, '0x10', 'refused: type'],
    ['an exponent is no number', PARSED, '1e5', 'refused: type'],
    ['full-width digits are no number', PARSED, '１２', 'refused: type'],
    ['minus zero', PARSED, '-0', 0],
    ['text to truth', TRUTH, ' true ', true],
    ['other words are no truth', TRUTH, 'yes', 'refused: type'],
    ['national number', PHONE, '030 123456', '+4930123456'],
    ['international number', PHONE, '+44 20 7946 0958', '+442079460958'],
    ['00 in front', PHONE, '0044 20 7946 0958', '+442079460958'],
    ['full-width number', PHONE, '＋４９ ３０ １２３４５６', '+4930123456'],
    ['no country and no region', ABROAD, '030 123456', 'refused: format'],
    ['a country that is none', ABROAD, '+999 123456', 'refused: format'],
    ['an extension', PHONE, '030 123456 ext. 7', 'refused: format'],
    ['words for digits', PHONE, '0800 FLOWERS', 'refused: format'],
    ['words around it', PHONE, 'call 030 123456 now', 'refused: format'],
    ['too short', PHONE, '12', 'refused: format'],
    ['empty', PHONE, '', 'refused: format'],
    ['a telephone book', PHONE, '0'.repeat(41), 'refused: format'],
    ['an address', MAIL, ' Ann@Example.ORG ', 'ann@example.org'],
    ['dots stay', MAIL, 'a.nn+x@gmail.com', 'a.nn+x@gmail.com'],
    ['dots folded', FOLDED, 'A.nn+x@googlemail.com', 'ann@gmail.com'],
    ['dots elsewhere', FOLDED, 'a.nn+x@example.org', 'a.nn+x@example.org'],
    ['only a word behind plus', FOLDED, '+x@gmail.com', 'refused: format'],
    ['another alphabet', MAIL, 'иван@почта.рф', 'иван@почта.рф'],
    ['two alphabets in a word', MAIL, 'аnn@example.org', ['аnn@example.org', 'mixedScripts']],
    ['no at', MAIL, 'ann', 'refused: format'],
    ['two ats', MAIL, 'a@b@example.org', 'refused: format'],
    ['no dot', MAIL, 'ann@localhost', 'refused: format'],
    ['double dot', MAIL, 'a..b@example.org', 'refused: format'],
    ['a line break', MAIL, 'a\nb@example.org', 'refused: format'],
    ['an invisible letter', MAIL, 'a\u200bnn@example.org', 'refused: format'],
    ['too long', MAIL, `${'a'.repeat(250)}@b.cd`, 'refused: format'],
    ['UTC', TIME, '2026-11-26T09:30:00.250Z', Date.UTC(2026, 10, 26, 9, 30, 0, 250)],
    ['an offset', TIME, '2026-11-26T09:30+01:00', Date.UTC(2026, 10, 26, 8, 30)],
    ['an offset in hours', TIME, '2026-11-26T09:30:00-05', Date.UTC(2026, 10, 26, 14, 30)],
    ['local to the catalog', TIME, '2026-11-26 09:30', Date.UTC(2026, 10, 26, 9, 30)],
    ['local to a zone', BERLIN, '2026-07-01T12:00', Date.UTC(2026, 6, 1, 10)],
    ['a day', BERLIN, '2026-07-01', Date.UTC(2026, 5, 30, 22)],
    ['a zone of its own', TIME, '2026-07-01T12:00[Asia/Shanghai]', Date.UTC(2026, 6, 1, 4)],
    ['a zone and its offset', TIME, '2026-07-01T12:00+08:00[Asia/Shanghai]', Date.UTC(2026, 6, 1, 4)],
    ['a zone and another offset', TIME, '2026-07-01T12:00+02:00[Asia/Shanghai]', 'refused: format'],
    ['an unknown zone', TIME, '2026-07-01T12:00[Mars/Olympus]', 'refused: format'],
    ['an hour that autumn has twice', BERLIN, '2026-10-25T02:30', Date.UTC(2026, 9, 25, 0, 30)],
    ['an hour that spring leaves out', BERLIN, '2026-03-29T02:30', 'refused: format'],
    ['30 February', TIME, '2026-02-30', 'refused: format'],
    ['29 February', TIME, '2024-02-29', Date.UTC(2024, 1, 29)],
    ['29 February of no leap year', TIME, '1900-02-29', 'refused: format'],
    ['month 13', TIME, '2026-13-01', 'refused: format'],
    ['hour 24', TIME, '2026-01-01T24:00', 'refused: format'],
    ['American', TIME, '11/26/2026', 'refused: format'],
    ['year 0', TIME, '0000-01-01', 'refused: range'],
    ['year 9999', TIME, '9999-12-31T23:59:59Z', 'refused: range'],
    ['zeros', TIME, '0000-00-00', 'refused: format'],
    ['1900', TIME, '1900-01-01', -2_208_988_800_000],
    ['epoch milliseconds', TIME, 1_795_000_000_000, 1_795_000_000_000],
    ['a synonym', TIER, ' AU ', 'gold'],
    ['a synonym in Chinese', TIER, '黄金', 'gold'],
    ['a value', TIER, 'Plain', 'plain'],
    ['no value', TIER, 'silver', 'refused: value'],
    ['a name of the language', TIER, 'constructor', 'refused: value'],
    ['a currency', CURRENCY, ' eur', 'EUR'],
    ['no currency', CURRENCY, 'EUX', 'refused: format'],
    ['a coin of nobody', CURRENCY, 'BTC', 'refused: format'],
    ['longest text', { type: 'string' }, 'x'.repeat(TEXT_LENGTH_MAX), 'x'.repeat(TEXT_LENGTH_MAX)],
    ['longer text', { type: 'string' }, 'x'.repeat(TEXT_LENGTH_MAX + 1), 'refused: size'],
    [
      'items',
      ITEMS,
      [{ sku: 'a', quantity: 2, priceMinor: 0, own: 1 }, { sku: 'b' }],
      [{ sku: 'a', quantity: 2, priceMinor: 0, own: 1 }, { sku: 'b' }],
    ],
    ['an item that is none', ITEMS, [{ sku: 'a' }, null], 'refused: type[1]'],
    ['an item without sku', ITEMS, [{}], 'refused: type[0].sku'],
    ['half an item', ITEMS, [{ sku: 'a', quantity: 0.5 }], 'refused: type[0].quantity'],
    ['no item', ITEMS, [{ sku: 'a', quantity: 0 }], 'refused: range[0].quantity'],
    ['an item one is paid for', ITEMS, [{ sku: 'a', priceMinor: -1 }], 'refused: range[0].priceMinor'],
    ['too many items', ITEMS, Array.from({ length: 1001 }, () => ({ sku: 'a' })), 'refused: size'],
  ])('%s', (_, declared, value, expected) => {
    expect(cleaned(declared, value)).toEqual(expected);
  });

  const declarations: readonly PropertyFile[] = [
    AGE,
    PHONE,
    ABROAD,
    MAIL,
    FOLDED,
    TIME,
    BERLIN,
    TIER,
    CURRENCY,
    PARSED,
    TRUTH,
    ITEMS,
    INCOME,
    { type: 'string', normalise: ['trim', 'lower'] },
    { type: 'string', normalise: ['upper', 'trim'] },
    { type: 'list' },
    { type: 'map' },
  ]; // prettier-ignore
  /** Values near to what is declared, and anything at all. */
  const anyValue = fc.oneof(
    fc.jsonValue(),
    fc.double(),
    fc.string({ unit: 'grapheme' }),
    fc.emailAddress(),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.stringMatching(/^\+?[0-9 ()/-]{3,16}$/),
    fc.constantFrom('__proto__', 'constructor', 'AU', 'ΑΣ', 'İ', 'ﬀ@ﬀ.com', 'straße@gmail.com', '\ud800'),
  ) as fc.Arbitrary<Plain>; // all of them are plain

  it('never throws; what is clean stays as it is and unflagged values are as declared', () => {
    const all: readonly ValueRules[] = declarations.map((declared) => compileValue('x', declared));
    fc.assert(
      fc.property(fc.constantFrom(...all), anyValue, (rules, value) => {
        const first = new CleanResult();
        if (!cleanValue(rules, value, ZONES, UTC, first)) return;
        const second = new CleanResult();
        expect(cleanValue(rules, first.value, ZONES, UTC, second)).toBe(true);
        expect(second.value).toEqual(first.value);
        expect(second.flag).toBe(first.flag);
      }),
      { numRuns: 3000, seed: 26 },
    );
  });

  it('the list of normalisers has each once', () => {
    expect(new Set(NORMALISERS).size).toBe(NORMALISERS.length);
  });
});
