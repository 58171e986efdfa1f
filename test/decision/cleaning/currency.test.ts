/** ISO 4217 against what this runtime knows: the differences are the standard's, and each is named here. */
import { describe, expect, it } from 'vitest';
import { currencyDigits, exactMinor } from '../../../decision/cleaning/currency.ts';

function intlDigits(currency: string): number {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? -1;
}

describe('currencyDigits', () => {
  it('codes: those in use that Intl knows, with the digits of the standard', () => {
    const known = Intl.supportedValuesOf('currency').filter((code) => currencyDigits(code) !== null);
    expect(known.length).toBeGreaterThan(150);
    const others = known.filter((code) => currencyDigits(code) !== intlDigits(code));
    // ISO 4217 amendment list: customary use, which CLDR follows, writes these without their minor units.
    const standard = {
      AFN: 2,
      ALL: 2,
      COP: 2,
      HUF: 2,
      IDR: 2,
      IQD: 3,
      IRR: 2,
      KPW: 2,
      LAK: 2,
      LBP: 2,
      MGA: 2,
      MMK: 2,
      MRU: 2,
      PKR: 2,
      RSD: 2,
      SLE: 2,
      SOS: 2,
      STN: 2,
      SYP: 2,
      TZS: 2,
      UYW: 4,
      UZS: 2,
      YER: 2,
      ZWG: 2,
    } as const; // prettier-ignore
    for (const code of others)
      expect([code, currencyDigits(code)]).toEqual([code, standard[code as keyof typeof standard]]); // named above, or it fails
  });

  it.each(['', 'eur', 'EURO', 'DEM', 'BTC', '__proto__', 'constructor'])('%s is no currency in use', (code) => {
    expect(currencyDigits(code)).toBeNull();
  });
});

describe('exactMinor', () => {
  it.each([
    [0, 2, 0],
    [-0, 2, 0],
    ['-0.00', 2, 0],
    [19.99, 2, 1999],
    [1.005, 2, Number.NaN],
    ['1.0050', 3, 1005],
    ['1.00500', 2, Number.NaN],
    [1e10, 2, 1e12],
    [1e10 + 0.01, 2, Number.NaN],
    ['', 2, Number.NaN],
    ['.5', 2, Number.NaN],
    [Number.POSITIVE_INFINITY, 2, Number.NaN],
    [null, 2, Number.NaN],
    [[1], 2, Number.NaN],
  ])('%j with %i digits is %d', (amount, digits, expected) => {
    expect(exactMinor(amount, digits)).toBe(expected);
  });
});
