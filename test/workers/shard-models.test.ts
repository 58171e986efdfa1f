/** What a shard has learnt: snapshots that are copies, signals where they belong. Between shards: learning-exchange.test.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EFFECT, EVENT, TEACHING } from '../../actors/effect.ts';
import { newestEntryOf, PersonChain } from '../../actors/person-chain.ts';
import { EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { TILT_SLOTS } from '../../decision/hour-tilt.ts';
import { RESPONSE_MODEL_BYTES } from '../../decision/response-model.ts';
import { type SendTimeInput, WEEK_SLOTS } from '../../decision/send-time.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import { type ModelState, ShardModels } from '../../workers/shard-models.ts';
import { OneShard, ZONES } from '../actors/one-shard.ts';
import { COFFEE, catalogText, NOON } from '../actors/test-catalog.ts';

const CATALOG = catalogText({
  channels: '{ app: {}, push: {} }',
  actions: '{ key: a, category: k, channels: [app], valueMinor: 9 }, { key: b, channels: [app], valueMinor: 8 }',
  products: COFFEE,
});
const EVENTS = ['impression', 'click', 'dismiss', 'purchase', 'open'];

function teach(shard: OneShard, profile: string, count: number): void {
  for (let n = 0; n < count; n++) {
    const now = NOON + n * 1_800_000;
    const { decisionId } = shard.decide(
      { profile: `${profile}${n % 5}`, wantMask: 3, sku: 'coffee', count: 1 + (n % 2) },
      now,
    );
    const event = EVENTS[n % EVENTS.length] as string;
    expect(shard.track({ profile: `${profile}${n % 5}`, event, decisionId: decisionId ?? '' }, now)).toBeNull();
  }
}
function expectAlike(one: ModelState, two: ModelState): void {
  const [a, b] = [new Float64Array(one.response), new Float64Array(two.response)];
  let apart = 0;
  for (let i = 0; i < a.length; i++) apart = Math.max(apart, Math.abs((a[i] as number) - (b[i] as number)));
  expect(apart).toBeLessThan(1e-9);
  for (const part of ['demand', 'weeks', 'zones'] as const) {
    expect([...two[part].keys()].sort()).toEqual([...one[part].keys()].sort());
    for (const [hash, values] of one[part]) {
      for (const [i, value] of values.entries()) {
        const scale = Math.max(1, Math.abs(value));
        expect((two[part].get(hash)?.[i] ?? Number.NaN) / scale).toBeCloseTo(value / scale, 9);
      }
    }
  }
}

describe('shard models', () => {
  it('snapshot: a copy of the response model in shared memory; a new shard from it knows the same', () => {
    const shard = new OneShard({ catalog: CATALOG });
    teach(shard, 'p', 20);
    const state = structuredClone({ ...shard.models.snapshot(), response: shard.models.snapshot().response });
    expect(state.response.byteLength).toBe(RESPONSE_MODEL_BYTES);
    const { catalog } = shard.runtime.index;
    const prices = new PriceTable(createPriceMemory());
    const copy = new ShardModels(
      catalog,
      shard.store,
      prices,
      new Uint32Array(2),
      (zone) => ZONES.zoneName(zone),
      false,
      state,
    );
    expectAlike(state, copy.snapshot());
    teach(shard, 'p', 5);
    // Neither follows the other.
    expectAlike(state, copy.snapshot());
    expect(new Float64Array(shard.models.snapshot().response)).not.toEqual(new Float64Array(copy.snapshot().response));
  });

  it('load: forgets everything but the given state, or all of it', () => {
    const fresh = new OneShard({ catalog: CATALOG }).models.snapshot();
    const shard = new OneShard({ catalog: CATALOG });
    teach(shard, 'p', 12);
    shard.models.load(undefined);
    expectAlike(fresh, shard.models.snapshot());
  });

  it('send-time: a signal counts for the channel it came by, and for the look-alikes of its zone', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    shard.track({ profile: 'ann', event: 'click', decisionId: decisionId ?? '' }, NOON);
    const input = {
      zone: ZONES.zoneIndexByName('UTC'),
      week: new Float64Array(0),
      zoneTilt: new Float64Array(0),
    } as unknown as SendTimeInput; // only what is filled is read
    const [app, push] = shard.runtime.index.catalog.channels;
    if (app === undefined || push === undefined) throw new Error('two channels are declared');
    // Wednesday 9:00.
    const hour = 2 * 24 + 9;
    shard.models.fillSendTime(input, app);
    const atApp = input.week[hour] as number;
    expect(input.zoneTilt).toHaveLength(TILT_SLOTS);
    expect(input.zoneTilt[9]).toBe(1);
    shard.models.fillSendTime(input, push);
    expect(input.week.length).toBeGreaterThanOrEqual(WEEK_SLOTS);
    expect(atApp - (input.week[hour] as number)).toBe(1);
    // One that names no channel counts for all of them.
    shard.track({ profile: 'ann', event: 'open' }, NOON);
    expect(input.week[hour]).toBe(atApp);
  });

  it('learn: a decision that has left the journal teaches nothing, and harms nothing', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    shard.store.commitNow();
    shard.disk.journal.clear();
    const weights = Float64Array.from(shard.models.response.weights);
    expect(shard.track({ profile: 'ann', event: 'click', decisionId: decisionId ?? '' }, NOON)).toBeNull();
    expect(Buffer.from(shard.models.response.weights.buffer).equals(Buffer.from(weights.buffer))).toBe(true);
  });

  it('unlearn: what somebody taught is as if never taught: counts exactly, sums but for rounding', () => {
    const sampled = fc.record({ others: fc.integer({ min: 5, max: 60 }), own: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(sampled, ({ others, own }) => {
        const shard = new OneShard({ catalog: CATALOG });
        teach(shard, 'p', others);
        const before = structuredClone(shard.models.snapshot());
        teach(shard, 'gone', own);
        const taught = shard.models.snapshot();
        expect(new Float64Array(taught.response)).not.toEqual(new Float64Array(before.response));
        for (let n = Math.min(own, 5) - 1; n >= 0; n--) unlearn(shard, `gone${n}`);
        const after = shard.models.snapshot();
        for (const [hash, row] of before.demand) {
          const left = after.demand.get(hash) ?? new Float64Array(0);
          expect(left.slice(0, EVIDENCE_SLOTS)).toEqual(row.slice(0, EVIDENCE_SLOTS));
        }
        for (const part of ['weeks', 'zones'] as const) {
          for (const [hash, row] of after[part]) {
            for (const [i, value] of row.entries()) expect(value).toBeCloseTo(before[part].get(hash)?.[i] ?? 0, 9);
          }
        }
        // The newest first, with nobody in between: the very inverse.
        expect(apartIn(before, after)).toBeLessThan(1e-12);
      }),
      { seed: 7, numRuns: 25 },
    );
  });
});

/** Takes back everything a profile's entries taught, the newest first. */
function unlearn(shard: OneShard, profile: string): void {
  shard.decide({ profile, wantMask: 1, isDryRun: true }, NOON);
  const chain = new PersonChain(shard.store, newestEntryOf(shard.runtime.record));
  while (chain.step() !== null) {
    if (chain.entry.type === EFFECT.event && chain.entry.getU32(EVENT.flags) & TEACHING)
      shard.models.unlearn(chain.entry);
  }
}

/** The largest difference of a weight's mean. */
function apartIn(one: ModelState, two: ModelState): number {
  const [a, b] = [new Float64Array(one.response), new Float64Array(two.response)];
  let apart = 0;
  for (let i = 0; i < a.length; i += 2) apart = Math.max(apart, Math.abs((a[i] as number) - (b[i] as number))); // one length
  return apart;
}
