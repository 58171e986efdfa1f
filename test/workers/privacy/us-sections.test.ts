/**
 * Sections of the states of the USA, each by the encoder of IAB Tech Lab: what each place says in which state, copied
 * from the specifications a second time and by word, not by place; children, notices, modes, GPC; and what is unsound.
 */
import { describe, expect, it } from 'vitest';
import { SAYS, SIGNAL_WORDS, type SignalWords, US_OPT_OUTS, US_SENSITIVE } from '../../../decision/consent-signals.ts';
import { loadConsentStrings, readConsentStrings } from '../../../workers/privacy/consent-strings.ts';
import { US_SECTIONS } from '../../../workers/privacy/us-sections.ts';
import { gpp, NOTIFIED } from './made-consent-strings.ts';

const NOW = Date.UTC(2026, 5, 1);
const library = loadConsentStrings();
const SECTIONS = US_SECTIONS.map((section) => ({ ...section, name: section.kind.toLowerCase() }));
const STATES = SECTIONS.filter(({ name }) => name !== 'usnat');

function read(text: string): SignalWords | string {
  return readConsentStrings({ tcf: null, gpp: text, isGpc: false }, null, NOW);
}
function words(text: string): Record<string, number> {
  const said = read(text);
  if (typeof said === 'string') throw new Error(said);
  return Object.fromEntries(said);
}
function fieldsOf(kind: (typeof US_SECTIONS)[number]['kind']): Record<string, unknown> {
  return new library[kind]().toObj() as Record<string, unknown>; // a plain object of the section's fields
}
/** The field of a child with one place set, as the library wants it. */
function childField(section: (typeof SECTIONS)[number], place: number, value: number): Record<string, unknown> {
  const blank = fieldsOf(section.kind).KnownChildSensitiveDataConsents;
  const list = section.child.map((_, i) => (i === place ? value : 0));
  return { KnownChildSensitiveDataConsents: Array.isArray(blank) ? list : list[0] };
}

/** Places from 1 of the words of a section, as its specification lists them. */
const COMMON = { ethnicity: [1], religion: [2], health: [3], sexuality: [4], genetics: [6], biometrics: [7] };
const LOCATED = { ...COMMON, location: [8] };
const PLACES: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
  usca: {
    location: [3],
    ethnicity: [4],
    religion: [4],
    unionMembership: [4],
    genetics: [6],
    biometrics: [7],
    health: [8],
    sexuality: [9],
  },
  usva: LOCATED,
  usco: COMMON,
  usut: { ethnicity: [1], religion: [2], sexuality: [3], health: [5], genetics: [6], biometrics: [7], location: [8] },
  usct: LOCATED,
  usfl: LOCATED,
  usmt: LOCATED,
  usor: {
    ethnicity: [1, 7],
    religion: [2],
    health: [3],
    sexuality: [4, 5],
    genetics: [9],
    biometrics: [10],
    location: [11],
  },
  ustx: LOCATED,
  usde: {
    ethnicity: [1],
    religion: [2],
    health: [3],
    sexuality: [4, 5],
    genetics: [7],
    biometrics: [8],
    location: [9],
  },
  usia: LOCATED,
  usne: LOCATED,
  usnh: LOCATED,
  usnj: { ...LOCATED, sexuality: [4, 9] },
  ustn: LOCATED,
  usmn: LOCATED,
  usmd: {},
  usin: LOCATED,
  usky: LOCATED,
  usri: LOCATED,
};
const OPT_OUT_STATES = ['usca', 'usut', 'usia'];
const SENSITIVE_NOTICE: Readonly<Record<string, string>> = {
  usca: 'SensitiveDataLimitUseNotice',
  usut: 'SensitiveDataProcessingOptOutNotice',
  usia: 'SensitiveDataOptOutNotice',
};

describe('the table', () => {
  it('has every section of the USA that the library knows, with as many places as it has', () => {
    const known = Object.values(library).flatMap((one) =>
      'NAME' in one && 'ID' in one && /^us(?!p)/.test(one.NAME) ? [[one.NAME, one.ID]] : [],
    );
    expect(new Map(SECTIONS.map(({ name, id }) => [name, id]))).toEqual(new Map(known as [string, number][]));
    for (const { kind, version, sensitive, child } of US_SECTIONS) {
      const section = new library[kind]();
      section.setFieldValue(kind === 'UsMd' || 'MspaVersion' in fieldsOf(kind) ? 'MspaVersion' : 'Version', version);
      const { SensitiveDataProcessing: places = [], KnownChildSensitiveDataConsents: ages = [] } =
        section.toObj() as Record<string, unknown>;
      expect([kind, version, sensitive.length, child.length]).toEqual([
        kind,
        version,
        (places as unknown[]).length,
        [ages].flat().length,
      ]);
    }
  });

  it('says nothing but words of the vocabulary', () => {
    const all = SECTIONS.flatMap(({ sensitive, child }) => [...sensitive.flat(), ...child.flat()]);
    expect(all.filter((word) => !SIGNAL_WORDS.has(word))).toEqual([]);
    expect(Object.keys(PLACES).toSorted()).toEqual(STATES.map(({ name }) => name).toSorted());
  });
});

describe('sensitive data', () => {
  it.each(STATES.filter(({ name }) => name !== 'usmd'))('each place of $name says what it says there', (section) => {
    const { name, sensitive } = section;
    const otherwise = OPT_OUT_STATES.includes(name) ? SAYS.notRefused : SAYS.yes;
    const notice = SENSITIVE_NOTICE[name];
    for (const value of [1, 2])
      for (const [i] of sensitive.entries()) {
        const list = sensitive.map((_, place) => (place === i ? value : 0));
        const expected = Object.entries(PLACES[name] ?? {})
          .filter(([, places]) => places.includes(i + 1))
          .map(([word]) => [`us.${word}`, value === 1 ? SAYS.no : otherwise]);
        const fields = { SensitiveDataProcessing: list, ...(notice === undefined ? {} : { [notice]: 1 }) };
        expect([name, i + 1, words(gpp({ [name]: fields }))]).toEqual([name, i + 1, Object.fromEntries(expected)]);
      }
  });

  it('of two places for one word a no holds', () => {
    const list = [2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    expect(words(gpp({ usor: { SensitiveDataProcessing: list } }))).toEqual({ 'us.ethnicity': SAYS.no });
  });

  it('the second version of the national section has four places more', () => {
    const list = [...Array<number>(12).fill(0), 1, 1, 1, 1];
    expect(words(gpp({ usnat: { SensitiveDataProcessing: list } }))).toEqual({
      'us.health': SAYS.no,
      'us.ethnicity': SAYS.no,
      'us.sexuality': SAYS.no,
    });
  });

  it.each(OPT_OUT_STATES)(
    'that %s did not opt out says nothing without a notice, and no notice given is a no',
    (name) => {
      const { sensitive } = SECTIONS.find((one) => one.name === name) ?? { sensitive: [] };
      const all = { SensitiveDataProcessing: sensitive.map(() => 2) };
      const notice = SENSITIVE_NOTICE[name] ?? '';
      expect(words(gpp({ [name]: { ...all, [notice]: 0 } }))).toEqual({});
      const refused = words(gpp({ [name]: { ...all, [notice]: 2 } }));
      expect(refused).toEqual(
        Object.fromEntries(Object.keys(PLACES[name] ?? {}).map((word) => [`us.${word}`, SAYS.no])),
      );
    },
  );
});

describe('opt-outs', () => {
  it.each(STATES)('$name: sale and advertising, beside a notice that was given', ({ name, kind }) => {
    const other = name === 'usca' ? 'Sharing' : 'TargetedAdvertising';
    const word = name === 'usca' ? 'us.sharing' : 'us.targetedAdvertising';
    const { [`${other}OptOutNotice`]: blank } = fieldsOf(kind);
    expect(blank).toBe(0);
    const notices = { SaleOptOutNotice: 1, [`${other}OptOutNotice`]: 1 };
    expect(words(gpp({ [name]: { ...notices, SaleOptOut: 1, [`${other}OptOut`]: 2 } }))).toEqual({
      'us.sale': SAYS.no,
      [word]: SAYS.notRefused,
    });
    expect(words(gpp({ [name]: { SaleOptOut: 2, [`${other}OptOut`]: 2 } }))).toEqual({});
    expect(words(gpp({ [name]: { ...notices, SaleOptOutNotice: 2, SaleOptOut: 2 } }))).toEqual({ 'us.sale': SAYS.no });
  });

  it('whom nobody told that data are shared or processed has opted out of all of it', () => {
    const all = Object.fromEntries(US_OPT_OUTS.map((word) => [word, SAYS.no]));
    expect(words(gpp({ usnat: { ...NOTIFIED, SharingNotice: 2, SaleOptOut: 2 } }))).toEqual(all);
    expect(words(gpp({ ustx: { ProcessingNotice: 2 } }))).toEqual(all);
  });

  it('a site in service provider mode hands nothing on; in opt-out option mode the opt-outs say it', () => {
    const provider = { 'us.serviceProvider': SAYS.no };
    expect(words(gpp({ usva: { MspaServiceProviderMode: 1 } }))).toEqual(provider);
    expect(words(gpp({ usky: { MspaMode: 2 } }))).toEqual(provider);
    expect(words(gpp({ usva: { MspaServiceProviderMode: 2, MspaOptOutOptionMode: 1 } }))).toEqual({});
    expect(words(gpp({ usky: { MspaMode: 1 } }))).toEqual({});
  });

  it.each(STATES.filter(({ kind }) => 'Gpc' in fieldsOf(kind)))(
    '$name carries the signal of the browser',
    ({ name }) => {
      expect(words(gpp({ [name]: { Gpc: true } }))).toEqual({ gpc: SAYS.no });
      expect(words(gpp({ [name]: { Gpc: false } }))).toEqual({});
    },
  );

  it('so does a section whose specification has no place for it', () => {
    expect(words(`${gpp({ usva: { SaleOptOut: 0 } })}.YA`)).toEqual({ gpc: SAYS.no });
  });
});

describe('a known child', () => {
  const everything = ['us.child', ...US_OPT_OUTS, ...US_SENSITIVE];
  const teens = [everything, ['us.sale'], ['us.targetedAdvertising']];
  const older = [...teens, ['us.sale'], ['us.targetedAdvertising']];
  const AGES: Readonly<Record<string, readonly (readonly string[])[]>> = {
    usca: [['us.sale'], ['us.sharing']],
    usct: teens,
    usfl: [everything, [...US_SENSITIVE], [...US_SENSITIVE]],
    usmt: teens,
    usor: teens,
    usde: older,
    usnh: teens,
    usnj: older,
    usmd: [],
  };

  it.each(STATES)('$name: without consent, what that place speaks of is refused', (section) => {
    const ages = AGES[section.name] ?? [everything];
    expect(section.child).toHaveLength(ages.length);
    for (const [place, refused] of ages.entries()) {
      const text = gpp({ [section.name]: childField(section, place, 1) });
      expect([place, words(text)]).toEqual([place, Object.fromEntries(refused.map((word) => [word, SAYS.no]))]);
      const agreed = gpp({ [section.name]: childField(section, place, 2) });
      expect([place, words(agreed)]).toEqual([
        place,
        Object.fromEntries(refused.map((word) => [word, SAYS.notRefused])),
      ]);
    }
  });

  it('the national section: its first version speaks of sale alone for the older', () => {
    const first = { Version: 1, KnownChildSensitiveDataConsents: [1, 0, 0] };
    expect(words(gpp({ usnat: first }))).toEqual(Object.fromEntries(US_OPT_OUTS.map((word) => [word, SAYS.no])));
    const second = { KnownChildSensitiveDataConsents: [0, 0, 1] };
    expect(words(gpp({ usnat: second }))).toEqual(Object.fromEntries(everything.map((word) => [word, SAYS.no])));
  });

  it("a parent's consent leaves what the section says of the data themselves", () => {
    const health = { SensitiveDataProcessing: [0, 0, 2, 0, 0, 0, 0, 0], KnownChildSensitiveDataConsents: 2 };
    expect(words(gpp({ ustx: health }))).toMatchObject({ 'us.health': SAYS.yes, 'us.religion': SAYS.notRefused });
    const without = { ...health, KnownChildSensitiveDataConsents: 1 };
    expect(words(gpp({ ustx: without }))).toMatchObject({ 'us.health': SAYS.no, 'us.child': SAYS.no });
  });
});

describe('what is no sound section', () => {
  const full = SECTIONS.filter(({ version, name }) => name !== 'usnat' || version === 2).map((section) => {
    const sensitive = section.sensitive.length === 0 ? {} : { SensitiveDataProcessing: section.sensitive.map(() => 2) };
    const gpc = 'Gpc' in fieldsOf(section.kind) ? { Gpc: true } : {};
    return { name: section.name, text: gpp({ [section.name]: { SaleOptOut: 1, ...sensitive, ...gpc } }) };
  });

  it.each(full)('$name cut anywhere is refused, or lacks nothing but filling and whole segments', ({ text }) => {
    const whole = words(text);
    const start = text.indexOf('~') + 1;
    const core = text.slice(start).split('.')[0] ?? '';
    let refused = 0;
    for (let length = start; length < text.length; length++) {
      const cut = read(text.slice(0, length));
      if (typeof cut === 'string') refused++;
      else {
        expect(length).toBeGreaterThanOrEqual(start + core.length - 1);
        expect(whole).toMatchObject(Object.fromEntries(cut));
      }
    }
    expect(refused).toBeGreaterThanOrEqual(core.length - 1);
  });

  const virginia = gpp({ usva: { SaleOptOut: 1 } });
  const head = virginia.slice(0, virginia.indexOf('~') + 1);
  const colorado = gpp({ usco: { SaleOptOut: 1 } }).replace(/\..*/, '');
  const indiana = gpp({ usin: { SaleOptOut: 1 } });
  const section = 'gpp: has a section';
  it.each([
    ['a value of no meaning', `${head}B____BA`, `${section} usva that has a value of no meaning in SharingNotice`],
    ['more than its fields', `${virginia}AAAA`, `${section} usva that is longer than its fields`],
    ['something behind them', `${virginia.slice(0, -1)}_`, `${section} usva that is longer than its fields`],
    ['a later version', `${head}CAAAABA`, `${section} usva that is of version 2; expected 1 at most`],
    ['no version', `${head}AAAAABA`, `${section} usva that is of version 0; expected 1 at most`],
    ['no base64url', `${head}BAA=ABA`, `${section} usva that has characters that are not base64url`],
    ['a segment of another type', `${colorado}.wA`, `${section} usco that has a segment of no known type`],
    ['an empty segment', `${colorado}.`, `${section} usco that is truncated`],
    ['a segment twice', `${colorado}.QA.QA`, `${section} usco that has more segments than it may have`],
    ['half of its sensitive data', `${indiana.split('.')[0]}.Ko`, `${section} usin that is truncated`],
    ['a header', indiana.replace('~B', '~Z'), `${section} usin that begins with a header, which is not read here`],
    ['too much', `${virginia}${'A'.repeat(256)}`, `${section} usva that is longer than 256 characters`],
    ['another letter', 'DBABTA~1YXN', `${section} uspv1 that is no 1 and three of Y, N and -`],
    ['another version of uspv1', 'DBABTA~2YNN', `${section} uspv1 that is no 1 and three of Y, N and -`],
  ])('%s is refused by name', (_, text, message) => {
    expect(read(text)).toBe(message);
  });

  it('filling as other encoders write it is none of it', () => {
    for (const filling of ['', 'A', 'AA']) expect(words(`${virginia}${filling}`)).toEqual({ 'us.sale': SAYS.no });
    // The first version of the national section has 60 bits; in 72 the library takes it for the second.
    const national = gpp({ usnat: { Version: 1, SaleOptOut: 1, KnownChildSensitiveDataConsents: [0, 1, 0] } });
    const said = words(national);
    expect(said).toMatchObject({ 'us.child': SAYS.no });
    expect(words(`${national.replace(/\..*/, '')}A`)).toEqual(said);
  });

  it('the older string of California: a notice that was not given is a no', () => {
    expect(words('DBABTA~1YNN')).toEqual({ 'us.sale': SAYS.notRefused });
    expect(words('DBABTA~1yyn')).toEqual({ 'us.sale': SAYS.no });
    expect(words('DBABTA~1NNN')).toEqual({ 'us.sale': SAYS.no });
    expect(words('DBABTA~1-N-')).toEqual({});
    expect(words('DBABTA~1---')).toEqual({});
  });
});
