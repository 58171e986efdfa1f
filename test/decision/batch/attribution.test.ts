import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  attributableConversions,
  attributeByShapley,
  attributeByTimeDecay,
  attributeLinearly,
  attributeToFirst,
  attributeToLast,
  type TouchPath,
} from '../../../decision/batch/attribution.ts';
import { attributeByMarkov } from '../../../decision/batch/attribution-markov.ts';

const CHANNELS = 4;
const path = (touches: readonly number[], conversions: number, nonConversions = 0): TouchPath => ({
  touches,
  conversions,
  nonConversions,
});
const amount = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constantFrom(0, 1e-9, 1e15, 0.5));
const anyPaths = fc.array(
  fc
    .tuple(fc.array(fc.integer({ min: 0, max: CHANNELS - 1 }), { maxLength: 8 }), amount, amount)
    .map(([touches, conversions, nonConversions]) => path(touches, conversions, nonConversions)),
  { maxLength: 12 },
);

const MODELS = [
  ['first', attributeToFirst],
  ['last', attributeToLast],
  ['linear', attributeLinearly],
  ['time-decay', attributeByTimeDecay],
  ['Shapley', attributeByShapley],
  ['Markov', (paths: readonly TouchPath[], channels: number) => attributeByMarkov(paths, channels).credits],
] as const;

describe('attribution', () => {
  it.each(MODELS)('attribution: %s deals out just the conversions, none below 0, for any paths', (_, attribute) => {
    fc.assert(
      fc.property(anyPaths, (paths) => {
        const credits = attribute(paths, CHANNELS);
        const total = attributableConversions(paths);
        expect(Math.abs(credits.reduce((a, b) => a + b, 0) - total)).toBeLessThanOrEqual(1e-9 * Math.max(total, 1e-9));
        for (const credit of credits) expect(credit >= 0).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it.each(MODELS)('attribution: %s gives one channel all, and none of nothing', (_, attribute) => {
    expect([...attribute([path([2, 2, 2], 5, 3)], CHANNELS)]).toEqual([0, 0, 5, 0]);
    expect([...attribute([], 2)]).toEqual([0, 0]);
    expect([...attribute([path([], 7)], 2)]).toEqual([0, 0]);
    expect([...attribute([path([0], 0, 9)], 2)]).toEqual([0, 0]);
    expect([...attribute([], 0)]).toEqual([]);
  });

  it('attribution: first, last and linear by hand', () => {
    const paths = [path([0, 1, 1, 2], 4), path([1], 2), path([2, 0], 1)];
    expect([...attributeToFirst(paths, 3)]).toEqual([4, 2, 1]);
    expect([...attributeToLast(paths, 3)]).toEqual([1, 2, 4]);
    expect([...attributeLinearly(paths, 3)]).toEqual([1.5, 4, 1.5]);
  });

  it('time-decay: a touch one half-life older weighs half', () => {
    const two = { ...path([0, 1], 3), agesDays: [7, 0] };
    const credits = attributeByTimeDecay([two], 2);
    expect(credits[0]).toBeCloseTo(1, 12);
    expect(credits[1]).toBeCloseTo(2, 12);
    // Only differences of age count, and without ages each step back is a day.
    expect(attributeByTimeDecay([{ ...two, agesDays: [1e9 + 7, 1e9] }], 2)).toEqual(credits);
    expect(attributeByTimeDecay([path([0, 1], 3)], 2, 1)[0]).toBeCloseTo(1, 12);
  });

  it('time-decay: becomes linear for a long half-life and last touch for a short one', () => {
    const paths = [path([0, 1, 2, 0], 8), path([2, 1], 3)];
    const long = attributeByTimeDecay(paths, 3, 1e12);
    const short = attributeByTimeDecay(paths, 3, 1e-3);
    for (let c = 0; c < 3; c += 1) {
      expect(long[c]).toBeCloseTo(attributeLinearly(paths, 3)[c] ?? Number.NaN, 9);
      expect(short[c]).toBeCloseTo(attributeToLast(paths, 3)[c] ?? Number.NaN, 9);
    }
  });

  it.each([
    ['a channel too high', [path([4], 1)], /paths\[0\].touches\[0\] is 4/],
    ['a channel of NaN', [path([Number.NaN], 1)], /touches\[0\] is NaN/],
    ['half a channel', [path([0.5], 1)], /touches\[0\] is 0.5/],
    ['negative conversions', [path([0], 1), path([0], -1)], /paths\[1\].conversions is -1/],
    ['infinite conversions', [path([0], Infinity)], /conversions is Infinity/],
    ['NaN people without', [path([0], 1, Number.NaN)], /nonConversions is NaN/],
    ['ages too few', [{ ...path([0, 1], 1), agesDays: [1] }], /1 ages for 2 touches/],
    ['a negative age', [{ ...path([0], 1), agesDays: [-1] }], /agesDays\[0\] is -1/],
  ])('attribution: every model refuses %s', (_, paths, message) => {
    for (const [, attribute] of MODELS) expect(() => attribute(paths, CHANNELS)).toThrow(message);
    expect(() => attributeByTimeDecay([], 1, 0)).toThrow(/halfLifeDays 0/);
    expect(() => attributeToFirst([], 1025)).toThrow(/channels 1025/);
  });
});

/** Shapley's value from its definition: mean over all orders of the channels of what each adds on arrival. */
function shapleyByOrders(paths: readonly TouchPath[], channels: number): number[] {
  const worth = (coalition: ReadonlySet<number>): number =>
    paths.reduce(
      (sum, { touches, conversions }) =>
        touches.length > 0 && Array.from(touches).every((touch) => coalition.has(touch)) ? sum + conversions : sum,
      0,
    );
  const orders = (rest: readonly number[]): number[][] =>
    rest.length === 0 ? [[]] : rest.flatMap((c) => orders(rest.filter((d) => d !== c)).map((order) => [c, ...order]));
  const all = orders(Array.from({ length: channels }, (_, c) => c));
  const values = Array.from({ length: channels }, () => 0);
  for (const order of all) {
    const coalition = new Set<number>();
    for (const channel of order) {
      const before = worth(coalition);
      coalition.add(channel);
      values[channel] = (values[channel] ?? 0) + (worth(coalition) - before) / all.length;
    }
  }
  return values;
}

describe('Shapley', () => {
  const small = fc.array(
    fc
      .tuple(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 6 }), fc.integer({ min: 0, max: 50 }))
      .map(([touches, conversions]) => path(touches, conversions)),
    { maxLength: 8 },
  );

  it('Shapley: is the mean over all orders of what a channel adds', () => {
    fc.assert(
      fc.property(small, (paths) => {
        const slow = shapleyByOrders(paths, 4);
        const ours = attributeByShapley(paths, 4);
        for (let c = 0; c < 4; c += 1) expect(ours[c]).toBeCloseTo(slow[c] ?? Number.NaN, 9);
      }),
    );
  });

  it('Shapley: alike channels get alike, sums add, the order of touches and repeats are of no matter', () => {
    fc.assert(
      fc.property(small, small, (some, others) => {
        const swapped = some.map(({ touches, ...rest }) => ({
          ...rest,
          touches: Array.from(touches, (c) => (c === 0 ? 1 : c === 1 ? 0 : c)).reverse(),
        }));
        const [a, b] = [attributeByShapley(some, 4), attributeByShapley(swapped, 4)];
        expect(a[0]).toBeCloseTo(b[1] ?? Number.NaN, 9);
        const [c, both] = [attributeByShapley(others, 4), attributeByShapley([...some, ...others], 4)];
        for (let i = 0; i < 4; i += 1) expect(both[i]).toBeCloseTo((a[i] ?? 0) + (c[i] ?? 0), 9);
      }),
    );
  });
});

/** P(conversion) with one channel turned into an end, by letting the walk's mass flow until little is left. */
function conversionByFlow(paths: readonly TouchPath[], channels: number, removed: number): number {
  const [START, CONVERTED, NONE] = [channels, channels + 1, channels + 2];
  const counts = Array.from({ length: channels + 1 }, () => new Float64Array(channels + 3));
  const move = (from: number, to: number, people: number): void => {
    const row = counts[from];
    if (row !== undefined) row[to] = (row[to] ?? 0) + people;
  };
  for (const { touches, conversions, nonConversions } of paths) {
    if (touches.length === 0) continue;
    const states = [START, ...Array.from(touches)];
    for (let i = 1; i < states.length; i += 1) move(states[i - 1] ?? 0, states[i] ?? 0, conversions + nonConversions);
    move(states.at(-1) ?? 0, CONVERTED, conversions);
    move(states.at(-1) ?? 0, NONE, nonConversions);
  }
  let mass = new Float64Array(channels + 3);
  mass[START] = 1;
  for (let step = 0; step < 1500; step += 1) {
    const next = new Float64Array(channels + 3);
    for (const end of [CONVERTED, NONE]) next[end] = mass[end] ?? 0;
    for (const [from, row] of counts.entries()) {
      const total = row.reduce((a, b) => a + b, 0);
      if (total === 0) continue;
      for (const [to, people] of row.entries()) {
        const target = to === removed ? NONE : to;
        next[target] = (next[target] ?? 0) + ((mass[from] ?? 0) * people) / total;
      }
    }
    mass = next;
  }
  return mass[CONVERTED] ?? Number.NaN;
}

describe('attributeByMarkov', () => {
  it('attributeByMarkov: removal effects are those of a chain that is walked with the channel cut out', () => {
    const touches = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 6 });
    const people = fc.integer({ min: 0, max: 20 });
    const paths = fc.array(fc.tuple(touches, people, people), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(paths, (rows) => {
        const all = rows.map(([steps, conversions, nonConversions]) => path(steps, conversions, nonConversions));
        const whole = conversionByFlow(all, 4, -1);
        const ours = attributeByMarkov(all, 4);
        expect(ours.conversionProbability).toBeCloseTo(Number.isNaN(whole) ? 0 : whole, 8);
        if (!(whole > 0)) return;
        for (let c = 0; c < 4; c += 1)
          expect(ours.removalEffects[c]).toBeCloseTo(1 - conversionByFlow(all, 4, c) / whole, 6);
      }),
      { numRuns: 12 },
    );
  });

  it('attributeByMarkov: the example of pychattr, whose simulation gives 1.991 and 1.009', () => {
    const paths = [path([0, 1, 0, 1, 1, 0], 1), path([0, 1, 1, 0, 0], 1), path([0, 0], 1)];
    const { credits, removalEffects } = attributeByMarkov(paths, 2);
    expect([...removalEffects]).toEqual([1, 0.5]);
    expect(credits[0]).toBeCloseTo(2, 12);
    expect(credits[1]).toBeCloseTo(1, 12);
  });

  it('attributeByMarkov: people who did not convert move credit to where walks convert', () => {
    const converting = [path([0], 10), path([1], 10)];
    expect([...attributeByMarkov(converting, 2).credits]).toEqual([10, 10]);
    // By hand: from 1 a walk converts with 1/11, from 0 with 1/11 + 10/11 × 1/11; all in all with 1/6.
    const { credits, removalEffects, conversionProbability } = attributeByMarkov(
      [...converting, path([0, 1], 0, 100)],
      2,
    );
    expect(conversionProbability).toBeCloseTo(1 / 6, 12);
    expect(removalEffects[0]).toBeCloseTo(21 / 22, 12);
    expect(removalEffects[1]).toBeCloseTo(1 / 2, 12);
    expect(credits[0]).toBeCloseTo((20 * 21) / 32, 12);
  });
});
