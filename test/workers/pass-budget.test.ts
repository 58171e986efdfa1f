import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PassBudget } from '../../workers/pass-budget.ts';

let nowMicros = 0;
const clock = (): number => nowMicros;

/** Runs turns of `turnMicros` each, every one its own frame, until the budget says no; at most `limit`. */
function runTurns(budget: PassBudget, turnMicros: number, limit: number): number {
  for (let n = 0; n < limit; n++) {
    if (!budget.hasTime(nowMicros)) return n;
    nowMicros += turnMicros;
  }
  return limit;
}

describe('pass budget', () => {
  beforeEach(() => {
    nowMicros = 1_000_000;
    vi.useFakeTimers({ toFake: ['setImmediate'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('hasTime: a pass that goes on ends after 2 to 5 ms and 64 turns, and time comes back with the next pass', () => {
    const budget = new PassBudget(clock);
    for (let pass = 0; pass < 3; pass++) {
      const startedAt = nowMicros;
      runTurns(budget, 50, 10_000);
      expect(nowMicros - startedAt).toBeGreaterThanOrEqual(2_000);
      expect(nowMicros - startedAt).toBeLessThanOrEqual(12_000);
      expect(budget.hasTime(nowMicros)).toBe(false);
      vi.runAllTicks();
      vi.runOnlyPendingTimers();
      expect(budget.hasTime(nowMicros)).toBe(true);
    }
  });

  it('hasTime: in an overload a pass ends after 1.5 ms and 8 turns', () => {
    const budget = new PassBudget(clock);
    const startedAt = nowMicros;
    while (budget.hasTime(nowMicros, true)) nowMicros += 100;
    expect(nowMicros - startedAt).toBeGreaterThanOrEqual(1_500);
    expect(nowMicros - startedAt).toBeLessThanOrEqual(3_500);
  });

  it('hasTime: the requests of one frame use up the pass too, though they arrived at one instant', () => {
    const budget = new PassBudget(clock);
    const startedAt = nowMicros;
    for (let turns = 0; budget.hasTime(startedAt) && turns < 10_000; turns++) nowMicros += 100;
    expect(nowMicros - startedAt).toBeGreaterThanOrEqual(2_000);
    expect(nowMicros - startedAt).toBeLessThanOrEqual(12_000);
  });

  it('hasTime: a thread that was put aside for a second goes on when fewer than 64 turns have run', () => {
    const budget = new PassBudget(clock);
    runTurns(budget, 300, 20);
    nowMicros += 1_000_000;
    expect(runTurns(budget, 10, 40)).toBe(40);
  });

  it('hasTime: asks for no immediate while there is little to do, and for one at a time', () => {
    const budget = new PassBudget(clock);
    const immediates = vi.spyOn(globalThis, 'setImmediate');
    for (let n = 0; n < 15; n++) {
      budget.hasTime(nowMicros);
      nowMicros += 100_000;
    }
    expect(immediates).toHaveBeenCalledTimes(0);
    runTurns(budget, 50, 300);
    expect(immediates).toHaveBeenCalledTimes(1);
  });
});
