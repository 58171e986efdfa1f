import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JournalPosition } from '../../actors/store.ts';
import {
  basePositions,
  earlierOf,
  inheritedLedger,
  isAfter,
  readBase,
  readCheckpoint,
  writeBase,
  writeCatalogText,
  writeCheckpoint,
} from '../../workers/recovery.ts';
import { MemoryDisk, MemoryStore } from '../actors/memory-store.ts';

const at = (epoch: number, stream: number, batch: number): JournalPosition => ({ epoch, stream, batch });
const position = fc.record({
  epoch: fc.integer({ min: 1, max: 3 }),
  stream: fc.integer({ min: 0, max: 2 }),
  batch: fc.integer({ min: 1, max: 4 }),
});
/** At most one position a stream, as checkpoints are. */
const positions = fc.uniqueArray(position, { selector: ({ epoch, stream }) => `${epoch}:${stream}`, maxLength: 6 });
function store(): MemoryStore {
  return new MemoryStore(new MemoryDisk(), 1, 0);
}

describe('positions', () => {
  it('isAfter: at or behind the own stream’s position; another stream counts from the oldest epoch on', () => {
    const list = [at(2, 0, 5), at(2, 1, 1)];
    expect(
      [at(2, 0, 4), at(2, 0, 5), at(2, 1, 1), at(2, 7, 1), at(3, 0, 1), at(1, 0, 99)].map((p) => isAfter(list, p)),
    ).toEqual([false, true, true, true, true, false]);
    expect(isAfter([], at(1, 0, 1))).toBe(true);
  });

  it('isAfter: the store scans what is after, and nothing else', () => {
    fc.assert(
      fc.property(positions, fc.uniqueArray(position, { selector: (p) => JSON.stringify(p) }), (from, written) => {
        const disk = new MemoryDisk();
        for (const p of written) disk.journal.set(JSON.stringify(p), { position: p, bytes: new Uint8Array(1) });
        const visited: string[] = [];
        new MemoryStore(disk, 9, 0).scanJournal(from, ({ epoch, stream, batch }) =>
          visited.push(`${epoch}:${stream}:${batch}`),
        );
        const wanted = written.filter((p) => isAfter(from, p)).map((p) => `${p.epoch}:${p.stream}:${p.batch}`);
        expect(visited.sort()).toEqual(wanted.sort());
      }),
    );
  });

  it('earlierOf: misses nothing that is after either list', () => {
    fc.assert(
      fc.property(positions, positions, position, (a, b, p) => {
        if (isAfter(a, p) || isAfter(b, p)) expect(isAfter(earlierOf(a, b), p)).toBe(true);
      }),
      {
        numRuns: 2_000,
        // Checkpoints of the first epoch, a snapshot of the third: its early batches are in no record yet.
        examples: [[[at(1, 0, 1)], [at(3, 2, 2)], at(3, 2, 1)]],
      },
    );
  });
});

describe('base and checkpoints', () => {
  it('nothing on disk: no base, everything is after', () => {
    const empty = store();
    expect([readBase(empty), basePositions(empty, undefined), inheritedLedger(empty, undefined, 0, 1)]).toEqual([
      undefined,
      [],
      [],
    ]);
  });

  it('basePositions: a stream without a checkpoint counts from its first batch', () => {
    const one = store();
    writeBase(one, { epoch: 4, streams: 3 });
    writeCheckpoint(one, 4, 1, { batch: 17, ledger: [] });
    expect(readBase(one)).toEqual({ epoch: 4, streams: 3 });
    expect(basePositions(one, readBase(one))).toEqual([at(4, 0, 1), at(4, 1, 17), at(4, 2, 1)]);
    expect(readCheckpoint(one, 4, 0)).toBeUndefined();
  });

  it.each([1, 2, 3, 4, 7])('inheritedLedger: with %d shards every row of the base has exactly one heir', (shards) => {
    const one = store();
    const base = { epoch: 1, streams: 4 };
    for (let stream = 0; stream < 4; stream++) {
      writeCheckpoint(one, 1, stream, { batch: 1, ledger: [{ subjectHash: stream, held: stream, spent: 1 }] });
    }
    const rows = Array.from({ length: shards }, (_, shard) => inheritedLedger(one, base, shard, shards)).flat();
    expect(rows.map(({ subjectHash }) => subjectHash).sort()).toEqual([0, 1, 2, 3]);
  });

  it('writeCatalogText: the first text under a version stays', () => {
    const one = store();
    writeCatalogText(one, 'abc', 'first');
    writeCatalogText(one, 'abc', 'second');
    expect(new TextDecoder().decode(one.getMeta('catalog:abc'))).toBe('first');
  });
});
