// biome-ignore-all lint/suspicious/noTemplateCurlyInString: sources that are scanned, not texts to fill in
import { describe, expect, it } from 'vitest';
import { scanSource } from './source-scan.ts';

const specifiers = (text: string): (string | null)[] => scanSource(text).references.map(({ specifier }) => specifier);

describe('scanSource', () => {
  it.each([
    ["import a from './a.ts';", ['./a.ts']],
    ['import { b, type B } from "b";', ['b']],
    ["import type { C } from './c.ts';", ['./c.ts']],
    ["import * as d from 'd';", ['d']],
    ["import './e.ts';", ['./e.ts']],
    ["export { f } from './f.ts';", ['./f.ts']],
    ["export * from './g.ts';", ['./g.ts']],
    ["export type { H } from './h.ts';", ['./h.ts']],
    ["const i = await import('./i.ts');", ['./i.ts']],
    ["const j = import(/* why */ './j.ts');", ['./j.ts']],
    ["let k: import('./k.ts').K;", ['./k.ts']],
    ["import {\n  l,\n  m,\n} from './l.ts';", ['./l.ts']],
    ["import n, { o } from 'n'; import p from 'p';", ['n', 'p']],
    ["import{q}from'q'", ['q']],
    ["import type from './type.ts';", ['./type.ts']],
    ['const r = import(name);', [null]],
    ['const s = import(`./${name}.ts`);', [null]],
  ])('scanSource: finds what is named when the source is %j', (text, expected) => {
    expect(specifiers(text)).toEqual(expected);
  });

  it.each([
    ["// import a from './a.ts'"],
    ["/* import a from './a.ts' */"],
    [`const text = "import a from './a.ts'";`],
    ["const text = `import a from './a.ts'`;"],
    ['const folder = import.meta.dirname;'],
    ["export const from = 'x';"],
    ["export function imports(): string { return 'from'; }"],
    ["const pattern = /import 'a'/;"],
    ["object.import('a').export('b') as from;".replace('object.import', 'object.imports')],
  ])('scanSource: names nothing when the source is %j', (text) => {
    expect(specifiers(text)).toEqual([]);
  });

  it('scanSource: tells types from values, and gives the line', () => {
    const text = "// first\nimport type { A } from './a.ts';\nimport { type B, c } from './b.ts';\n";
    expect(scanSource(text).references).toEqual([
      { specifier: './a.ts', line: 2, isTypeOnly: true },
      { specifier: './b.ts', line: 3, isTypeOnly: false },
    ]);
  });

  it.each([
    ['a // b\nc', 'a     \nc'],
    ['a /* b\nc */ d', 'a     \n     d'],
    ["f('a\\'b', 1)", "f('    ', 1)"],
    ['`a ${ b } c` + d', '`   { b }  ` + d'],
    ['`${`x ${y}`}z`;w', '` {`   {y}`} `;w'],
    ['`${{ a: 1 }.a} b`;c', '` {{ a: 1 }.a}  `;c'],
    ['x = /[\'"]/.test(y) / 2 / z', 'x = /    /.test(y) / 2 / z'],
    ['x = /[/\\]]/g; y', 'x = /     /g; y'],
    ["return /'/.exec(a)", 'return / /.exec(a)'],
    ["'open\nnext", "'    \nnext"],
    ['', ''],
  ])('scanSource: leaves only code when the source is %j', (text, code) => {
    expect(scanSource(text).code).toBe(code);
    expect(scanSource(text).code).toHaveLength(text.length);
  });
});
