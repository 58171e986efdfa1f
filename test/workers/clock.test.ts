import { afterEach, describe, expect, it, vi } from 'vitest';
import { epochMillis, scaleClock } from '../../workers/clock.ts';

const START = Date.UTC(2026, 5, 10, 9);

describe('clock', () => {
  afterEach(() => {
    scaleClock(1, 0);
    vi.useRealTimers();
  });

  it('scaleClock: from its instant on an hour passes in an hour divided by the scale, in whole milliseconds', () => {
    vi.useFakeTimers({ now: START, toFake: ['Date'] });
    scaleClock(1800, START);
    expect(epochMillis()).toBe(START);
    vi.setSystemTime(START + 2_000);
    expect(epochMillis()).toBe(START + 3_600_000);
    scaleClock(1.5, START);
    vi.setSystemTime(START + 1);
    expect(epochMillis()).toBe(START + 1);
  });

  it('scaleClock: the true clock again with a scale of 1', () => {
    vi.useFakeTimers({ now: START + 5_000, toFake: ['Date'] });
    scaleClock(60, START);
    scaleClock(1, START);
    expect(epochMillis()).toBe(START + 5_000);
  });
});
