/** A person's own quiet hours beside the catalog's: minute by minute as trying each says, and never for ever. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isQuiet } from '../../decision/contact-policy.ts';
import { minutesToQuiet, quietMinutesAt } from '../../decision/contact-wishes.ts';

const minute = fc.integer({ min: 0, max: 1439 });
const hours = fc.record({ startMinute: minute, endMinute: minute });

describe('quiet hours of several', () => {
  it('quietMinutesAt: the first minute in none of them, as trying each finds it', () => {
    fc.assert(
      fc.property(fc.option(hours), fc.array(hours, { maxLength: 2 }), minute, (channel, own, from) => {
        const all = channel === null ? own : [channel, ...own];
        let waited = 0;
        while (waited < 1440 && all.some((one) => isQuiet(one, (from + waited) % 1440))) waited++;
        expect(Math.min(quietMinutesAt(channel, own, from), 1440)).toBe(waited);
      }),
      { numRuns: 500, seed: 62 },
    );
  });

  it('minutesToQuiet: the minutes that are left until the first begins', () => {
    const own = [{ startMinute: 600, endMinute: 660 }];
    expect(minutesToQuiet(null, own, 590)).toBe(10);
    expect(minutesToQuiet({ startMinute: 595, endMinute: 596 }, own, 590)).toBe(5);
    expect(minutesToQuiet(null, own, 661)).toBe(1379);
    // Equal ends mean none.
    expect(minutesToQuiet({ startMinute: 5, endMinute: 5 }, [], 1)).toBe(Number.POSITIVE_INFINITY);
  });
});
