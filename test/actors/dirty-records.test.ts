import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DirtyRecords } from '../../actors/dirty-records.ts';

type Step = readonly [partition: number, high: number, low: number] | 'cycle' | 'take';
const word = fc.oneof(fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff), fc.integer({ min: 0, max: 40 }));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom(0, 1, 128, 255), word, word) },
  { weight: 1, arbitrary: fc.constant<Step>('cycle') },
  { weight: 4, arbitrary: fc.constant<Step>('take') },
);

describe('dirty records', () => {
  it('take: gives each record of the cycle once, by partition and high word, whatever is added meanwhile', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const dirty = new DirtyRecords();
        let behind: string[] = [];
        let cycle: string[] = [];
        const takeOne = (): void => {
          const record = dirty.take();
          if (record === null) {
            expect(cycle).toEqual([]);
            return;
          }
          const name = nameOf(record.partition, record.high, record.low);
          // Equal high words may come in either order; nothing else may come first.
          const first = [...cycle].sort()[0] as string; // a record came, so the model has one
          expect(name.slice(0, 17)).toBe(first.slice(0, 17));
          expect(cycle).toContain(name);
          cycle.splice(cycle.indexOf(name), 1);
        };
        for (const action of steps) {
          if (action === 'take') takeOne();
          else if (action === 'cycle') {
            dirty.beginCycle();
            cycle = [...behind, ...cycle];
            behind = [];
          } else {
            dirty.add(action[0], action[2], action[1]);
            behind.push(nameOf(...action));
          }
          expect(dirty.cycleCount).toBe(cycle.length);
          expect(dirty.count).toBe(cycle.length + behind.length);
        }
        while (cycle.length > 0) takeOne();
        expect(dirty.take()).toBeNull();
      }),
    );
  });

  it('clear: forgets the cycle and what is behind it', () => {
    const dirty = new DirtyRecords();
    for (let i = 0; i < 100; i++) dirty.add(i % 3, i, i);
    dirty.beginCycle();
    dirty.take();
    dirty.add(7, 7, 7);
    dirty.clear();
    expect(dirty.count).toBe(0);
    expect(dirty.take()).toBeNull();
    dirty.add(9, 1, 2);
    dirty.beginCycle();
    expect(dirty.take()).toEqual({ partition: 9, low: 1, high: 2 });
  });
});

function nameOf(partition: number, high: number, low: number): string {
  return [partition, high, low].map((value) => value.toString(16).padStart(8, '0').slice(-8)).join('-');
}
