/** One row by its mapping: what is sent, what is skipped, and why others are not taken. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ExportRow } from '../../../server/import/export-rows.ts';
import { type ImportMapping, readImportMapping } from '../../../server/import/import-mapping.ts';
import { type ImportRow, readRow } from '../../../server/import/import-row.ts';
import { temporaryFolder } from '../running-node.ts';

const folder = temporaryFolder('import-row');

function mappingOf(text: string): ImportMapping {
  const path = join(folder, 'mapping.yaml');
  writeFileSync(path, `version: 1\nname: test\nprofile: { column: key }\n${text}`);
  return readImportMapping(path);
}

function rowOf(cells: Readonly<Record<string, string>>, origin = 2): ExportRow {
  return { line: origin, origin, size: 0, problem: null, cellOf: (column) => cells[column], content: () => cells };
}

const eventOf = (mapping: ImportMapping, row: ExportRow): NonNullable<ImportRow['event']> => {
  const read = readRow(mapping, row);
  if (read === null || typeof read === 'string' || read.event === null) throw new Error(`no event: ${String(read)}`);
  return read.event;
};

describe('decimal comma', () => {
  const euro = mappingOf('traits: { v: { column: v, type: money, currency: EUR, decimalComma: true } }');
  const number = mappingOf('traits: { v: { column: v, type: number, decimalComma: true } }');
  const integer = mappingOf('traits: { v: { column: v, type: integer, decimalComma: true } }');

  it.each<[string, number | RegExp]>([
    ['1.234,50', 123_450],
    ['1234,50', 123_450],
    ['19,99', 1999],
    ['1234', 123_400],
    ['1.234.567,8', 123_456_780],
    ['1.234.567', 123_456_700],
    ['-1.234,50', -123_450],
    ['19.99', /^v: is no money with a decimal comma$/],
    ['1.234', /^v: could be a grouped or a decimal number/],
    ['12.34,50', /decimal comma/],
    ['1.2345,50', /decimal comma/],
    ['1,234.50', /decimal comma/],
    ['1.234,', /decimal comma/],
    [',50', /decimal comma/],
    ['1,2,3', /decimal comma/],
    ['1234.567,00', /decimal comma/],
  ])('decimal comma: money %j', (v, expected) => {
    const read = readRow(euro, rowOf({ key: 'a', v }));
    if (typeof expected === 'number') expect(read).toMatchObject({ traits: { v: expected } });
    else expect(read).toMatch(expected);
  });

  it('decimal comma: of an integer a group is no fraction', () => {
    expect(readRow(integer, rowOf({ key: 'a', v: '1.234' }))).toMatchObject({ traits: { v: 1234 } });
    expect(readRow(integer, rowOf({ key: 'a', v: '1,5' }))).toBe('v: is no integer');
    expect(readRow(number, rowOf({ key: 'a', v: '1.234' }))).toMatch(/grouped or a decimal/);
    expect(readRow(number, rowOf({ key: 'a', v: '-0' }))).toMatchObject({ traits: { v: 0 } });
  });

  it('decimal comma: any amount comes back as it was formatted', () => {
    const format = new Intl.NumberFormat('de', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    fc.assert(
      fc.property(fc.integer({ min: -1e11, max: 1e11 }), (minor) => {
        expect(readRow(euro, rowOf({ key: 'a', v: format.format(minor / 100) }))).toMatchObject({
          traits: { v: minor },
        });
      }),
      { seed: 14 },
    );
  });
});

describe('instants', () => {
  const at = (time: string, text: string): unknown => {
    const read = readRow(
      mappingOf(`event: { name: view, time: { column: at, ${time} } }`),
      rowOf({ key: 'a', at: text }),
    );
    return typeof read === 'object' ? read?.event?.atEpochMillis : read;
  };

  it.each<[string, string, number | RegExp]>([
    ['format: iso', '2026-11-01 10:00:00', Date.UTC(2026, 10, 1, 10)],
    ['format: iso', '2026-11-01', Date.UTC(2026, 10, 1)],
    ['format: iso', '2026-11-01T10:00:00+02:00', Date.UTC(2026, 10, 1, 8)],
    ['format: iso', '2026-02-30', /^at: is no instant \(iso\)$/],
    ['format: iso', '2026-02-30T10:00:00Z', /no instant/],
    ['format: iso', '2026-11-01 25:00', /no instant/],
    ['format: iso', '', /no instant/],
    ['format: iso', '1969-12-31', /no instant/],
    ['offset: "+01:00"', '2026-11-01', Date.UTC(2026, 9, 31, 23)],
    ['offset: "-05:30"', '2026-11-01T00:00', Date.UTC(2026, 10, 1, 5, 30)],
    ['offset: "+01:00"', '2026-11-01T00:00Z', Date.UTC(2026, 10, 1)],
    // Summer time in Berlin ends on 25 October 2026 and begins on 29 March.
    ['zone: Europe/Berlin', '2026-07-01 12:00:00', Date.UTC(2026, 6, 1, 10)],
    ['zone: Europe/Berlin', '2026-12-01 12:00:00', Date.UTC(2026, 11, 1, 11)],
    ['zone: Europe/Berlin', '2026-10-25 02:30:00', Date.UTC(2026, 9, 25, 0, 30)],
    ['zone: Europe/Berlin', '2026-10-25T02:30:00+01:00', Date.UTC(2026, 9, 25, 1, 30)],
    ['zone: Europe/Berlin', '2026-03-29 02:30:00', /^at: is no instant \(iso, Europe\/Berlin\)$/],
    ['zone: Europe/Berlin', '2026-03-29 03:00:00', Date.UTC(2026, 2, 29, 1)],
    ['format: dmy', '26.11.2026 18:03', Date.UTC(2026, 10, 26, 18, 3)],
    ['format: dmy, zone: Europe/Berlin', '1/7/2026 12:00:00', Date.UTC(2026, 6, 1, 10)],
    ['format: dmy', '26.11.2026', Date.UTC(2026, 10, 26)],
    ['format: dmy', '11/26/2026', /^at: is no instant \(dmy\)$/],
    ['format: dmy', '30.02.2026', /no instant/],
    ['format: dmy', '26.11.26', /no instant/],
    ['format: dmy', '2026-11-26', /no instant/],
    ['format: mdy', '11/26/2026 18:03', Date.UTC(2026, 10, 26, 18, 3)],
    ['format: mdy', '26/11/2026', /no instant/],
    ['format: epochSeconds', '1764000000', 1_764_000_000_000],
    ['format: epochMillis', '1764000000000', 1_764_000_000_000],
    ['format: epochMillis', '-1', /no instant/],
    ['format: epochSeconds', '9999999999999999', /no instant/],
  ])('instants: %s reads %j', (time, text, expected) => {
    const read = at(time, text);
    if (typeof expected === 'number') expect(read).toBe(expected);
    else expect(read).toMatch(expected);
  });

  it.each([
    ['zone: Europe/Berlni', /time\.zone.*IANA/],
    ['zone: "+01:00"', /time\.zone.*IANA/],
    ['zone: UTC, offset: "+01:00"', /not both/],
    ['offset: "+99:00"', /offset/],
    ['offset: "+01:75"', /offset/],
  ])('instants: %s is refused before the first row', (time, message) => {
    expect(() => mappingOf(`event: { name: view, time: { column: at, ${time} } }`)).toThrow(message);
  });
});

describe('names', () => {
  it('names: rows that say the same are two events, and each keeps its name when imported again', () => {
    const mapping = mappingOf('event: { name: view }');
    const idAt = (line: number, cells = { key: 'a', page: '/' }): string =>
      eventOf(mapping, rowOf(cells, line)).messageId;
    expect(idAt(2)).not.toBe(idAt(3));
    expect(idAt(2)).toBe(idAt(2));
    expect(idAt(2, { key: 'a', page: '/x' })).not.toBe(idAt(2));
    const other = { ...mapping, name: 'another mapping of the same file' };
    expect(eventOf(other, rowOf({ key: 'a', page: '/' })).messageId).not.toBe(idAt(2));
  });

  it('names: a value that objects inherit is no replacement, and a replaced name of an event is', () => {
    const mapping = mappingOf(
      'traits: { v: { column: v, values: { A: gold } } }\nevent: { name: { column: kind, values: { S: purchase } } }',
    );
    for (const v of ['constructor', 'toString', '__proto__'])
      expect(readRow(mapping, rowOf({ key: 'a', v, kind: v }))).toMatchObject({ traits: { v }, event: { event: v } });
    expect(readRow(mapping, rowOf({ key: 'a', v: 'A', kind: 'S' }))).toMatchObject({
      traits: { v: 'gold' },
      event: { event: 'purchase' },
    });
  });

  it.each([
    ['', /nobody's row/],
    ['x'.repeat(257), /256 bytes/],
    ['ü'.repeat(129), /256 bytes/],
    ['a\0b', /NUL/],
  ])('names: the key %j is refused', (key, reason) => {
    expect(readRow(mappingOf('event: { name: view }'), rowOf({ key }))).toMatch(reason);
  });
});

it('a mapping: a delimiter that would be a quote or a break is refused', () => {
  for (const delimiter of ['"\\""', '"\\n"', '"\\r"', '";;"'])
    expect(() => mappingOf(`delimiter: ${delimiter}\nevent: { name: view }`)).toThrow(/delimiter/);
});

describe('when traits were told', () => {
  const mapping = mappingOf(
    'traits: { v: { column: v } }\ntold: { column: updated, format: dmy, zone: Europe/Berlin }',
  );

  it('is read as the time of an event is, and a row without it is named', () => {
    expect(readRow(mapping, rowOf({ key: 'a', v: 'x', updated: '26.11.2026 18:03' }))).toEqual({
      ...{ profile: 'a', traits: { v: 'x' }, event: null },
      toldAtEpochMillis: Date.UTC(2026, 10, 26, 17, 3),
    });
    for (const updated of ['', 'yesterday', '30.02.2026 10:00'])
      expect(readRow(mapping, rowOf({ key: 'a', v: 'x', updated }))).toBe(
        'updated: is no instant (dmy, Europe/Berlin)',
      );
    expect(() => mappingOf('event: { name: e }\ntold: { column: updated }')).toThrow(
      /told: says when traits were told/,
    );
  });
});
