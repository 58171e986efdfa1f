import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LeaseWheel } from '../../actors/lease-wheel.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const START = 1_800_000_000_000;
type Step = { readonly add: number | null; readonly move: number; readonly limit: number };
/** Leases of a moment to a week; the clock creeps, jumps ahead and falls back. */
const step: fc.Arbitrary<Step> = fc.record({
  add: fc.option(fc.oneof(fc.integer({ min: -5_000, max: 5_000 }), fc.integer({ min: 0, max: 7 * 86_400_000 }))),
  move: fc.oneof(fc.integer({ min: 0, max: 2_500 }), fc.integer({ min: -3_600_000, max: 30 * 86_400_000 })),
  limit: fc.constantFrom(0, 1, 3, 1_000_000),
});

describe('lease wheel', () => {
  it('advance: never early, nothing twice, and in the end everything, when the clock jumps both ways', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const wheel = new LeaseWheel();
        const expiries: number[] = [];
        const visited = new Set<number>();
        let now = START;
        const visit = (partition: number, low: number, high: number): void => {
          expect([partition, high]).toEqual([low % 256, 0xffff_ffff - low]);
          expect(visited.has(low)).toBe(false);
          expect(now).toBeGreaterThan(expiries[low] as number);
          visited.add(low);
        };
        for (const { add, move, limit } of steps) {
          if (add !== null) {
            const n = expiries.push(now + add) - 1;
            wheel.add(now + add, n % 256, n, 0xffff_ffff - n);
          }
          now += move;
          const before = visited.size;
          wheel.advance(now, limit, visit);
          expect(visited.size - before).toBeLessThanOrEqual(limit);
          expect(wheel.pending).toBe(expiries.length - visited.size);
          if (limit > 1_000) {
            // A lease due within a second may wait for the second to pass, no longer.
            expiries.forEach((at, n) => {
              if (at + 1_000 <= now) expect(visited.has(n)).toBe(true);
            });
          }
        }
        now = Math.max(now, ...expiries) + 1_001;
        wheel.advance(now, 1_000_000, visit);
        expect(visited.size).toBe(expiries.length);
      }),
      { numRuns: 200 },
    );
  });

  it('advance: goes through leases of a week, one in each of 200,000 seconds', () => {
    const wheel = new LeaseWheel();
    for (let second = 0; second < 200_000; second++) wheel.add(START + second * 3_000, 1, second, 2);
    let visits = 0;
    wheel.advance(START + 10 * 86_400_000, 1_000_000, () => {
      visits++;
    });
    expect(visits).toBe(200_000);
  });

  it('clear: forgets all, and the wheel can be used again', () => {
    const wheel = new LeaseWheel();
    wheel.add(START, 1, 1, 1);
    wheel.clear();
    wheel.add(START + 5_000, 2, 2, 2);
    const visits: number[] = [];
    wheel.advance(START + 10_000, 10, (partition) => visits.push(partition));
    expect(visits).toEqual([2]);
  });
});

describe('stored leases', () => {
  it('watchStored: each lease of a record ends in its time, though nobody asks for the person after the start', () => {
    const text = catalogText({
      leaseMillis: 10_000,
      actions: '{ key: a, channels: [app], valueMinor: 90, costMinor: 10, budgetMinor: 20 }',
    });
    const before = new OneShard({ catalog: text });
    before.decide({ profile: 'ann', wantMask: 1 }, NOON);
    before.decide({ profile: 'ann', wantMask: 1 }, NOON + 4_000);
    before.store.commitNow();
    before.checkpoint();
    const after = before.recovered();
    const budget = after.runtime.index.catalog.actions[0]?.hash ?? 0;
    for (const record of after.disk.records.values()) after.runtime.watchStored(record);
    const freeAt = (now: number): number => {
      after.advanceTimers(now, 100);
      return after.ledger.freeAmount(budget);
    };
    expect([NOON + 9_000, NOON + 11_001, NOON + 15_001].map(freeAt)).toEqual([0, 10, 20]);
  });
});
