/**
 * Canada's section of GPP: what it says as IAB Tech Lab's encoder wrote it and in the older coding of vendors, vendors
 * with and without consent, and strings that are truncated, forged, or claim more than they hold.
 */
import { TcfCaV1 } from '@iabgpp/cmpapi';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SAYS, type SignalWords } from '../../../decision/consent-signals.ts';
import { readCanadaString } from '../../../workers/privacy/canada-string.ts';
import { readConsentStrings } from '../../../workers/privacy/consent-strings.ts';
import { type AgreedInCanada, canada } from './made-consent-strings.ts';

const NOW = Date.UTC(2026, 5, 1);
const VENDOR = 812;
const HEADER = `${canada().split('~')[0]}~`;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const bitsOf = (value: number, width: number): string => value.toString(2).padStart(width, '0');
const textOf = (bits: string): string =>
  bits.padEnd(Math.ceil(bits.length / 6) * 6, '0').replace(/.{6}/g, (six) => ALPHABET[Number.parseInt(six, 2)] ?? '');

function read(text: string, vendor: number | null = null, now = NOW): SignalWords | string {
  return readConsentStrings({ tcf: null, gpp: text, isGpc: false }, vendor, now);
}
/** Purposes that were said yes to. */
function yes(said: SignalWords | string): number[] {
  if (typeof said === 'string') throw new Error(said);
  return Array.from({ length: 24 }, (_, i) => i + 1).filter((n) => said.get(`tcf.${n}`) === SAYS.yes);
}

/** A core up to its vendors: express consent to purposes 3 and 4, implied consent to 7. */
const HEAD = [...(canada({ express: [3, 4], implied: [7] }).split('~')[1] ?? '')]
  .map((character) => bitsOf(ALPHABET.indexOf(character), 6))
  .join('')
  .slice(0, 139 + 12 + 24 + 24);
/** Vendors as ranges of numbers of 16 bits, as in Europe. */
const fixedVector = (ranges: readonly (readonly [number, number])[], most: number): string =>
  `${bitsOf(most, 16)}1${fixedRanges(ranges)}`;
const fixedRanges = (ranges: readonly (readonly [number, number])[]): string =>
  bitsOf(ranges.length, 12) + ranges.map(([first, last]) => `1${bitsOf(first, 16)}${bitsOf(last, 16)}`).join('');
const NONE = `${bitsOf(0, 16)}0`;

describe('what it says', () => {
  it('purposes, features and vendors as the encoder wrote them, whatever they are', () => {
    const numbers = (most: number): fc.Arbitrary<number[]> =>
      fc.uniqueArray(fc.integer({ min: 1, max: most })).map((list) => list.toSorted((a, b) => a - b));
    const lists = fc.tuple(numbers(24), numbers(24), numbers(12), numbers(2000), numbers(900), numbers(1500));
    fc.assert(
      fc.property(lists, fc.integer({ min: 1, max: 2000 }), ([express, implied, features, ...vendors], vendor) => {
        const [expressVendors, impliedVendors, disclosed] = vendors;
        const agreed = { express, implied, features, expressVendors, impliedVendors, disclosed };
        const text = canada(agreed).split('~')[1] ?? '';
        const said = readCanadaString(text, vendor, NOW);
        const flags = (list: readonly boolean[]): number[] => list.flatMap((isIn, i) => (isIn ? [i + 1] : []));
        expect([flags(said.express), flags(said.implied), flags(said.features)]).toEqual([express, implied, features]);
        expect([said.hasExpress, said.hasImplied, said.isShown]).toEqual([
          expressVendors.includes(vendor),
          impliedVendors.includes(vendor),
          disclosed.length === 0 || disclosed.includes(vendor),
        ]);
        expect(new TcfCaV1(text).getFieldValue('VendorExpressConsent')).toEqual(expressVendors);
      }),
      { numRuns: 60, seed: 62 },
    );
  });

  it('express consent counts for every purpose, implied consent for measuring and never for profiles', () => {
    const all = Array.from({ length: 11 }, (_, i) => i + 1);
    expect(yes(read(canada({ express: all })))).toEqual(all.slice(1));
    expect(yes(read(canada({ implied: all })))).toEqual([2, 7, 8, 9, 10, 11]);
  });

  it('purpose 1 is not used in Canada and says nothing; features say yes or no', () => {
    const said = read(canada({ express: [1], features: [1] })) as SignalWords;
    expect([said.has('tcf.1'), said.get('tcf.feature.1'), said.get('tcf.feature.2')]).toEqual([
      false,
      SAYS.yes,
      SAYS.no,
    ]);
  });

  it.each<[string, AgreedInCanada, readonly number[]]>([
    ['was expressly consented to', { express: [4, 7], expressVendors: [VENDOR] }, [4, 7]],
    ['has implied consent only', { express: [4], implied: [4, 7], impliedVendors: [VENDOR] }, [7]],
    ['has neither', { express: [4], implied: [7], expressVendors: [811], impliedVendors: [813] }, []],
    ['was shown', { express: [4], expressVendors: [VENDOR], disclosed: [VENDOR] }, [4]],
    ['was not shown', { express: [4], expressVendors: [VENDOR], disclosed: [811] }, []],
    ['a publisher forbids', { express: [4, 7], expressVendors: [VENDOR], restrictions: [[4, 0, [VENDOR]]] }, [7]],
    [
      'a publisher wants express consent of',
      { implied: [7, 8], impliedVendors: [VENDOR], restrictions: [[7, 1, [5, VENDOR]]] },
      [8],
    ],
    [
      'a publisher wants implied consent of',
      { express: [7, 8], expressVendors: [VENDOR], restrictions: [[7, 2, [VENDOR]]] },
      [8],
    ],
    [
      'others are restricted beside',
      { express: [7], expressVendors: [VENDOR], restrictions: [[7, 0, [811, 813]]] },
      [7],
    ],
  ])('of a vendor that %s', (_, agreed, purposes) => {
    expect(yes(read(canada(agreed), VENDOR))).toEqual(purposes);
  });

  it('vendors as ranges of 16 bits, which others write', () => {
    const vendors = `${fixedVector([[810, 815]], 815)}${fixedVector([[1, 9]], 9)}`;
    const text = HEADER + textOf(`${HEAD}${vendors}${bitsOf(1, 12)}${bitsOf(4, 6)}00${fixedRanges([[800, 811]])}`);
    expect(yes(read(text, VENDOR))).toEqual([3, 4]);
    expect(yes(read(text, 811))).toEqual([3]);
    expect(yes(read(text, 5))).toEqual([7]);
    expect(yes(read(text, 816))).toEqual([]);
    expect(yes(read(`${text}.${textOf(`001${fixedVector([[811, 811]], 811)}`)}`, VENDOR))).toEqual([]);
  });
});

describe('what can be read in both codings', () => {
  it('is the one whose vendors end with the highest announced: vendor 987 alone is not vendor 3', () => {
    const text = canada({ express: [4], expressVendors: [987] });
    expect([yes(read(text, 987)), yes(read(text, 3))]).toEqual([[4], []]);
  });

  it('gives a vendor what both give, where neither ends so', () => {
    // 5 by Fibonacci numbers and then no vendors, or 6,144 by 16 bits.
    const either = `${bitsOf(0xffff, 16)}1${bitsOf(1, 12)}0${'00011'.padEnd(16, '0')}`;
    const text = HEADER + textOf(HEAD + either + NONE + bitsOf(0, 12));
    expect([yes(read(text)), yes(read(text, 5)), yes(read(text, 6144))]).toEqual([[3, 4, 7], [], []]);
  });
});

describe('what is no sound string', () => {
  const good = canada({
    express: [3, 4],
    implied: [7],
    expressVendors: [5, VENDOR],
    disclosed: [5, VENDOR],
    restrictions: [[3, 0, [5]]],
  });
  const start = HEADER.length;
  const section = 'gpp: has a section tcfcav1 that';
  const [core = '', publisher = '', shown = ''] = good.slice(start).split('.');

  it('cut anywhere it is refused, or lacks nothing but filling and whole segments', () => {
    let refused = 0;
    for (let length = start; length < good.length; length++)
      for (const vendor of [null, VENDOR]) {
        const cut = read(good.slice(0, length), vendor);
        if (typeof cut === 'string') refused++;
        else expect([length >= start + core.length - 4, yes(cut)]).toEqual([true, yes(read(good, vendor))]);
      }
    expect(refused).toBeGreaterThan(2 * (core.length - 4));
  });

  it.each([
    ['nothing', HEADER, 'gpp: is truncated: section 5 is empty'],
    ['an empty core', `${HEADER}.`, `${section} is truncated`],
    ["Europe's version", `${HEADER}C${core.slice(1)}`, `${section} has version 2; expected 1`],
    ['words', `${HEADER}B no`, `${section} has characters that are not base64url`],
    ['more than its fields', `${HEADER}${core}AAAAAAAA`, `${section} is longer than its fields`],
    ['a segment twice', `${good}.${shown}`, `${section} has a segment of no known type, or one twice`],
    [
      "a segment of Europe's",
      `${HEADER}${core}.${textOf(`010${NONE}`)}`,
      `${section} has a segment of no known type, or one twice`,
    ],
    ['half a segment', `${HEADER}${core}.${publisher.slice(0, 5)}`, `${section} is truncated`],
    [
      'ranges that go backwards',
      HEADER + textOf(`${HEAD}${fixedVector([[9, 3]], 10)}${NONE}${bitsOf(0, 12)}`),
      `${section} has a number that does not end`,
    ],
    [
      'too many restrictions',
      HEADER + textOf(`${HEAD}${NONE}${NONE}${bitsOf(73, 12)}`),
      `${section} has more than 72 restrictions`,
    ],
  ])('%s is refused by name', (_, text, message) => {
    expect(read(text)).toBe(message);
  });

  it('made in the future it is forged', () => {
    expect(read(good, null, Date.UTC(2024, 2, 1))).toBe(
      `${section} was created or updated in the future, or updated before it was created`,
    );
  });

  it('a few characters that claim millions of vendors cost nothing, in either coding', () => {
    const every = Array.from({ length: 700 }, () => [1, 0xffff] as const);
    // Ranges of 10,945 vendors each, by Fibonacci numbers: a step of 1, and 19 places further.
    const steps = Array.from({ length: 300 }, () => `111${'0'.repeat(18)}11`).join('');
    for (const vendors of [fixedVector(every, 0xffff), `${bitsOf(0xffff, 16)}1${bitsOf(300, 12)}${steps}`]) {
      const text = HEADER + textOf(HEAD + vendors + NONE + bitsOf(0, 12));
      expect(text.length).toBeLessThan(4096);
      const before = performance.now();
      expect(read(text, VENDOR)).toMatch(/^gpp: has a section tcfcav1 that /);
      expect(performance.now() - before).toBeLessThan(200);
    }
  });
});
