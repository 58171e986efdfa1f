import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WakeWheel } from '../../actors/wake-wheel.ts';

const START = 1_800_000_000_000;
const DAY = 86_400_000;

describe('wake wheel', () => {
  it('advance: never early, within the second, nothing twice, from moments to years ahead, whichever way the clock jumps', () => {
    const step = fc.record({
      add: fc.option(
        fc.oneof(
          fc.integer({ min: -5_000, max: 5_000 }),
          fc.integer({ min: 0, max: 3_600_000 }),
          fc.integer({ min: 0, max: 700 * DAY }),
        ),
      ),
      move: fc.oneof(fc.integer({ min: 0, max: 900_000 }), fc.integer({ min: -3_600_000, max: 30 * DAY })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const wheel = new WakeWheel();
        const due: number[] = [];
        const visited = new Set<number>();
        let now = START;
        const advance = (): void => {
          wheel.advance(now, 1_000, (partition, low, high) => {
            expect([partition, high]).toEqual([low % 256, 0xffff_ffff - low]);
            expect(visited.has(low)).toBe(false);
            expect(now).toBeGreaterThan(due[low] as number);
            visited.add(low);
          });
          for (const [low, at] of due.entries()) if (at <= now - 1_000) expect(visited.has(low)).toBe(true);
          expect(wheel.pending).toBe(due.length - visited.size);
        };
        for (const { add, move } of steps) {
          if (add !== null) {
            const low = due.push(now + add) - 1;
            wheel.add(now + add, low % 256, low, 0xffff_ffff - low);
          }
          now += move;
          advance();
        }
        now = START + 9_000 * DAY;
        advance();
        expect(wheel.pending).toBe(0);
      }),
      { numRuns: 100, seed: 3 },
    );
  });

  it('a call deals and visits a bounded number, says that there is more, and in the end all were visited', () => {
    const wheel = new WakeWheel();
    for (let i = 0; i < 10_000; i++) wheel.add(START + (i % 7) * 1_000, 0, i, i);
    let visits = 0;
    let calls = 1;
    while (wheel.advance(START + DAY, 3_000, () => visits++)) {
      expect(visits).toBeLessThanOrEqual(3_000 * calls);
      calls++;
    }
    expect(visits).toBe(10_000);
    expect(calls).toBeGreaterThan(3);
  });

  it('clear: nothing is left, and it can be used again', () => {
    const wheel = new WakeWheel();
    wheel.add(START + 900 * DAY, 1, 2, 3);
    wheel.advance(START, 9, () => expect.unreachable());
    wheel.add(START, 1, 2, 3);
    wheel.clear();
    expect(wheel.pending).toBe(0);
    wheel.add(START + DAY, 4, 5, 6);
    const seen: number[][] = [];
    wheel.advance(START + 2 * DAY, 9, (...hint) => seen.push(hint));
    expect(seen).toEqual([[4, 5, 6]]);
  });
});
