import { describe, expect, it } from 'vitest';
import { QueueDelay } from '../../workers/queue-delay.ts';

const MILLI = 1_000;

/** A queue that was last empty at 0 and has these depths, one pass every 10 ms. */
function delayAfter(depths: readonly number[]): QueueDelay {
  const delay = new QueueDelay();
  delay.noteEmpty(0);
  for (const [i, depth] of depths.entries()) delay.beginPass((i + 1) * 10 * MILLI, depth);
  return delay;
}
const rising = (from: number, step: number, passes: number): number[] =>
  Array.from({ length: passes }, (_, i) => from + i * step);

describe('queue delay', () => {
  it('refuses: what has waited over 3 ms once the queue stands for over 100 ms and grows, in shorter pieces', () => {
    const delay = delayAfter(rising(100, 500, 15));
    expect(delay.isOverloaded).toBe(true);
    expect(delay.refuses(3 * MILLI, 150 * MILLI)).toBe(false);
    expect(delay.refuses(3 * MILLI + 1, 150 * MILLI)).toBe(true);
    expect(delay.beginPass(160 * MILLI, 10)).toBe(1.5 * MILLI);
  });

  it.each([
    ['the queue was empty within 100 ms', rising(100, 500, 10)],
    ['a burst is worked off', rising(5_000, -100, 40)],
    ['full windows are asked again as they are answered', Array.from({ length: 60 }, (_, i) => 16_000 - (i % 9) * 300)],
    ['the growth is a few messages', rising(100, 10, 60)],
    ['small windows empty it nearly and fill it again', Array.from({ length: 60 }, (_, i) => (i % 2) * 800 + 5)],
  ])('refuses: nothing while %s', (_, depths) => {
    const delay = delayAfter(depths);
    expect(delay.isOverloaded).toBe(false);
    expect(delay.refuses(1e9, depths.length * 10 * MILLI)).toBe(false);
    expect(delay.beginPass(depths.length * 10 * MILLI, depths.at(-1) ?? 0)).toBe(3 * MILLI);
  });

  it('noteEmpty: ends an overload once nothing had to be refused for 100 ms, and the next one is noticed anew', () => {
    const delay = delayAfter(rising(100, 500, 15));
    expect(delay.refuses(50 * MILLI, 160 * MILLI)).toBe(true);
    delay.noteEmpty(200 * MILLI); // emptied by refusing
    expect(delay.isOverloaded).toBe(true);
    delay.noteEmpty(260 * MILLI + 1);
    expect(delay.isOverloaded).toBe(false);
    expect(delay.refuses(50 * MILLI, 261 * MILLI)).toBe(false);
    delay.beginPass(370 * MILLI, 5_000);
    delay.beginPass(380 * MILLI, 7_000);
    expect(delay.isOverloaded).toBe(true);
  });
});
