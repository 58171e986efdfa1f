/** How far an import is: noted whole, refused when it is of something else, and rejects held once each. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ImportPlace } from '../../../server/import/import-place.ts';
import { temporaryFolder } from '../running-node.ts';

const folder = temporaryFolder('import-place');

function fileOf(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, 'a\n1\n2\n3\n');
  return path;
}
const reject = (line: number): { line: number; reason: string; row: unknown } => ({ line, reason: 'r', row: { a: 1 } });

it('a place: goes on behind its note, with the rejects up to it and none twice', () => {
  const path = fileOf('one.csv');
  writeFileSync(`${path}.rejects.ndjson`, 'of an earlier import\n');
  const first = new ImportPlace(path, 'm');
  expect(readFileSync(first.rejectsPath, 'utf8')).toBe('of an earlier import\n');
  first.note(2, [reject(2)]);
  // Ended while the next rejects were written: they are not noted, and will come again.
  appendFileSync(first.rejectsPath, `${JSON.stringify(reject(3))}\n{"li`);
  const second = new ImportPlace(path, 'm');
  expect([second.line, second.hasRejects]).toEqual([2, true]);
  second.note(4, [reject(3)]);
  expect(readFileSync(second.rejectsPath, 'utf8')).toBe(`${JSON.stringify(reject(2))}\n${JSON.stringify(reject(3))}\n`);
  second.finish();
  expect(existsSync(`${path}.import.json`)).toBe(false);
  new ImportPlace(path, 'm').note(4, []);
  expect(existsSync(second.rejectsPath)).toBe(false);
});

it.each(['', '{', 'null', '[]', '{"line":1}', '{"line":"x","rejectsBytes":0,"sizeBytes":8,"digest":"","mapping":""}'])(
  'a place: the damaged note %j is named, with what to do',
  (note) => {
    const path = fileOf('damaged.csv');
    writeFileSync(`${path}.import.json`, note);
    expect(() => new ImportPlace(path, 'm')).toThrow(
      expect.objectContaining({
        code: 'NOTE_DAMAGED',
        advice: expect.stringMatching(/remove .*damaged.csv.import.json/),
      }),
    );
  },
);

it('a place: another file and another mapping are refused by name; a dry run looks at neither', () => {
  const path = fileOf('changed.csv');
  new ImportPlace(path, 'm').note(2, []);
  expect(() => new ImportPlace(path, 'other')).toThrow(expect.objectContaining({ code: 'MAPPING_CHANGED' }));
  expect(new ImportPlace(path, null).line).toBe(0);
  appendFileSync(path, '4\n');
  expect(() => new ImportPlace(path, 'm')).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }));
});

it('a place: what is no file is refused by name', () => {
  mkdirSync(join(folder, 'a-folder'));
  expect(() => new ImportPlace(join(folder, 'a-folder'), 'm')).toThrow(
    expect.objectContaining({ code: 'NO_FILE', message: expect.stringMatching(/is no file/) }),
  );
  expect(() => new ImportPlace(join(folder, 'nothing.csv'), 'm')).toThrow(expect.objectContaining({ code: 'NO_FILE' }));
});
