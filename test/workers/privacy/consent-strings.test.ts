/**
 * TCF and GPP strings: what two encoders of IAB's make is read as meant, and what is truncated, forged, of another
 * version or too large inside is refused by name, in a bounded time.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SAYS, type SignalWords } from '../../../decision/consent-signals.ts';
import { readConsentStrings } from '../../../workers/privacy/consent-strings.ts';
import { type Agreed, gpp, NOTIFIED, tcf } from './made-consent-strings.ts';

const NOW = Date.UTC(2026, 5, 1);

function read(
  strings: { tcf?: string; gpp?: string; isGpc?: boolean },
  vendor: number | null = null,
): SignalWords | string {
  return readConsentStrings({ tcf: null, gpp: null, isGpc: false, ...strings }, vendor, NOW);
}
/** Purposes that were said yes to, of 1 to 11. */
function yes(said: SignalWords | string): number[] {
  if (typeof said === 'string') throw new Error(said);
  return Array.from({ length: 11 }, (_, i) => i + 1).filter((n) => said.get(`tcf.${n}`) === SAYS.yes);
}

describe('what TCF strings say', () => {
  it('purposes and features as another encoder wrote them, whatever they are', () => {
    const numbers = (most: number): fc.Arbitrary<number[]> =>
      fc.uniqueArray(fc.integer({ min: 1, max: most })).map((list) => list.toSorted((a, b) => a - b));
    fc.assert(
      fc.property(numbers(11), numbers(2), numbers(2000), numbers(900), (purposes, features, vendors, disclosed) => {
        const said = read({ tcf: tcf({ purposes, features, vendors, disclosed }) });
        expect(yes(said)).toEqual(purposes);
        for (const feature of [1, 2])
          expect((said as SignalWords).get(`tcf.feature.${feature}`)).toBe(
            features.includes(feature) ? SAYS.yes : SAYS.no,
          );
      }),
      { numRuns: 40, seed: 61 },
    );
  });

  it('legitimate interests count for measuring, never for profiles', () => {
    expect(yes(read({ tcf: tcf({ interests: [2, 7, 8, 9, 10, 11] }) }))).toEqual([2, 7, 8, 9, 10, 11]);
    // Purposes 3 to 6 cannot rest on one since 2.2; a string that says so is not believed.
    expect(yes(read({ tcf: tcf({ interests: [3, 4, 5, 6] }) }))).toEqual([]);
  });

  it.each<[string, Agreed, readonly number[]]>([
    ['was consented to', { purposes: [4, 7], vendors: [812], disclosed: [812] }, [4, 7]],
    ['was not consented to', { purposes: [4, 7], vendors: [811], disclosed: [812] }, []],
    ['was not shown to the person', { purposes: [4, 7], vendors: [812], disclosed: [811] }, []],
    ['may have been shown, before 2.3', { purposes: [4], vendors: [812], policy: 4 }, [4]],
    ['was not said to be shown, since 2.3', { purposes: [4], vendors: [812], policy: 5 }, []],
    ['has an interest only', { purposes: [4], interests: [7], interestVendors: [812], disclosed: [812] }, [7]],
  ])('of a vendor that %s', (_, agreed, purposes) => {
    expect(yes(read({ tcf: tcf(agreed) }, 812))).toEqual(purposes);
  });
});

describe('what GPP strings say', () => {
  const usnat = { ...NOTIFIED, Version: 1, SaleOptOut: 1, SharingOptOut: 2, TargetedAdvertisingOptOut: 0 };

  it('opt-outs, sensitive data and the signal of the browser, of the national section', () => {
    const sensitive = [2, 1, 2, 0, 1, 0, 0, 1, 0, 0, 2, 1];
    const said = read({ gpp: gpp({ usnat: { ...usnat, SensitiveDataProcessing: sensitive, Gpc: true } }) });
    expect(Object.fromEntries(said as SignalWords)).toEqual({
      'us.sale': SAYS.no,
      'us.sharing': SAYS.notRefused,
      gpc: SAYS.no,
      'us.ethnicity': SAYS.yes,
      'us.religion': SAYS.no,
      'us.health': SAYS.yes,
      'us.location': SAYS.no,
      'us.unionMembership': SAYS.yes,
    });
  });

  it("California's sensitive data have another order, and are limited, not consented to", () => {
    const notified = { SaleOptOutNotice: 1, SensitiveDataLimitUseNotice: 1 };
    const said = read({
      gpp: gpp({ usca: { ...notified, SaleOptOut: 2, SensitiveDataProcessing: [0, 0, 1, 1, 0, 0, 0, 2, 0] } }),
    });
    expect(Object.fromEntries(said as SignalWords)).toMatchObject({
      'us.sale': SAYS.notRefused,
      'us.location': SAYS.no,
      'us.religion': SAYS.no,
      'us.health': SAYS.notRefused,
    });
  });

  it('a TCF section inside it, and one that stands beside: the stricter holds', () => {
    const inner = tcf({ purposes: [3, 4, 5] });
    const wrapped = `DBABMA~${inner}`;
    expect(yes(read({ gpp: wrapped }))).toEqual([3, 4, 5]);
    expect(yes(read({ gpp: wrapped, tcf: tcf({ purposes: [4, 5, 6] }) }))).toEqual([4, 5]);
  });

  it('sections of elsewhere are passed over, and so are those not known yet', () => {
    const known = gpp({ usnat });
    expect(Object.fromEntries(read({ gpp: known }) as SignalWords)).toEqual({
      'us.sale': SAYS.no,
      'us.sharing': SAYS.notRefused,
    });
    // Header of one section, number 28, which nobody had registered when this was written.
    const said = read({ gpp: `${headerOf(28)}~AAAA` });
    expect(Object.fromEntries(said as SignalWords)).toEqual({});
  });
});

/** The header of a string of one section: a count of 1, no range, and the number as a sum of Fibonacci numbers. */
function headerOf(section: number): string {
  const fibonacci = [1, 2, 3, 5, 8, 13, 21, 34];
  let left = section;
  const bits = fibonacci
    .toReversed()
    .map((number) => {
      if (number > left) return '0';
      left -= number;
      return '1';
    })
    .toReversed()
    .join('')
    .replace(/0*$/, '');
  const text = `000011${'000001'}${'000000000001'}0${bits}1`;
  return text
    .padEnd(Math.ceil(text.length / 6) * 6, '0')
    .replace(/.{6}/g, (six) => ALPHABET[Number.parseInt(six, 2)] ?? '');
}
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const GOOD = tcf({ purposes: [1, 3, 4], vendors: [5, 812], disclosed: [5, 812] });
const CORE = tcf({ purposes: [1, 3, 4], vendors: [5, 812] });

/** A core segment up to its vendors, then these bits. */
function forged(bits: string): string {
  const head = [...CORE]
    .map((character) => ALPHABET.indexOf(character).toString(2).padStart(6, '0'))
    .join('')
    .slice(0, 213);
  const text = head + bits;
  return text
    .padEnd(Math.ceil(text.length / 6) * 6, '0')
    .replace(/.{6}/g, (six) => ALPHABET[Number.parseInt(six, 2)] ?? '');
}
const bitsOf = (value: number, width: number): string => value.toString(2).padStart(width, '0');
const everyVendor = `1${bitsOf(1, 16)}${bitsOf(0xffff, 16)}`;

describe('what is no sound string', () => {
  it.each<[string, { tcf?: string; gpp?: string }, RegExp]>([
    ['nothing', { tcf: '.' }, /^tcf: is truncated$/],
    ['words', { tcf: 'no consent at all!' }, /^tcf: has characters that are not base64url$/],
    ['TCF 1', { tcf: `B${CORE.slice(1)}` }, /^tcf: has version 1; expected 2$/],
    ['TCF 3', { tcf: `D${CORE.slice(1)}` }, /^tcf: has version 3; expected 2$/],
    [
      'TCF 2.0',
      { tcf: tcf({ policy: 2 }) },
      /^tcf: was agreed to under policy 2, before TCF 2\.2; ask the person again$/,
    ],
    [
      'a segment twice',
      { tcf: `${GOOD}.${GOOD.split('.')[1] ?? ''}` },
      /^tcf: has a segment of no known type, or one twice$/,
    ],
    ['more than its fields', { tcf: `${CORE}AAAAAAAAAAAA` }, /^tcf: is longer than its fields$/],
    ['too long', { tcf: `${GOOD}${'A'.repeat(4096)}` }, /^tcf: is longer than 4096 characters$/],
    ['no sense', { gpp: 'garbage' }, /^gpp: does not begin as a GPP string$/],
    ['another version', { gpp: 'DCABMA~x' }, /^gpp: has version 2; expected 1$/],
    ['no section', { gpp: 'DBABMA' }, /^gpp: is truncated: its header names more sections$/],
    ['an empty section', { gpp: 'DBABMA~' }, /^gpp: is truncated: section 2 is empty$/],
    ['a section too many', { gpp: `DBABMA~${CORE}~1YNN` }, /^gpp: has more sections than its header names$/],
    ['a broken section', { gpp: `DBABMA~${CORE.slice(0, 20)}` }, /^gpp: is truncated$/],
    ['a broken national section', { gpp: `${headerOf(7)}~B` }, /^gpp: has a section usnat that is truncated$/],
    [
      'a later national section',
      { gpp: `${headerOf(7)}~D${'A'.repeat(15)}` },
      /^gpp: has a section usnat that is of version 3; expected 2 at most$/,
    ],
  ])('%s is refused by name', (_, strings, message) => {
    expect(read(strings)).toMatch(message);
  });

  it('cut anywhere it is refused, or says the same of the purposes', () => {
    // Whole but for segments and filling: a cut behind the core is a string of TCF 2.2.
    const whole = read({ tcf: GOOD });
    let refused = 0;
    for (let length = 0; length < GOOD.length; length++) {
      const cut = read({ tcf: GOOD.slice(0, length) });
      if (typeof cut === 'string') refused++;
      else expect([length >= CORE.length - 4, yes(cut)]).toEqual([true, yes(whole)]);
    }
    expect(refused).toBeGreaterThan(CORE.length - 6);
  });

  it('made in the future it is forged', () => {
    const before = Date.UTC(2024, 2, 1);
    expect(readConsentStrings({ tcf: GOOD, gpp: null, isGpc: false }, null, before)).toMatch(
      /^tcf: was created or updated in the future/,
    );
  });

  it('a few characters that claim millions of vendors cost nothing: they are not expanded', () => {
    const claims = (count: number): string =>
      forged(`${bitsOf(0xffff, 16)}1${bitsOf(count, 12)}${everyVendor.repeat(count)}`);
    expect(claims(700).length).toBeLessThan(4096);
    expect(read({ tcf: claims(700) })).toBe('tcf: names more than 8192 vendors');
    expect(read({ tcf: forged(`${bitsOf(10, 16)}1${bitsOf(1, 12)}1${bitsOf(9, 16)}${bitsOf(3, 16)}`) })).toBe(
      'tcf: has a range of vendors that cannot be',
    );
    const none = `${bitsOf(0, 16)}0${bitsOf(0, 16)}0`;
    expect(read({ tcf: forged(`${none}${bitsOf(73, 12)}`) })).toBe('tcf: has more than 72 restrictions');
    // A GPP header whose one range is of 9,227,465 sections.
    const wide = `000011000001${'000000000001'}1${'11'}${'0'.repeat(34)}11`;
    const header = wide
      .padEnd(Math.ceil(wide.length / 6) * 6, '0')
      .replace(/.{6}/g, (six) => ALPHABET[Number.parseInt(six, 2)] ?? '');
    expect(read({ gpp: `${header}~x` })).toMatch(/^gpp: has a number that does not end$/);
  });
});
