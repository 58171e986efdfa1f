/** A turn that fails by a bug of ours leaves nothing behind; a profile that fails twice is set aside, alone. */
import { describe, expect, it } from 'vitest';
import type { Effect } from '../../actors/effect.ts';
import type { Models } from '../../actors/ports.ts';
import { FAULT } from '../../proto/statuses.ts';
import type { ShardModels } from '../../workers/shard-models.ts';
import { hex } from './memory-store.ts';
import { type Fields, OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

const CATALOG = catalogText({
  traits: 'age: { type: integer }',
  products: COFFEE.replace('quoteTtl', 'stock: 5, quoteTtl'),
  actions:
    '{ key: a, channels: [app], valueMinor: 90, costMinor: 10, budgetMinor: 500, caps: [{ count: 9, per: day }] }',
});
const DECIDE: Fields = { profile: 'ann', sku: 'coffee', wantMask: 3 };

/** Models whose next lesson fails. */
class Fragile implements Models {
  isBroken = false;
  readonly #models: ShardModels;
  constructor(models: ShardModels) {
    this.#models = models;
  }
  get epoch(): number {
    return this.#models.epoch;
  }
  get response(): ShardModels['response'] {
    return this.#models.response;
  }
  get linear(): ShardModels['linear'] {
    return this.#models.linear;
  }
  get parts(): ShardModels['parts'] {
    return this.#models.parts;
  }
  negativeWeight: ShardModels['negativeWeight'] = (...words) => this.#models.negativeWeight(...words);
  nextStepAge: ShardModels['nextStepAge'] = (...words) => this.#models.nextStepAge(...words);
  pricePoint: ShardModels['pricePoint'] = (...words) => this.#models.pricePoint(...words);
  fillSendTime: ShardModels['fillSendTime'] = (...words) => this.#models.fillSendTime(...words);
  learn(event: Effect): void {
    if (this.isBroken) throw new Error('models: broken on purpose');
    this.#models.learn(event);
  }
}

function broken(): { shard: OneShard; fragile: Fragile; reported: string[] } {
  let fragile: Fragile | undefined;
  const shard = new OneShard({
    catalog: CATALOG,
    wrapModels: (models) => {
      fragile = new Fragile(models);
      return fragile;
    },
  });
  const reported: string[] = [];
  shard.runtime.onTurnFailure = (error, _type, hash) => reported.push(`${hash} ${(error as Error).message}`);
  if (fragile === undefined) throw new Error('the models were not asked for');
  return { shard, fragile, reported };
}

/** Everything a failed turn must leave alone. */
function stateOf(shard: OneShard): unknown {
  const { store } = shard;
  const journal = store.readJournal({ epoch: 1, stream: 0, batch: store.openBatch });
  return {
    record: hex(shard.recordBytes('ann')),
    journal: journal === undefined ? '' : hex(journal),
    ledger: shard.ledger.share(),
    cold: shard.runtime.readCold(),
    stateSeq: shard.runtime.record.stateSeq,
  };
}

describe('a turn that fails', () => {
  it.each([
    ['decide', (shard: OneShard) => shard.tryDecide(DECIDE, NOON + 1)],
    ['track', (shard: OneShard) => shard.track({ profile: 'ann', event: 'view', messageId: 'm' }, NOON + 1)],
    ['identify', (shard: OneShard) => shard.identify('ann', { age: 99 }, NOON + 1)],
    ['confirm', (shard: OneShard, id: string) => shard.confirm(id, NOON + 1)],
    ['release', (shard: OneShard, id: string) => shard.release(id, NOON + 1)],
  ] as const)('%s on a store that throws: record, journal, ledger and cold record as before', (_op, turn) => {
    const { shard, reported } = broken();
    shard.identify('ann', { age: 30 }, NOON);
    const id = shard.decide(DECIDE, NOON).decisionId ?? '';
    const before = stateOf(shard);
    shard.store.appendFailure = new Error('store: broken on purpose');
    expect(turn(shard, id)).toEqual(FAULT.internal);
    expect(stateOf(shard)).toEqual(before);
    expect(reported).toHaveLength(1);
    expect(reported[0]).toMatch(/^\d+\/[0-9a-f]{16} store: broken on purpose$/);
    // Once is forgiven, and the very same turn then works.
    const answer = turn(shard, id);
    expect(answer === null || 'actions' in answer).toBe(true);
  });

  it('track and confirm on models that throw: nothing of the event is kept', () => {
    const { shard, fragile } = broken();
    const id = shard.decide(DECIDE, NOON).decisionId ?? '';
    const before = stateOf(shard);
    fragile.isBroken = true;
    expect(shard.track({ profile: 'ann', event: 'click', decisionId: id, messageId: 'm' }, NOON)).toEqual(
      FAULT.internal,
    );
    fragile.isBroken = false;
    expect(stateOf(shard)).toEqual(before);
    // So the same message is no duplicate when it is sent again.
    expect(shard.track({ profile: 'ann', event: 'click', decisionId: id, messageId: 'm' }, NOON)).toBeNull();
    expect(shard.eventTurn.isDuplicate).toBe(false);
  });

  it('a record that moved to a larger slot during the failed turn is found again, with its old bytes', () => {
    const { shard } = broken();
    shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    const { record } = shard.runtime;
    let n = 0;
    // One more message id would need the next size class.
    while (record.usedBytes + 12 <= record.slotBytes)
      shard.track({ profile: 'ann', event: 'odd', messageId: `${n++}` }, NOON);
    const before = stateOf(shard);
    const { slotBytes } = record;
    shard.store.appendFailure = new Error('store: broken on purpose');
    shard.track({ profile: 'ann', event: 'odd', messageId: 'last' }, NOON);
    expect(record.slotBytes).toBeGreaterThan(slotBytes);
    expect(stateOf(shard)).toEqual(before);
    expect(shard.runtime.slab.usedSlots).toBe(1);
  });

  it('the second failure sets the profile aside, for every operation, and nobody else', () => {
    const { shard, fragile } = broken();
    const id = shard.decide(DECIDE, NOON).decisionId ?? '';
    shard.decide({ ...DECIDE, profile: 'bob' }, NOON);
    fragile.isBroken = true;
    for (let n = 0; n < 2; n++) shard.track({ profile: 'ann', event: 'click', decisionId: id }, NOON);
    fragile.isBroken = false;
    expect(shard.runtime.stats).toMatchObject({ turnFailures: 2, quarantines: 1 });
    const answers = [
      shard.tryDecide(DECIDE, NOON),
      shard.track({ profile: 'ann', event: 'view' }, NOON),
      shard.identify('ann', { age: 5 }, NOON),
      shard.confirm(id, NOON),
      shard.release(id, NOON),
    ];
    expect(answers).toEqual(answers.map(() => FAULT.quarantined));
    expect(shard.decide({ ...DECIDE, profile: 'bob' }, NOON).actions).toHaveLength(1);
    expect(shard.decide({ ...DECIDE, profile: 'cid' }, NOON).actions).toHaveLength(1);
    // Its leases end no more by timer, and that is no failure either.
    shard.advanceTimers(NOON + 200_000, 100);
    expect(shard.runtime.stats.turnFailures).toBe(2);
  });

  it('a record that cannot be read: its own profile is blamed, the one bound before goes on', () => {
    const disk = broken();
    disk.shard.decide(DECIDE, NOON);
    disk.shard.store.commitNow();
    disk.shard.checkpoint();
    const next = new OneShard({ catalog: CATALOG, disk: disk.shard.disk, epoch: 2 });
    const bobs = next.decide({ ...DECIDE, profile: 'bob' }, NOON);
    expect(bobs.actions).toHaveLength(1);
    next.store.corruptKey = [...disk.shard.disk.records.keys()][0] ?? null;
    for (let n = 0; n < 3; n++) {
      next.decide({ ...DECIDE, profile: 'bob' }, NOON);
      try {
        next.tryDecide(DECIDE, NOON);
      } catch (error) {
        next.runtime.reportTurnFailure(error);
      }
    }
    // Read twice, set aside, and not read a third time.
    expect(next.runtime.stats).toMatchObject({ turnFailures: 2, quarantines: 1 });
    expect(next.tryDecide(DECIDE, NOON)).toEqual(FAULT.quarantined);
    expect(next.decide({ ...DECIDE, profile: 'bob' }, NOON).actions).toHaveLength(1);
  });

  it('a record that cannot be read does not stop the timers of the others', () => {
    const first = broken();
    first.shard.decide(DECIDE, NOON);
    first.shard.decide({ ...DECIDE, profile: 'bob' }, NOON);
    first.shard.store.commitNow();
    first.shard.checkpoint();
    const next = first.shard.recovered();
    expect(next.ledger.share()).not.toEqual([]);
    for (const bytes of first.shard.disk.records.values()) next.runtime.watchStored(bytes);
    next.runtime.dropAll();
    for (const bytes of first.shard.disk.records.values()) next.runtime.watchStored(bytes);
    next.store.corruptKey = [...first.shard.disk.records.keys()][0] ?? null;
    next.advanceTimers(NOON + 200_000, 100);
    expect(next.runtime.stats).toMatchObject({ turnFailures: 1, leasesExpired: 1 });
    const held = next.ledger.share().reduce((sum, row) => sum + row.held, 0);
    // The other one's budget and unit are free again.
    expect(held).toBe(11);
  });
});
