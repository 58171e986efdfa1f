import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProfileIndex } from '../../actors/profile-index.ts';
import { NO_HANDLE } from '../../actors/slab.ts';

type Step = {
  readonly kind: 'set' | 'delete';
  readonly partition: number;
  readonly low: number;
  readonly high: number;
};

/** Few low words, so that runs form and wrap round the table's end; zeros, because an empty place holds zeros. */
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'delete'),
  partition: fc.constantFrom(0, 1, 255),
  low: fc.oneof(fc.constantFrom(0, 1, 62, 63, 64, 126, 127, 0xffff_ffff), fc.integer({ min: 0, max: 300 })),
  high: fc.constantFrom(0, 1, 0xffff_ffff),
});

describe('profile index', () => {
  it('find: agrees with a map when profiles are set and deleted at random', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 600 }), (steps) => {
        const index = new ProfileIndex();
        const model = new Map<string, Step & { handle: number }>();
        steps.forEach((s, handle) => {
          const name = `${s.partition}:${s.low}:${s.high}`;
          if (s.kind === 'set') {
            index.set(s.partition, s.low, s.high, handle);
            model.set(name, { ...s, handle });
          } else {
            index.delete(s.partition, s.low, s.high);
            model.delete(name);
            expect(index.find(s.partition, s.low, s.high)).toBe(NO_HANDLE);
          }
        });
        expect(index.count).toBe(model.size);
        for (const m of model.values()) expect(index.find(m.partition, m.low, m.high)).toBe(m.handle);
      }),
      { numRuns: 200 },
    );
  });

  it('set: keeps every handle when a table grows from 64 places to 16,384, and half of them go again', () => {
    const index = new ProfileIndex();
    const low = (i: number): number => Math.imul(i, 0x9e37_79b1) >>> 0;
    for (let i = 0; i < 10_000; i++) index.set(7, low(i), i, i);
    expect(index.bytes).toBe(16_384 * 12);
    for (let i = 0; i < 10_000; i += 2) index.delete(7, low(i), i);
    expect(index.count).toBe(5_000);
    for (let i = 0; i < 10_000; i++) expect(index.find(7, low(i), i)).toBe(i % 2 === 0 ? NO_HANDLE : i);
  });

  it('delete: changes nothing when the profile, or its whole partition, is unknown', () => {
    const index = new ProfileIndex();
    index.delete(3, 1, 1);
    index.set(3, 1, 1, 5);
    index.delete(3, 0, 0);
    index.delete(3, 1, 2);
    expect(index.count).toBe(1);
    expect(index.find(3, 1, 1)).toBe(5);
    expect(index.find(4, 1, 1)).toBe(NO_HANDLE);
  });

  it('clear: forgets all', () => {
    const index = new ProfileIndex();
    index.set(0, 0, 0, 0);
    index.clear();
    expect([index.count, index.bytes, index.find(0, 0, 0)]).toEqual([0, 0, NO_HANDLE]);
  });
});
