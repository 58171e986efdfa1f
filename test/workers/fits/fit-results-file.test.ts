/** The results' file: bit for bit what was written, damage is told and never read, and a failed write changes nothing. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { FactName } from '../../../decision/facts.ts';
import { type FitResults, readFitResults, writeFitResults } from '../../../workers/fits/fit-results-file.ts';
import { temporaryFolder } from '../../server/running-node.ts';

const RESULTS: FitResults = {
  info: {
    fit: 1_790_000_000,
    fittedAtEpochMillis: 1_790_000_000_123,
    people: 3,
    models: { churn: { fittedAtEpochMillis: 1, isUsed: true, note: 'ünïcode', people: 3 } },
    segments: [{ name: 's1', people: 2, centre: [1, 2, 3] }],
    related: { camera: [['tripod', 0.5]] },
  },
  rows: {
    fit: 1_790_000_000,
    keys: Uint32Array.from([255, 1, 2, 3, 0, 0xffffffff, 5, 6, 7, 8, 9, 10]),
    columns: new Map<FactName, Float64Array>([
      ['churnProbability', Float64Array.from([0.25, Number.NaN, 1])],
      ['segment', Float64Array.from([0, 7, Number.NaN])],
    ]),
  },
};
const written = (): { path: string; bytes: Buffer } => {
  const path = join(temporaryFolder('results'), 'fit', 'results');
  writeFitResults(path, RESULTS);
  return { path, bytes: readFileSync(path) };
};

/** As a later program would write it, its header whole. */
function ofFormat(bytes: Buffer, version: number): Buffer {
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
  return bytes;
}

describe('fit results file', () => {
  it('fit results file: is read as it was written', () => {
    expect(readFitResults(written().path)).toEqual(RESULTS);
  });

  it('fit results file: of nobody and of no file', () => {
    const path = join(temporaryFolder('results'), 'results');
    expect(readFitResults(path)).toBeNull();
    const empty = {
      info: { ...RESULTS.info, people: 0 },
      rows: { fit: 1_790_000_000, keys: new Uint32Array(0), columns: new Map<FactName, Float64Array>() },
    };
    writeFitResults(path, empty);
    expect(readFitResults(path)).toEqual(empty);
  });

  it.each([
    ['an empty file', () => Buffer.alloc(0), 'have 0 bytes'],
    ['another file', () => Buffer.alloc(100, 'x'), 'do not begin like'],
    ['a later format', (bytes: Buffer) => ofFormat(bytes, 9), 'have format 9, and this program reads 1'],
    ['a cut file', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1), 'behind the header instead of'],
  ])('fit results file: %s is told and not read', (_, change, text) => {
    const { path, bytes } = written();
    writeFileSync(path, change(bytes));
    expect(readFitResults(path)).toContain(text);
  });

  it('fit results file: a flipped bit anywhere is told', () => {
    const { path, bytes } = written();
    for (let at = 0; at < bytes.length; at++) {
      if (at >= 36 && at < 40) continue; // four bytes of padding
      bytes[at] = (bytes[at] as number) ^ 4;
      writeFileSync(path, bytes);
      expect([at, typeof readFitResults(path)]).toEqual([at, 'string']);
      bytes[at] = (bytes[at] as number) ^ 4;
    }
  });

  it('fit results file: a folder in the place of the new file fails the write and leaves the results', () => {
    const { path, bytes } = written();
    mkdirSync(`${path}.writing`);
    expect(() => writeFitResults(path, RESULTS)).toThrow('EISDIR');
    expect(readFileSync(path)).toEqual(bytes);
  });
});
