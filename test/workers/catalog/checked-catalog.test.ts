import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadCatalogText } from '../../../workers/catalog/catalog-file.ts';
import { compileCatalogSource } from '../../../workers/catalog/catalog-source.ts';
import { type KeptCatalog, keep, readKept } from '../../../workers/catalog/checked-catalog.ts';
import { readZones } from '../../../workers/zone-table.ts';
import { DOCUMENTED_EXAMPLE } from './documented-example.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-checked-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'catalog.checked');
const PROGRAM = 'opportune/1.2.3';

function kept(): KeptCatalog {
  const source = loadCatalogText(DOCUMENTED_EXAMPLE, 'shop.yaml');
  return { source, zones: readZones([source.file.timeZone]) };
}

describe('a kept catalog', () => {
  it('readKept: gives what was kept, rules and zone included, when nothing has changed', () => {
    keep(path, kept(), PROGRAM);
    const read = readKept(path, DOCUMENTED_EXAMPLE, 'shop.yaml', PROGRAM);
    expect(read).toEqual(kept());
    expect(read?.zones[0]?.transitions.length).toBeGreaterThan(0);
    const rules = compileCatalogSource((read as KeptCatalog).source).actions.map(
      (action) => action.eligibility?.source,
    );
    expect(rules).toEqual(compileCatalogSource(kept().source).actions.map((action) => action.eligibility?.source));
    expect(rules.some((rule) => rule !== undefined)).toBe(true);
  });

  it.each([
    ['one byte of the text differs', `${DOCUMENTED_EXAMPLE}#`, 'shop.yaml', PROGRAM],
    ['the file has another name', DOCUMENTED_EXAMPLE, 'other.yaml', PROGRAM],
    ['the program is another version', DOCUMENTED_EXAMPLE, 'shop.yaml', 'opportune/1.2.4'],
  ])('readKept: gives nothing when %s', (_, text, fileName, program) => {
    keep(path, kept(), PROGRAM);
    expect(readKept(path, text, fileName, program)).toBeNull();
  });

  it('readKept: gives nothing when any byte is damaged, the file is cut, empty, or not there', () => {
    keep(path, kept(), PROGRAM);
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at += 97) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ 4;
      writeFileSync(path, damaged);
      expect(readKept(path, DOCUMENTED_EXAMPLE, 'shop.yaml', PROGRAM)).toBeNull();
    }
    for (const length of [0, 31, 32, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      expect(readKept(path, DOCUMENTED_EXAMPLE, 'shop.yaml', PROGRAM)).toBeNull();
    }
    expect(readKept(join(folder, 'none'), DOCUMENTED_EXAMPLE, 'shop.yaml', PROGRAM)).toBeNull();
  });

  it('keep: says nothing when it cannot write', () => {
    expect(() => keep(join(folder, 'no', 'such', 'folder'), kept(), PROGRAM)).not.toThrow();
  });
});
