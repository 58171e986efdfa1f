import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ModelSnapshot,
  previousSnapshotPath,
  readModelSnapshot,
  snapshotInput,
  writeModelSnapshot,
} from '../../../workers/jobs/model-snapshot-file.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

/** A snapshot whose first weight is `mark`. */
function snapshotOf(mark: number): ModelSnapshot {
  const response = new SharedArrayBuffer(4096 * 8);
  const weights = new Float64Array(response);
  for (let i = 0; i < weights.length; i++) weights[i] = i % 2 === 0 ? Math.sin(i) : 1 + i;
  weights[0] = mark;
  return {
    state: {
      response,
      parts: Uint32Array.of(0xffff_fff0, 1, 7),
      demand: new Map([
        [7, Float64Array.of(1, -0, Number.MIN_VALUE, Number.MAX_VALUE, 0.1)],
        [0xffff_ffff, new Float64Array(0)],
      ]),
      weeks: new Map([[3, Float64Array.from({ length: 168 }, (_, hour) => hour / 7)]]),
      zones: new Map(),
      gaps: new Map([[0, Float64Array.of(3, 4.5)]]),
      linear: new Map([[5, Float64Array.of(0.5, -2)]]),
      cross: new Map([[9, Float64Array.of(0.5)]]),
    },
    positions: [
      { epoch: 4_000_000_000, stream: 1, batch: 77 },
      { epoch: 2, stream: 0, batch: 1 },
    ],
    modelEpoch: 12,
    round: 0,
  };
}

function bits(buffer: ArrayBuffer | SharedArrayBuffer): Buffer {
  return Buffer.from(new Uint8Array(buffer));
}

function markOf(snapshot: ModelSnapshot | null | undefined): number {
  return snapshot === null || snapshot === undefined ? Number.NaN : (new Float64Array(snapshot.state.response)[0] ?? 0);
}

function freshPath(): string {
  return join(temporaryFolder(), 'model');
}

describe('model snapshot file', () => {
  it('model snapshot: null where none was ever written', () => {
    expect(readModelSnapshot(freshPath())).toBeNull();
  });

  it('model snapshot: comes back bit for bit', () => {
    const path = freshPath();
    const given = snapshotOf(0.1);
    // A NaN with a payload: copied as bytes, not as a number.
    new Uint32Array(given.state.response)[5] = 0x7ff80001;
    const written = writeModelSnapshot(snapshotInput(path, given));
    expect(written).toEqual({ path, fileBytes: readFileSync(path).length });
    const read = readModelSnapshot(path);
    expect(read?.damage).toEqual([]);
    expect(bits(read?.snapshot?.state.response ?? new ArrayBuffer(0))).toEqual(bits(given.state.response));
    for (const part of ['parts', 'demand', 'weeks', 'zones', 'gaps', 'linear', 'cross'] as const)
      expect(read?.snapshot?.state[part]).toEqual(given.state[part]);
    expect(Object.is(read?.snapshot?.state.demand.get(7)?.[1], -0)).toBe(true);
    expect(read?.snapshot?.positions).toEqual(given.positions);
    expect(read?.snapshot?.modelEpoch).toBe(12);
  });

  it('model snapshot: an empty model is one too', () => {
    const path = freshPath();
    const empty = {
      path,
      response: new ArrayBuffer(0),
      parts: new Uint32Array(0),
      demand: [],
      weeks: [],
      zones: [],
      gaps: [],
      linear: [],
      cross: [],
      positions: [],
      modelEpoch: 0,
      round: 0,
    };
    writeModelSnapshot(empty);
    expect(readModelSnapshot(path)?.snapshot?.state.response.byteLength).toBe(0);
  });

  it('model snapshot: keeps the newest two and no other file', () => {
    const path = freshPath();
    for (const mark of [1, 2, 3]) writeModelSnapshot(snapshotInput(path, snapshotOf(mark)));
    expect(readdirSync(join(path, '..')).sort()).toEqual(['model', 'model.previous']);
    expect(markOf(readModelSnapshot(path)?.snapshot)).toBe(3);
    expect(markOf(readModelSnapshot(previousSnapshotPath(path))?.snapshot)).toBe(2);
  });

  const damages: readonly [string, (bytes: Buffer) => Buffer, RegExp][] = [
    ['an empty file', () => Buffer.alloc(0), /has 0 bytes/],
    ['half a header', (bytes) => bytes.subarray(0, 20), /has 20 bytes/],
    ['a cut body', (bytes) => bytes.subarray(0, bytes.length - 1), /instead of/],
    ['bytes behind the body', (bytes) => Buffer.concat([bytes, Buffer.of(0)]), /instead of/],
    ['another file', (bytes) => flipped(bytes, 0), /does not begin/],
    ['a flipped length', (bytes) => flipped(bytes, 17), /damaged header/],
    ['a flipped bit of the body', (bytes) => flipped(bytes, bytes.length >> 1), /damaged body/],
    ['a flipped last byte', (bytes) => flipped(bytes, bytes.length - 1), /damaged body/],
    ['zeros', (bytes) => Buffer.alloc(bytes.length), /does not begin/],
  ];

  it.each(damages)('model snapshot: %s is said, and the previous one is used', (_, damage, reason) => {
    const path = freshPath();
    for (const mark of [1, 2]) writeModelSnapshot(snapshotInput(path, snapshotOf(mark)));
    writeFileSync(path, damage(readFileSync(path)));
    const read = readModelSnapshot(path);
    expect(markOf(read?.snapshot)).toBe(1);
    expect(read?.damage).toHaveLength(1);
    expect(read?.damage[0]).toMatch(reason);
    expect(read?.damage[0]).toContain(path);
  });

  it('model snapshot: every single flipped bit of the header is noticed', () => {
    const path = freshPath();
    writeModelSnapshot(snapshotInput(path, snapshotOf(1)));
    const whole = readFileSync(path);
    for (let bit = 0; bit < 36 * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(path, bytes);
      expect(readModelSnapshot(path), `bit ${bit}`).toMatchObject({ snapshot: null });
    }
  });

  it('model snapshot: both damaged gives none and says so twice', () => {
    const path = freshPath();
    for (const mark of [1, 2]) writeModelSnapshot(snapshotInput(path, snapshotOf(mark)));
    for (const file of [path, previousSnapshotPath(path)]) writeFileSync(file, 'x');
    const read = readModelSnapshot(path);
    expect(read?.snapshot).toBeNull();
    expect(read?.damage).toHaveLength(2);
  });

  it('model snapshot: a crash between the two renames leaves the previous one', () => {
    const path = freshPath();
    writeModelSnapshot(snapshotInput(path, snapshotOf(1)));
    writeFileSync(previousSnapshotPath(path), readFileSync(path));
    writeFileSync(path, 'x');
    expect(markOf(readModelSnapshot(path)?.snapshot)).toBe(1);
  });

  it('model snapshot: a half written file of a crash is overwritten, never read', () => {
    const path = freshPath();
    writeFileSync(`${path}.writing`, 'half');
    expect(readModelSnapshot(path)).toBeNull();
    writeModelSnapshot(snapshotInput(path, snapshotOf(5)));
    expect(markOf(readModelSnapshot(path)?.snapshot)).toBe(5);
    expect(existsSync(`${path}.writing`)).toBe(false);
  });

  it('model snapshot: a folder that is not there is an error, not a silence', () => {
    const path = join(temporaryFolder(), 'missing', 'model');
    expect(() => writeModelSnapshot(snapshotInput(path, snapshotOf(1)))).toThrow(/ENOENT/);
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
