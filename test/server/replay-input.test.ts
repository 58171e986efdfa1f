/** What a replay reads: the CSV file, the mapping, one row in the words of the protocol, and the order of rows. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CsvRow, CsvSplitter, LineSplitter, readCsv } from '../../server/replay/csv-rows.ts';
import { RowReader } from '../../server/replay/logged-row.ts';
import { parseMapping, type ReplayMapping, readMappingFile } from '../../server/replay/replay-mapping.ts';
import { RowSource } from '../../server/replay/row-source.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { temporaryFolder } from './running-node.ts';

const folder = temporaryFolder('replay-input');

function splitAll(text: string, pieceLength: number): ReturnType<CsvSplitter['push']> {
  const lines = new LineSplitter();
  const splitter = new CsvSplitter(',');
  const bytes = Buffer.from(text);
  const rows: ReturnType<CsvSplitter['push']> = [];
  for (let at = 0; at < bytes.length; at += pieceLength)
    rows.push(...splitter.push(lines.push(bytes.subarray(at, at + pieceLength))));
  rows.push(...splitter.push(lines.end()), ...splitter.end());
  return rows;
}

function split(text: string, pieceLength = Math.max(1, text.length)): CsvRow[] {
  return splitAll(text, pieceLength).map((row) => {
    if ('problem' in row) throw new Error(`line ${row.line} ${row.problem}`);
    return row;
  });
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('csv', () => {
  it.each<[string, string, string[][]]>([
    ['nothing', '', []],
    ['one row without a break', 'a,b', [['a', 'b']]],
    [
      'line feeds',
      'a,b\nc,d\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'carriage returns',
      'a,b\r\nc,d\r\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['a lone carriage return', 'a\rb\r', [['a\rb']]],
    [
      'empty fields',
      ',\n"",\n',
      [
        ['', ''],
        ['', ''],
      ],
    ],
    ['empty lines', '\n\na\n\n', [['a']]],
    ['a quoted comma', '"6) $750 - $1,000",1\n', [['6) $750 - $1,000', '1']]],
    ['a doubled quote', '"say ""hi"""\n', [['say "hi"']]],
    ['a quoted break', '"a\r\nb",c\n', [['a\r\nb', 'c']]],
    ['a quote inside a field', 'a"b\n', [['a"b']]],
    ['a quoted empty row', '""\n', [['']]],
  ])('csv: %s, in pieces of any length', (_, text, expected) => {
    for (const length of [1, 2, 3, Math.max(1, text.length)]) {
      expect(split(text, length).map(({ fields }) => fields)).toEqual(expected);
    }
  });

  it('csv: any table comes back as it was written', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', 'é'), maxLength: 6 });
    const table = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 6 });
    fc.assert(
      fc.property(table, fc.integer({ min: 1, max: 7 }), (rows, length) => {
        const quoted = rows.map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(','));
        expect(split(quoted.map((row) => `${row}\n`).join(''), length).map(({ fields }) => fields)).toEqual(rows);
      }),
    );
  });

  it('csv: tells the line a row begins on, behind quoted breaks and empty lines', () => {
    expect(split('a\n\n"b\nc"\nd\r\n\r\ne').map(({ line }) => line)).toEqual([1, 3, 5, 7]);
  });

  it.each([
    ['an open quote', 'a,b\n1,"2\n', /line 2 has a quote that is never closed/],
    ['text behind a quote', '"a"b\n', /line 1 has text behind a closing quote/],
    ['an endless row', `a\n${'x'.repeat(270_000)}\n`, /line 2 is longer than 262144 bytes/],
    ['too many fields', `${','.repeat(5000)}\n`, /line 1 has more than 4096 fields/],
  ])('csv: refuses %s with its line', (_, text, message) => {
    expect(() => split(text)).toThrow(message);
  });

  it('csv: a row that is none takes no other with it, in pieces of any length', () => {
    const text = `a,b\n1,"2\n3,4\n"5"x,6\n7,"8\n9"\n${'y'.repeat(300_000)}\n10,11\n12,"13`;
    const expected = [
      [1, ['a', 'b']],
      [2, 'has text behind a closing quote'],
      [3, ['3', '4']],
      [4, 'has text behind a closing quote'],
      [5, ['7', '8\n9']],
      [7, 'is longer than 262144 bytes'],
      [8, ['10', '11']],
      [9, 'has a quote that is never closed'],
    ];
    for (const length of [501, 100_000, text.length])
      expect(splitAll(text, length).map((row) => [row.line, 'problem' in row ? row.problem : row.fields])).toEqual(
        expected,
      );
  });

  it('csv: a quote that is never closed costs its line, and each line behind it one more reading', () => {
    const lines = ['1,"2', ...Array.from({ length: 100_000 }, (_, i) => `${i},a`)];
    const rows = splitAll(`${lines.join('\n')}\n`, 65_536);
    expect(rows[0]).toEqual({ line: 1, text: '1,"2', problem: 'has a quote that is never closed' });
    expect(rows.slice(1).map(({ line }) => line)).toEqual(Array.from({ length: 100_000 }, (_, i) => i + 2));
  });

  it('csv: reads plain and packed files alike, and nothing of an empty one', async () => {
    const text = 'a,b\n1,ü\n2,"x,y"\n';
    const plain = await all(readCsv(file('plain.csv', text), ','));
    // The name does not matter: gzip is told by its first bytes.
    const packed = await all(readCsv(file('packed.csv', gzipSync(text)), ','));
    expect(plain.map(({ row }) => row.fields)).toEqual([
      ['1', 'ü'],
      ['2', 'x,y'],
    ]);
    expect(packed).toEqual(plain);
    expect(await all(readCsv(file('empty.csv', ''), ','))).toEqual([]);
    expect(await all(readCsv(file('header.csv', 'a,b\n'), ','))).toEqual([]);
  });

  it.each<[string, string | Uint8Array | null, RegExp]>([
    ['no file', null, /cannot be read \(ENOENT/],
    ['a short row', 'a,b\n1,2\n3\n', /line 3 has 1 fields, its header 2/],
    ['a column named twice', 'a,a\n1,2\n', /names a column twice/],
    ['bytes that are no text', Uint8Array.of(0x61, 0x0a, 0xff, 0x0a), /line 2 is not UTF-8/],
    ['a damaged archive', gzipSync('a,b\n1,2\n').subarray(0, 22), /cannot be read \(unexpected end of file/],
  ])('csv: %s is LOG_UNREADABLE', async (name, content, message) => {
    const path = content === null ? join(folder, 'missing.csv') : file(`${name}.csv`, content);
    const reading = all(readCsv(path, ','));
    await expect(reading).rejects.toMatchObject({ code: 'LOG_UNREADABLE', message: expect.stringMatching(message) });
  });
});

const MAPPING = `version: 1
name: test
slot: home
traits:
  age: { column: age, as: integer }
  isMember: { column: member, as: boolean }
  city: { column: city, values: { SH: Shanghai } }
context:
  hour: { column: at, as: hour }
  weekday: { column: at, as: weekday }
action: { column: arm, values: { A: offer-a, B: offer-b } }
propensity: { column: p }
rewards:
  - { name: click, column: click, event: click }
  - { name: spend, column: spend, event: purchase, currency: EUR, minorUnits: 100 }
`;

describe('mapping', () => {
  it('mapping: every file of mappings/ is sound and names actions and slot of its catalog', () => {
    const names = readdirSync('mappings').filter((name) => name.endsWith('.yaml'));
    expect(names.length).toBeGreaterThanOrEqual(3);
    for (const name of names) {
      const mapping = readMappingFile(join('mappings', name));
      const catalog = compileCatalog(readFileSync(mapping.catalog ?? '', 'utf8'), name);
      expect(catalog.slotByKey.has(mapping.slot ?? ''), name).toBe(true);
      for (const action of mapping.actionValues?.values() ?? []) expect(catalog.actionByKey.has(action)).toBe(true);
      for (const trait of mapping.traits) expect(catalog.traitByName.has(trait.name), trait.name).toBe(true);
      if (mapping.actionValues === null) {
        for (const action of catalog.actions) expect(action.key).toMatch(/^item-\d+$/);
      }
    }
  });

  it.each<[string, (text: string) => string, RegExp]>([
    ['not YAML', () => 'a: [', /m\.yaml:\d+:\d+: is not valid YAML/],
    ['empty', () => '', /must be a map/],
    ['a list', () => '- a', /must be a map/],
    ['another version', (text) => text.replace('version: 1', 'version: 2'), /m\.yaml:1:1: version must be 1/],
    ['a misspelt key', (text) => text.replace('slot:', 'slott:'), /:3:1: slott is no key here; did you mean slot\?/],
    ['no name', (text) => text.replace('name: test\n', ''), /needs name/],
    ['no action', (text) => text.replace(/action:.*\n/, ''), /needs action/],
    ['no rewards', (text) => text.replace(/rewards:\n.*\n.*\n/, 'rewards: []\n'), /rewards needs at least one/],
    [
      'no propensity',
      (text) => text.replace('propensity: { column: p }', 'propensity: {}'),
      /either column or constant/,
    ],
    ['two propensities', (text) => text.replace('{ column: p }', '{ column: p, constant: 0.5 }'), /either column or/],
    ['propensity 0', (text) => text.replace('{ column: p }', '{ constant: 0 }'), /constant must be in \(0, 1\]/],
    ['propensity 1.1', (text) => text.replace('{ column: p }', '{ constant: 1.1 }'), /constant must be in \(0, 1\]/],
    ['an unknown form', (text) => text.replace('as: integer', 'as: int'), /age\.as must be one of text, integer/],
    ['values and template', (text) => text.replace('arm, values', 'arm, template: "a-{}", values'), /one is enough/],
    ['a template without place', (text) => text.replace(/values: \{ A.*B: offer-b \}/, 'template: a'), /needs \{\}/],
    ['money without its unit', (text) => text.replace(', minorUnits: 100', ''), /currency and minorUnits go together/],
    ['money without an event', (text) => text.replace('event: purchase, ', ''), /needs an event/],
    ['a number as a column', (text) => text.replace('column: arm', 'column: 3'), /action\.column must be a text/],
    ['another format', (text) => text.replace('slot: home', 'log: { format: json }'), /only csv is read/],
    ['a long delimiter', (text) => text.replace('slot: home', 'log: { delimiter: "||" }'), /one character/],
  ])('mapping: refuses %s with its place', (_, change, message) => {
    const parse = (): ReplayMapping => parseMapping(change(MAPPING), 'm.yaml');
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ code: 'MAPPING_INVALID' }));
  });

  it('mapping: the example of docs/REPLAY.md is sound', () => {
    const text = readFileSync('docs/REPLAY.md', 'utf8');
    const example = /\n( {4}version: 1\n[\s\S]*?)\n\n/.exec(text)?.[1]?.replace(/^ {4}/gm, '') ?? '';
    expect(parseMapping(example, 'REPLAY.md')).toMatchObject({ personColumn: 'customer_id', rewards: { length: 3 } });
  });

  it('mapping: a file that is not there is MAPPING_INVALID', () => {
    expect(() => readMappingFile(join(folder, 'none.yaml'))).toThrow(/none\.yaml cannot be read \(ENOENT\)/);
  });
});

const HEADER = ['age', 'member', 'city', 'at', 'arm', 'p', 'click', 'spend'];
const GOOD = {
  age: '40',
  member: '1',
  city: 'SH',
  at: '2019-11-24 23:30:00',
  arm: 'A',
  p: '.25',
  click: '1',
  spend: '2.5',
};

function readRow(cells: Partial<Record<keyof typeof GOOD, string>>): ReturnType<RowReader['read']> {
  const reader = new RowReader(parseMapping(MAPPING, 'm.yaml'), new Map(HEADER.map((name, index) => [name, index])));
  const row: Readonly<Record<string, string>> = { ...GOOD, ...cells };
  return reader.read({ line: 2, fields: HEADER.map((name) => row[name] ?? '') }, 7);
}

describe('logged row', () => {
  it('logged row: cells become traits, context, action, propensity and rewards', () => {
    expect(readRow({})).toEqual({
      index: 7,
      person: '7',
      traits: { age: 40, isMember: true, city: 'Shanghai' },
      // UTC whatever the machine's zone; 24 November 2019 was a Sunday.
      context: { hour: 23, weekday: 6 },
      action: 'offer-a',
      propensity: 0.25,
      rewards: [1, 2.5],
    });
  });

  it('logged row: empty cells of traits and context are left out, values not listed kept', () => {
    expect(readRow({ age: '', at: ' ', city: 'Bern' })).toMatchObject({
      traits: { isMember: true, city: 'Bern' },
      context: {},
    });
  });

  it('logged row: an offset is honoured', () => {
    expect(readRow({ at: '2019-11-24T23:30:00+02:00' })).toMatchObject({ context: { hour: 21 } });
  });

  it.each<[Partial<typeof GOOD>, RegExp]>([
    [{ arm: '' }, /arm is empty/],
    [{ arm: 'C' }, /arm is "C", which the mapping does not list/],
    [{ p: '0' }, /p is not in \(0, 1\]/],
    [{ p: '' }, /p is not in/],
    [{ p: '1.0001' }, /p is not in/],
    [{ p: 'NaN' }, /p is not in/],
    [{ click: 'yes' }, /click is "yes", not a number/],
    [{ click: '' }, /click is "", not a number/],
    [{ spend: 'Infinity' }, /spend is "Infinity"/],
    [{ spend: '0x10' }, /spend is "0x10"/],
    [{ age: '4.5' }, /age is "4.5", not an integer/],
    [{ member: 'maybe' }, /member is "maybe", not a boolean/],
    [{ at: 'noon' }, /at is "noon", not an instant/],
  ])('logged row: %j makes the row unusable', (cells, reason) => {
    expect(readRow(cells)).toMatch(reason);
  });

  it('logged row: a column the log lacks is an error that lists what it has', () => {
    const read = (): RowReader => new RowReader(parseMapping(MAPPING, 'm.yaml'), new Map([['arm', 0]]));
    expect(read).toThrow(/no column "click"/);
    expect(read).toThrow(expect.objectContaining({ advice: 'It has arm.' }));
  });
});

describe('row source', () => {
  const mapping = parseMapping(MAPPING, 'm.yaml');
  const line = (person: number, arm = 'A'): string => `${person % 100},1,SH,2019-11-24,${arm},.5,0,0`;
  const rows = Array.from({ length: 200 }, (_, n) => line(n));
  const path = file('rows.csv', `${HEADER.join(',')}\n${rows.join('\n')}\n`);
  const source = (options: Partial<ConstructorParameters<typeof RowSource>[0]> = {}): RowSource =>
    new RowSource({ path, mapping, passes: 3, seed: 1, isShuffled: false, rowsMax: Infinity, ...options });
  const order = async (of: RowSource, pass: number): Promise<number[]> =>
    (await all(of.pass(pass))).map(({ index }) => index);
  const inOrder = Array.from({ length: 200 }, (_, n) => n);

  it('row source: file order first, then an order of its own a pass, the same for the same seed', async () => {
    const one = source();
    const [first, second, third] = [await order(one, 1), await order(one, 2), await order(one, 3)];
    expect(first).toEqual(inOrder);
    expect(second).not.toEqual(inOrder);
    expect(third).not.toEqual(second);
    expect([...second].sort((a, b) => a - b)).toEqual(inOrder);
    expect([...third].sort((a, b) => a - b)).toEqual(inOrder);
    const again = source();
    await order(again, 1);
    expect(await order(again, 2)).toEqual(second);
    const other = source({ seed: 2 });
    await order(other, 1);
    expect(await order(other, 2)).not.toEqual(second);
  });

  it('row source: shuffles the first pass when asked, and respects the limit', async () => {
    expect(await order(source({ isShuffled: true }), 1)).not.toEqual(inOrder);
    expect(await order(source({ rowsMax: 5, passes: 1 }), 1)).toEqual([0, 1, 2, 3, 4]);
  });

  it('row source: counts rows it cannot use once, with line and reason of the first', async () => {
    const text = `${HEADER.join(',')}\n${line(1)}\n${line(2, 'C')}\n${line(3, '')}\n${line(4)}\n`;
    const mixed = source({ path: file('mixed.csv', text) });
    expect(await order(mixed, 1)).toEqual([0, 3]);
    expect((await order(mixed, 2)).sort()).toEqual([0, 3]);
    expect(mixed.skippedRows).toBe(2);
    expect(mixed.skippedReason).toBe('line 3: arm is "C", which the mapping does not list');
  });
});
