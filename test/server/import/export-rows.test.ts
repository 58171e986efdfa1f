/** Exports as rows: what is read, what is told of rows that cannot be, and what refuses a whole file. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { ExportError, type ExportRow, readExport } from '../../../server/import/export-rows.ts';
import { temporaryFolder } from '../running-node.ts';

const folder = temporaryFolder('export-rows');

async function rowsOf(name: string, content: string | Uint8Array, columns: string[] = []): Promise<ExportRow[]> {
  const path = join(folder, name);
  writeFileSync(path, content);
  const rows: ExportRow[] = [];
  for await (const some of readExport(path, ',', columns, () => undefined)) rows.push(...some);
  return rows;
}
const said = (rows: readonly ExportRow[]): unknown[] =>
  rows.map((row) => [row.line, row.origin, row.problem ?? row.cellOf('a'), row.content()]);

it('CSV: bytes that are no UTF-8 and quotes that are no CSV cost the row they are in', async () => {
  const bytes = Buffer.concat([
    Buffer.from('\uFEFFa,b\r\n1,ü\r\n2,'),
    Uint8Array.of(0xfc),
    Buffer.from('\r\n3,"x"y\r\n4,\uFFFD\r\n5\r\n6,"two\r\nlines"\r\n'),
  ]);
  expect(said(await rowsOf('bad.csv', bytes))).toEqual([
    [2, 2, '1', { a: '1', b: 'ü' }],
    [3, 3, 'is not UTF-8', '2,\uFFFD'],
    [4, 4, 'has text behind a closing quote', '3,"x"y\r'],
    [5, 5, '4', { a: '4', b: '\uFFFD' }],
    [6, 6, 'has 1 fields, the header 2', ['5']],
    [7, 7, '6', { a: '6', b: 'two\r\nlines' }],
  ]);
});

it('NDJSON: a line that is none costs itself only', async () => {
  const bytes = Buffer.concat([Buffer.from('{"a":1}\n'), Uint8Array.of(0xff), Buffer.from('\n\n[1]\n{"a":{"b":2}}')]);
  const rows = await rowsOf('bad.ndjson', bytes);
  expect(said(rows).map((row) => (row as unknown[]).slice(0, 3))).toEqual([
    [1, 1, '1'],
    [2, 2, 'is not UTF-8'],
    [4, 4, 'is not a map'],
    [5, 5, undefined],
  ]);
  expect(rows[3]?.cellOf('a.b')).toBe('2');
  expect(rows[3]?.cellOf('a.constructor')).toBeUndefined();
});

it('rejects: a line is the row that stands in it, of the line it had', async () => {
  const lines = [
    { line: 7, reason: 'r', row: { a: '1', 'user.id': 'u' } },
    { line: 9, reason: 'r', row: '{"a":"2"}' },
    { line: 11, reason: 'r', row: '3,"x"y' },
    { line: 13, reason: 'r', row: ['5'] },
    { reason: 'no row' },
  ];
  const rows = await rowsOf('orders.csv.rejects.ndjson', lines.map((line) => JSON.stringify(line)).join('\n'));
  expect(said(rows)).toEqual([
    [1, 7, '1', { a: '1', 'user.id': 'u' }],
    [2, 9, '2', { a: '2' }],
    [3, 11, expect.stringMatching(/write its "row" as a map/), '3,"x"y'],
    [4, 13, expect.stringMatching(/write its "row" as a map/), '["5"]'],
    [5, 5, expect.stringMatching(/no line of a file of rejects/), '{"reason":"no row"}'],
  ]);
  expect(rows[0]?.cellOf('user.id')).toBe('u');
});

it('a header: an absent column is named with the nearest, a column twice is refused, before any row', async () => {
  await expect(rowsOf('absent.csv', 'order_id,custmer_id\n1,2\n', ['customer_id'])).rejects.toMatchObject({
    code: 'COLUMN_ABSENT',
    message: expect.stringMatching(/no column "customer_id".*did you mean "custmer_id"\?$/),
  });
  await expect(rowsOf('semicolons.csv', 'a;b\n1;2\n', ['a'])).rejects.toMatchObject({
    code: 'COLUMN_ABSENT',
    advice: expect.stringMatching(/delimiter/),
  });
  await expect(rowsOf('twice.csv', 'a,b,a\n1,2,3\n', ['a'])).rejects.toMatchObject({
    code: 'COLUMN_TWICE',
    message: expect.stringMatching(/two columns "a"/),
  });
});

it('a file that breaks off is an ExportError behind the rows before it; mistakes of ours are not', async () => {
  const text = `a\n${Array.from({ length: 50_000 }, (_, i) => i * 7919).join('\n')}\n`;
  await expect(rowsOf('cut.csv.gz', gzipSync(text).subarray(0, 20_000), ['a'])).rejects.toBeInstanceOf(ExportError);
  const mistake = rowsOf('mistake.csv', 'a\n1\n', [{} as string]); // a column that is no text, as only a mistake gives
  await expect(mistake).rejects.toThrow(TypeError);
});
