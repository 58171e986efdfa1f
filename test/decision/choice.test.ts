import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allPropensities, ChoiceInput, ChoiceResult, chooseActions, PROPENSITY_MIN } from '../../decision/choice.ts';
import { mixHash } from '../../decision/features.ts';
import { normalCdf } from '../../decision/normal.ts';
import { SLATE_MAX } from '../../decision/propensity.ts';
import { drawNormal, drawUniform, PURPOSE } from '../../decision/random.ts';

interface Candidate {
  readonly mean: number;
  readonly deviation: number;
  readonly worth: number;
  readonly cost: number;
}

function inputOf(candidates: readonly Candidate[], wanted = 1, explorationProbability = 0): ChoiceInput {
  const input = new ChoiceInput(candidates.length);
  input.count = candidates.length;
  input.wanted = wanted;
  input.explorationProbability = explorationProbability;
  candidates.forEach((candidate, i) => {
    input.probabilityMean[i] = candidate.mean;
    input.probabilityDeviation[i] = candidate.deviation;
    input.worth[i] = candidate.worth;
    input.cost[i] = candidate.cost;
    input.actionHash[i] = mixHash(i, 99);
  });
  return input;
}

function retail(n: number, seed: number): Candidate[] {
  return Array.from({ length: n }, (_, i) => ({
    mean: 0.02 + 0.06 * drawUniform(seed, 1, i, 1),
    deviation: 0.001 + 0.03 * drawUniform(seed, 2, i, 1),
    worth: 500 + 1500 * drawUniform(seed, 3, i, 1),
    cost: 5 * drawUniform(seed, 4, i, 1),
  }));
}

function chosenOf(out: ChoiceResult): number[] {
  return [...out.chosen.subarray(0, out.count)];
}

describe('choice', () => {
  it('chooseActions: n = 0, wanted 0 and wanted below 1 give an empty result', () => {
    const out = new ChoiceResult();
    for (const input of [
      inputOf([]),
      inputOf(retail(3, 1), 0),
      inputOf(retail(3, 1), 0.5),
      inputOf(retail(3, 1), -1),
      inputOf(retail(3, 1), NaN),
    ]) {
      out.count = 7;
      chooseActions(input, out);
      expect([out.count, out.explored]).toEqual([0, false]);
    }
  });

  it('chooseActions: one candidate and as many as wanted are certain, best drawn score first', () => {
    const out = new ChoiceResult();
    chooseActions(inputOf([{ mean: 0.01, deviation: 0.01, worth: -1e9, cost: 0 }], 1, 0.02), out);
    expect([chosenOf(out), out.propensity[0]]).toEqual([[0], 1]);
    for (const wanted of [5, 6, 1000]) {
      const input = inputOf(retail(5, 2), wanted, 0.3);
      input.seed0 = 5;
      chooseActions(input, out);
      expect(chosenOf(out).toSorted()).toEqual([0, 1, 2, 3, 4]);
      expect([...out.propensity.subarray(0, 5)]).toEqual([1, 1, 1, 1, 1]);
      if (out.explored) continue;
      const scores = chosenOf(out).map((i) => out.drawnScore[i] as number); // i < n
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    }
  });

  it('chooseActions: the drawn score is mean + deviation x the draw of seed and action, nothing else', () => {
    const candidates = retail(8, 3);
    const out = new ChoiceResult();
    const input = inputOf(candidates, 3);
    input.seed0 = 77;
    input.seed1 = 88;
    chooseActions(input, out);
    const scores = candidates.map(({ mean, deviation, worth, cost }, i) => {
      const z = drawNormal(77, 88, mixHash(i, 99), PURPOSE.action);
      return mean * worth - cost + deviation * worth * z;
    });
    scores.forEach((score, i) => {
      expect(out.drawnScore[i]).toBeCloseTo(score, 9);
    });
    const best = scores.map((score, i) => [score, i] as const).toSorted((a, b) => b[0] - a[0]);
    expect(chosenOf(out)).toEqual(best.slice(0, 3).map(([, i]) => i));
  });

  it('chooseActions: leaving out a candidate changes no draw of the others', () => {
    const candidates = retail(6, 4);
    const all = new ChoiceResult();
    const fewer = new ChoiceResult();
    const input = inputOf(candidates);
    input.seed0 = 1;
    chooseActions(input, all);
    const rest = inputOf(candidates.slice(1));
    rest.seed0 = 1;
    for (let i = 0; i < 5; i += 1) rest.actionHash[i] = mixHash(i + 1, 99);
    chooseActions(rest, fewer);
    expect([...fewer.drawnScore.subarray(0, 5)]).toEqual([...all.drawnScore.subarray(1, 6)]);
  });

  it.each([
    [10, 1, 0, 0],
    [10, 1, 0.2, 0],
    [6, 3, 0, 0],
    [6, 3, 0.2, 0],
    [10, 1, 0.2, 40],
    [6, 3, 0, 5],
    [6, 3, 0.2, 40],
  ])(
    'chooseActions: %d candidates, %d wanted, floor %d, gap weight %d: the logged propensity is the frequency',
    (n, wanted, epsilon, gapWeight) => {
      const input = inputOf(retail(n, 5), wanted, epsilon);
      input.gapWeight = gapWeight;
      const out = new ChoiceResult();
      const expected = new Float64Array(n);
      allPropensities(input, out, expected);
      const rounds = 20_000;
      const counts = new Float64Array(n);
      let explored = 0;
      for (let round = 0; round < rounds; round += 1) {
        input.seed0 = round;
        input.seed1 = 12345;
        chooseActions(input, out);
        if (out.explored) explored += 1;
        for (let at = 0; at < out.count; at += 1) {
          const i = out.chosen[at] as number; // at < count
          counts[i] = (counts[i] as number) + 1; // i < n
          if (round < 50) expect(out.propensity[at]).toBe(expected[i]);
        }
      }
      // Five standard errors of a share; sixteen shares are checked in all.
      for (let i = 0; i < n; i += 1) {
        const p = expected[i] as number; // i < n
        expect(Math.abs((counts[i] as number) / rounds - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / rounds) + 1e-4);
      }
      expect(Math.abs(explored / rounds - epsilon)).toBeLessThanOrEqual(
        5 * Math.sqrt((epsilon * (1 - epsilon)) / rounds),
      );
    },
  );

  it('chooseActions: two candidates meet Phi of the standardised gap, negative worth included', () => {
    const pair: Candidate[] = [
      { mean: 0.3, deviation: 0.1, worth: -200, cost: 1 },
      { mean: 0.5, deviation: 0.05, worth: -100, cost: 3 },
    ];
    const p = new Float64Array(2);
    allPropensities(inputOf(pair, 1, 0.1), new ChoiceResult(), p);
    const first = normalCdf((-61 + 53) / Math.hypot(20, 5));
    expect(p[0]).toBeCloseTo(0.9 * first + 0.05, 7);
    expect(p[1]).toBeCloseTo(0.9 * (1 - first) + 0.05, 7);
  });

  it('chooseActions: the lower index wins a tie of scores without variance, and says so', () => {
    const out = new ChoiceResult();
    const tied = [0.1, 0.2, 0.2, 0.2].map((mean) => ({ mean, deviation: 0, worth: 10, cost: 0 }));
    chooseActions(inputOf(tied, 2), out);
    expect(chosenOf(out)).toEqual([1, 2]);
    expect([...out.propensity.subarray(0, 2)]).toEqual([1, 1]);
    const p = new Float64Array(4);
    allPropensities(inputOf(tied, 2, 0.1), out, p);
    expect([...p]).toEqual([0.05, 0.95, 0.95, 0.05].map((x) => expect.closeTo(x, 12)));
  });

  it('chooseActions: worth 0 is a point at minus the cost, whatever the model says', () => {
    const out = new ChoiceResult();
    const pass: Candidate = { mean: 0.5, deviation: 0.4, worth: 0, cost: 0 };
    const p = new Float64Array(2);
    const input = inputOf([{ mean: 0.8, deviation: 0.1, worth: 40, cost: 35 }, pass]);
    chooseActions(input, out);
    expect([out.scoreDeviation[1], out.drawnScore[1]]).toEqual([0, 0]);
    allPropensities(input, out, p);
    expect(p[0]).toBeCloseTo(normalCdf(-3 / 4), 7);
  });

  it('chooseActions: huge negative values lose to the floor only, and a propensity is never 0', () => {
    const out = new ChoiceResult();
    const lopsided = [
      { mean: 0.1, deviation: 0.05, worth: 100, cost: 0 },
      { mean: 0.5, deviation: 0.2, worth: -1e12, cost: 0 },
    ];
    const input = inputOf(lopsided, 1, 0.02);
    const p = new Float64Array(2);
    allPropensities(input, out, p);
    expect(p[1]).toBeGreaterThanOrEqual(0.01);
    expect(p[1]).toBeLessThan(0.98 * 0.5 + 0.01);
    allPropensities(inputOf([lopsided[0] as Candidate, { ...(lopsided[1] as Candidate), deviation: 1e-9 }]), out, p); // two
    expect(p[1]).toBe(PROPENSITY_MIN);
    let best = 0;
    for (let seed = 0; seed < 2000; seed += 1) {
      input.seed0 = seed;
      chooseActions(input, out);
      if (out.chosen[0] === 1) best += 1;
      expect(out.propensity[0]).toBeGreaterThan(0);
    }
    expect(best).toBeGreaterThan(0);
  });

  it('chooseActions: 2,500 candidates: right winner, propensities that sum to 1', () => {
    const n = 2500;
    // Small deviations, so that most are out of reach: all propensities at once cost n squared otherwise.
    const candidates = retail(n, 6).map((candidate) => ({ ...candidate, deviation: candidate.deviation / 15 }));
    const input = inputOf(candidates, 1, 0.02);
    const out = new ChoiceResult(4);
    chooseActions(input, out);
    const winner = out.drawnScore.subarray(0, n).reduce((top, x, i, all) => (x > (all[top] as number) ? i : top), 0); // i < n
    if (!out.explored) expect(out.chosen[0]).toBe(winner);
    const p = new Float64Array(n);
    allPropensities(input, out, p);
    expect(Math.abs(p.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-4);
    expect(p[out.chosen[0] as number]).toBe(out.propensity[0]); // one chosen
  });

  it('chooseActions: a slate of SLATE_MAX from more, all different', () => {
    const out = new ChoiceResult();
    chooseActions(inputOf(retail(50, 7), 40, 0.1), out);
    expect(out.count).toBe(SLATE_MAX);
    expect(new Set(chosenOf(out)).size).toBe(SLATE_MAX);
    const p = new Float64Array(50);
    allPropensities(inputOf(retail(50, 7), 40, 0.1), out, p);
    expect(Math.abs(p.reduce((a, b) => a + b, 0) - SLATE_MAX)).toBeLessThan(1e-4);
  });

  it('chooseActions: any finite input gives propensities in (0, 1] that sum to the places', () => {
    const candidate = fc.record({
      mean: fc.double({ min: 0, max: 1, noNaN: true }),
      deviation: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.5, noNaN: true })),
      worth: fc.oneof(fc.constant(0), fc.double({ min: -1e9, max: 1e9, noNaN: true }), fc.integer({ min: -5, max: 5 })),
      cost: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e6, noNaN: true })),
    });
    const out = new ChoiceResult();
    fc.assert(
      fc.property(
        fc.array(candidate, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(0, 0, 1e-3, 50, Number.POSITIVE_INFINITY),
        (candidates, wanted, gapWeight) => {
          const input = inputOf(candidates, wanted, 0.05);
          input.gapWeight = gapWeight;
          const p = new Float64Array(candidates.length);
          allPropensities(input, out, p);
          for (const x of p) expect(x > 0 && x <= 1).toBe(true);
          const places = Math.min(wanted, candidates.length);
          expect(Math.abs(p.reduce((a, b) => a + b, 0) - places)).toBeLessThan(1e-4);
          chooseActions(input, out);
          expect(out.count).toBe(places);
        },
      ),
      { seed: 42, numRuns: 300 },
    );
  });

  it.each([
    [{ mean: NaN, deviation: 0.1, worth: 1, cost: 0 }, 0.1],
    [{ mean: 0.1, deviation: NaN, worth: 1, cost: 0 }, 0.1],
    [{ mean: 0.1, deviation: -0.1, worth: 1, cost: 0 }, 0.1],
    [{ mean: 0.1, deviation: 0.1, worth: Infinity, cost: 0 }, 0.1],
    [{ mean: 0.1, deviation: 0.1, worth: 1, cost: NaN }, 0.1],
    [{ mean: 0.1, deviation: 0.1, worth: 1, cost: 0 }, NaN],
    [{ mean: 0.1, deviation: 0.1, worth: 1, cost: 0 }, 1.01],
    [{ mean: 0.1, deviation: 0.1, worth: 1, cost: 0 }, -0.01],
  ])('chooseActions: refuses %j with floor %d', (candidate, epsilon) => {
    expect(() => chooseActions(inputOf([candidate], 1, epsilon), new ChoiceResult())).toThrow(RangeError);
  });

  it.each([NaN, -1, -Infinity])('chooseActions: refuses the gap weight %d', (gapWeight) => {
    const input = inputOf(retail(3, 1));
    input.gapWeight = gapWeight;
    expect(() => chooseActions(input, new ChoiceResult())).toThrow(/gap weight/);
  });

  it('chooseActions: with a gap weight scores are expected ones, best first, and the floor still explores', () => {
    const input = inputOf(retail(8, 9), 3, 0.1);
    input.gapWeight = 20;
    const out = new ChoiceResult();
    let explored = 0;
    for (let seed = 0; seed < 500; seed += 1) {
      input.seed0 = seed;
      chooseActions(input, out);
      if (out.explored) explored += 1;
      else expect(out.drawnScore[out.chosen[0] as number]).toBe(Math.max(...out.scoreMean.subarray(0, 8))); // three chosen
      expect(new Set(chosenOf(out)).size).toBe(3);
    }
    expect(explored).toBeGreaterThan(20);
  });
});
