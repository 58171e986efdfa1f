/** Negatives that grow with their age: what is learnt, taken back, found again after a crash, and replayed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { DECISION, OWED_UNITS } from '../../actors/effect.ts';
import { JournalMarks } from '../../actors/journal-marks.ts';
import { FIELD, LEASE } from '../../actors/record-layout.ts';
import { advanceRipening } from '../../actors/trial-ripening.ts';
import { FeatureVector } from '../../decision/features.ts';
import { PART_KIND } from '../../decision/part-register.ts';
import { WANT } from '../../decision/pipeline.ts';
import { learnResponse, learnTrial } from '../../decision/response-learning.ts';
import { ResponseModel } from '../../decision/response-model.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { recomputeDecisions } from '../../workers/recompute/recompute-decisions.ts';
import { writeCatalogText } from '../../workers/recovery.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { temporaryFolder } from '../server/running-node.ts';
import { writeDataFolder } from '../workers/recompute/written-folder.ts';
import { OneShard, requestOf, SECRET_BYTES, ZONES } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const CATALOG = catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }' });
const LINEAR = catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }', decision: 'strategy: lints,' });
/** Of 40 responses three hours late and ten as if at once: a fifth has come by the first instant, all by four hours. */
const OWED = Math.round(0.8 * OWED_UNITS);
const SEEN = (OWED_UNITS - OWED) / OWED_UNITS;
let shard: OneShard;

function decide(on: OneShard, profile: string, now: number): string {
  return on.decide({ profile, wantMask: WANT.action }, now).decisionId ?? '';
}
function track(on: OneShard, profile: string, event: string, decisionId: string, now: number): void {
  expect(on.track({ profile, event, decisionId }, now)).toBeNull();
}
/** Forty people who respond three hours after they were asked, without an impression. */
function slow(catalog = CATALOG): OneShard {
  const made = new OneShard({ catalog });
  new JournalMarks(made.store).start(made.runtime.index.catalog.versionHash, 1, 0, NOON - 4 * HOUR);
  writeCatalogText(made.store, made.runtime.index.catalog.version, catalog);
  for (let n = 0; n < 40; n++) {
    const id = decide(made, `slow-${n}`, NOON - 4 * HOUR);
    track(made, `slow-${n}`, 'click', id, NOON - HOUR);
  }
  made.models.nameVersion();
  made.store.commitNow();
  made.models.nameVersion();
  return made;
}
function sameBytes(one: OneShard, two: OneShard): boolean {
  const [a, b] = [one, two].map(({ models }) => Buffer.from(models.response.weights.buffer));
  return a?.equals(b as Buffer) === true; // two
}
/** What is owed by the leases of a person, oldest first. */
function owed(on: OneShard, profile: string): number[] {
  expect(on.runtime.open(requestOf({ profile }), NOON)).toBeNull();
  const { record } = on.runtime;
  return Array.from({ length: record.leaseCount }, (_, i) => record.leaseU8(i, LEASE.owed));
}
/** The model before, to be taught by hand what the shard should have learnt from Ann's decision. */
class Reference {
  readonly model = new ResponseModel();
  readonly id: string;
  readonly #features = new FeatureVector();
  readonly #parts: readonly [number, number, number];

  constructor(on: OneShard) {
    this.model.weights.set(on.models.response.weights);
    this.id = decide(on, 'ann', NOON);
    const { effect, index } = on.runtime;
    this.#features.reset();
    for (let i = 1; i < effect.getU16(DECISION.featureCount); i++)
      this.#features.add(effect.featureHash(i), effect.featureValue(i));
    const { actions, channels } = index.catalog;
    const { parts } = on.models;
    const action = parts.numberOf(PART_KIND.action, actions[0]?.hash ?? 0);
    this.#parts = [action, 0, parts.numberOf(PART_KIND.channel, channels[0]?.hash ?? 0)];
  }

  trial(response: 0 | 1, weight: number): this {
    learnTrial(this.model, this.#features, ...this.#parts, response, weight, null);
    return this;
  }
  response(weight: number): this {
    learnResponse(this.model, this.#features, ...this.#parts, weight, null);
    return this;
  }
  distance(on: OneShard): number {
    return this.model.weights.reduce(
      (worst, w, at) => Math.max(worst, Math.abs(w - (on.models.response.weights[at] ?? 0))),
      0,
    );
  }
}

beforeEach(() => {
  shard = slow();
});

describe('trials that ripen', () => {
  it('seen: learnt by the share of responses that have come by then; the rest is owed', () => {
    const reference = new Reference(shard);
    track(shard, 'ann', 'impression', reference.id, NOON + 1_000);
    expect(owed(shard, 'ann')).toEqual([OWED]);
    expect(reference.trial(0, SEEN).distance(shard)).toBe(0);
    expect(shard.runtime.ripening.pending).toBe(1);
  });

  it('response: exactly as if there had been no negative, to 1e-6', () => {
    const reference = new Reference(shard);
    track(shard, 'ann', 'impression', reference.id, NOON + 1_000);
    track(shard, 'ann', 'click', reference.id, NOON + 2_000);
    expect(owed(shard, 'ann')).toEqual([0]);
    // The negative never added, and the positive learnt where it was: the same model.
    const neverAdded = reference.trial(1, SEEN).trial(1, 1 - SEEN);
    expect(neverAdded.distance(shard)).toBeLessThan(1e-6);
    advanceRipening(shard.runtime, NOON + 9 * HOUR, 100);
    expect(neverAdded.distance(shard)).toBeLessThan(1e-6);
    expect(shard.runtime.ripening.pending).toBe(0);
  });

  it('grown old: the rest is learnt in one step, not before its time, and a late response takes all of it back', () => {
    const reference = new Reference(shard);
    track(shard, 'ann', 'impression', reference.id, NOON + 1_000);
    reference.trial(0, SEEN);
    advanceRipening(shard.runtime, NOON + 2 * HOUR, 100);
    expect([reference.distance(shard), shard.runtime.ripening.pending]).toEqual([0, 1]);
    const lastTurnAt = (): number => {
      owed(shard, 'ann');
      return shard.runtime.record.getF64(FIELD.lastTurnAt);
    };
    const before = lastTurnAt();
    advanceRipening(shard.runtime, NOON + 5 * HOUR, 100);
    expect(owed(shard, 'ann')).toEqual([0]);
    expect(reference.trial(0, 1 - SEEN).distance(shard)).toBe(0);
    expect([shard.runtime.ripening.pending, lastTurnAt()]).toEqual([0, before]);
    track(shard, 'ann', 'click', reference.id, NOON + 6 * HOUR);
    expect(reference.response(1).distance(shard)).toBe(0);
  });

  it('dismissed: nothing more is waited for', () => {
    const reference = new Reference(shard);
    track(shard, 'ann', 'impression', reference.id, NOON + 1_000);
    track(shard, 'ann', 'dismiss', reference.id, NOON + 2_000);
    expect(owed(shard, 'ann')).toEqual([0]);
    expect(
      reference
        .trial(0, SEEN)
        .trial(0, 1 - SEEN)
        .distance(shard),
    ).toBe(0);
  });

  it('a channel of fast responses: learnt in full, nothing waits', () => {
    const fast = new OneShard({ catalog: CATALOG });
    const reference = new Reference(fast);
    track(fast, 'ann', 'impression', reference.id, NOON + 1_000);
    expect([owed(fast, 'ann'), fast.runtime.ripening.pending]).toEqual([[0], 0]);
    expect(reference.trial(0, 1).distance(fast)).toBe(0);
  });

  it('leases that give way: learnt in full before they are forgotten', () => {
    for (let n = 0; n < 8; n++) track(shard, 'ann', 'impression', decide(shard, 'ann', NOON + n), NOON + n + 1);
    expect(owed(shard, 'ann')).toEqual(Array.from({ length: 8 }, () => OWED));
    const updates = shard.runtime.stats.learnUpdates;
    decide(shard, 'ann', NOON + 100);
    expect(shard.runtime.stats.learnUpdates).toBe(updates + 1);
    expect(owed(shard, 'ann')).toEqual([...Array.from({ length: 7 }, () => OWED), 0]);
  });

  it('lints: the sums are those of a response at once', () => {
    const [delayed, atOnce] = [slow(LINEAR), slow(LINEAR)];
    const id = decide(delayed, 'ann', NOON);
    track(delayed, 'ann', 'impression', id, NOON + 1_000);
    expect(owed(delayed, 'ann')).toEqual([OWED]);
    track(delayed, 'ann', 'click', id, NOON + 2_000);
    track(atOnce, 'ann', 'click', decide(atOnce, 'ann', NOON), NOON + 2_000);
    const sums = [...atOnce.models.snapshot().linear];
    expect(sums.length).toBeGreaterThan(0);
    for (const [part, row] of sums) {
      const other = delayed.models.snapshot().linear.get(part);
      row.forEach((value, i) => {
        expect(other?.[i]).toBeCloseTo(value, 9);
      });
    }
  });

  it.each(['journal', 'stored records'])('crash: found again by the %s, and it ripens the same', (source) => {
    const id = decide(shard, 'ann', NOON);
    track(shard, 'ann', 'impression', id, NOON + 1_000);
    shard.store.commitNow();
    if (source === 'stored records') shard.checkpoint();
    const next = shard.recovered();
    if (source === 'stored records') for (const bytes of shard.disk.records.values()) next.runtime.watchStored(bytes);
    expect(next.runtime.ripening.pending).toBeGreaterThan(0);
    expect(owed(next, 'ann')).toEqual([OWED]);
    for (const one of [shard, next]) {
      advanceRipening(one.runtime, NOON + 60_000, 100);
      expect(owed(one, 'ann')).toEqual([OWED]);
      advanceRipening(one.runtime, NOON + 5 * HOUR, 100);
      expect(owed(one, 'ann')).toEqual([0]);
      expect(one.runtime.ripening.pending).toBe(0);
    }
    expect(sameBytes(next, shard)).toBe(true);
    // Once more, now that the step is in a journal too.
    next.store.commitNow();
    expect(sameBytes(next.recovered(), shard)).toBe(true);
  });

  it('replay: decisions among trials that ripen are computed again bit for bit', async () => {
    for (let n = 0; n < 60; n++) {
      const now = NOON + n * HOUR * 0.3;
      advanceRipening(shard.runtime, now, 100);
      const profile = `person-${n % 7}`;
      const id = decide(shard, profile, now);
      track(shard, profile, n % 5 === 0 ? 'click' : 'impression', id, now + 1_000);
      shard.store.commitNow();
      shard.models.nameVersion();
    }
    const folder = temporaryFolder('ripening');
    mkdirSync(join(folder, 'models'));
    await writeDataFolder(folder, shard.disk);
    const reader = JournalReader.open(join(folder, 'store'));
    const differences: unknown[] = [];
    const { recomputed, decisions } = recomputeDecisions({
      reader,
      modelPath: join(folder, 'models', 'model'),
      secret: deriveSecret(SECRET_BYTES),
      zones: ZONES,
      onDifference: (difference) => differences.push(difference),
    });
    await reader.close();
    expect([differences, recomputed, decisions]).toEqual([[], 100, 100]);
    expect(shard.runtime.stats.learnUpdates).toBeGreaterThan(120);
  });
});
