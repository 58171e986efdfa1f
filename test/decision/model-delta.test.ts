import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { applyDelta, ModelDelta } from '../../decision/model-delta.ts';
import { drawUniform } from '../../decision/random.ts';
import { learnResponse, learnTrial, TOUCHES_MAX } from '../../decision/response-learning.ts';
import { predict, ResponseModel } from '../../decision/response-model.ts';

function person(seed: number): FeatureVector {
  const out = new FeatureVector();
  for (let i = 0; i < 20; i += 1) out.add(mixHash(i, Math.floor(drawUniform(seed, 1, i, 1) * 6)), 1);
  return out;
}

function learn(model: ResponseModel, seed: number, delta: ModelDelta | null): void {
  const response = drawUniform(seed, 2, 2, 2) < 0.3 ? 1 : 0;
  learnTrial(model, person(seed % 40), 4 + (seed % 4), 1 + (seed % 2), 3, response, 1, delta);
  if (response === 0 && seed % 3 === 0) {
    learnResponse(model, person(seed % 40), 4 + (seed % 4), 1 + (seed % 2), 3, 1, delta);
  }
}

function copyOf(model: ResponseModel): ResponseModel {
  return new ResponseModel(model.weights.slice().buffer);
}

/** Largest difference of precision and of precision x mean. */
function distance(a: ResponseModel, b: ResponseModel): number {
  let worst = 0;
  for (let at = 0; at < a.weights.length; at += 2) {
    const qa = a.weights[at + 1] as number; // at + 1 < length
    const qb = b.weights[at + 1] as number; // at + 1 < length
    const natural = Math.abs(qa * (a.weights[at] as number) - qb * (b.weights[at] as number)); // at < length
    worst = Math.max(worst, Math.abs(qa - qb), natural);
  }
  return worst;
}

describe('model delta', () => {
  it('applyDelta: base plus what a shard recorded is the shard, to 1e-9', () => {
    const base = new ResponseModel();
    const shard = new ResponseModel();
    const delta = new ModelDelta();
    for (let seed = 0; seed < 300; seed += 1) learn(shard, seed, delta);
    expect(distance(base, shard)).toBeGreaterThan(1);
    applyDelta(base, delta);
    expect(distance(base, shard)).toBeLessThan(1e-9);
  });

  it('applyDelta: two shards merged into a common base in fixed order are equal bit for bit', () => {
    const base = new ResponseModel();
    for (let seed = 0; seed < 50; seed += 1) learn(base, seed, null);
    const shards = [copyOf(base), copyOf(base)];
    const deltas = [new ModelDelta(), new ModelDelta()];
    for (let seed = 0; seed < 200; seed += 1)
      learn(shards[seed % 2] as ResponseModel, seed, deltas[seed % 2] as ModelDelta); // two
    const merged = [copyOf(base), copyOf(base)];
    for (const model of merged) for (const delta of deltas) applyDelta(model, delta);
    expect(merged[0]?.weights).toEqual(merged[1]?.weights);
    // The order of the shards matters only in the last bits.
    const other = copyOf(base);
    for (const delta of deltas.toReversed()) applyDelta(other, delta);
    expect(distance(other, merged[0] as ResponseModel)).toBeLessThan(1e-9); // two
    // A shard that adds only the other's delta to its own model gets there as well.
    applyDelta(shards[0] as ResponseModel, deltas[1] as ModelDelta); // two
    expect(distance(shards[0] as ResponseModel, merged[0] as ResponseModel)).toBeLessThan(1e-9); // two
  });

  it('applyDelta: evidence of two shards adds up: precisions gained are the sum of both', () => {
    const delta = new ModelDelta();
    learn(new ResponseModel(), 1, delta);
    const model = new ResponseModel();
    applyDelta(model, delta);
    applyDelta(model, delta);
    const slot = delta.indices[0] as number; // learn touched some
    expect(model.weights[2 * slot + 1]).toBeCloseTo(1 + 2 * (delta.precision[0] as number), 14); // as above
    expect(model.weights[2 * slot]).toBeCloseTo(
      (2 * (delta.natural[0] as number)) / (model.weights[2 * slot + 1] as number), // as above
      12,
    );
  });

  it('ModelDelta: one entry a slot, sums for any sequence, and empty after clear', () => {
    const delta = new ModelDelta(TOUCHES_MAX);
    const entry = fc.tuple(
      fc.integer({ min: 0, max: 100 }),
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: -9, max: 9 }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 300 }), (entries) => {
        delta.clear();
        const expected = new Map<number, [number, number]>();
        for (const [slot, precision, natural] of entries) {
          delta.add(slot, precision, natural);
          const [q, b] = expected.get(slot) ?? [0, 0];
          expected.set(slot, [q + precision, b + natural]);
        }
        const found = new Map<number, [number, number]>();
        for (let at = 0; at < delta.count; at += 1) {
          found.set(delta.indices[at] as number, [delta.precision[at] as number, delta.natural[at] as number]); // at < count
        }
        expect(found).toEqual(expected);
        expect(delta.room).toBe(TOUCHES_MAX - expected.size);
      }),
    );
  });

  it('learnTrial: refuses before any change when the delta might overflow, and goes on after a flush', () => {
    const model = new ResponseModel();
    const delta = new ModelDelta(TOUCHES_MAX + 10);
    let learnt = 0;
    while (!delta.needsFlush) {
      learnTrial(model, person(learnt), 1, 2, 3, 1, 1, delta);
      learnt += 1;
    }
    expect(learnt).toBeGreaterThan(0);
    const before = model.weights.slice();
    const count = delta.count;
    expect(() => learnTrial(model, person(1), 1, 2, 3, 1, 1, delta)).toThrow('flush');
    expect(() => learnResponse(model, person(1), 1, 2, 3, 1, delta)).toThrow('flush');
    expect(model.weights).toEqual(before);
    expect(delta.count).toBe(count);
    delta.clear();
    expect([delta.count, delta.needsFlush]).toEqual([0, false]);
    learnTrial(model, person(1), 1, 2, 3, 1, 1, delta);
    expect(delta.count).toBeGreaterThan(0);
  });

  it('ModelDelta: refuses a capacity below one observation, and a slot too many', () => {
    expect(() => new ModelDelta(TOUCHES_MAX - 1)).toThrow(RangeError);
    expect(() => new ModelDelta(NaN)).toThrow(RangeError);
    const delta = new ModelDelta(TOUCHES_MAX);
    for (let slot = 0; slot < TOUCHES_MAX; slot += 1) delta.add(slot, 1, 1);
    expect(delta.room).toBe(0);
    delta.add(0, 1, 1);
    expect(() => delta.add(TOUCHES_MAX, 1, 1)).toThrow(RangeError);
  });

  it('shards merged every 100 trials predict as one model that saw all, within a tenth of a logit', () => {
    // Not equal: a shard linearises at what it has seen so far.
    const single = new ResponseModel();
    const base = new ResponseModel();
    const deltas = [new ModelDelta(), new ModelDelta()];
    let shards = [copyOf(base), copyOf(base)];
    for (let seed = 0; seed < 2000; seed += 1) {
      learn(single, seed, null);
      learn(shards[seed & 1] as ResponseModel, seed, deltas[seed & 1] as ModelDelta); // two
      if (seed % 100 !== 99) continue;
      for (const delta of deltas) {
        applyDelta(base, delta);
        delta.clear();
      }
      shards = [copyOf(base), copyOf(base)];
    }
    const out = new Float64Array(2);
    for (let seed = 0; seed < 40; seed += 1) {
      predict(single, person(seed), 4 + (seed % 4), 1 + (seed % 2), 3, out);
      const [mean, variance] = [...out] as [number, number]; // length 2
      predict(base, person(seed), 4 + (seed % 4), 1 + (seed % 2), 3, out);
      expect(Math.abs((out[0] as number) - mean)).toBeLessThan(0.1); // length 2
      expect((out[1] as number) / variance).toBeCloseTo(1, 1); // length 2
    }
  });
});
