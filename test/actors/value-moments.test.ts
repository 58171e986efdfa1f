/** Values of properties in a record: kept as long as a rule reads them, months as the person's calendar has them. */
import { describe, expect, it } from 'vitest';
import { VALUE_MOMENT } from '../../decision/catalog.ts';
import type { Scalar } from '../../proto/messages.ts';
import { OneShard } from './one-shard.ts';
import { catalogText } from './test-catalog.ts';

const at = (text: string): number => Date.parse(`${text}Z`);
const RULES = {
  streak: 'streak("buy", "brand", 3) == 2',
  where: 'countWhere("buy", "size", "42", "1d") == 2',
  flag: 'countWhere("buy", "gift", "true", "1d") == 1',
};
function shardOf(rule: string): OneShard {
  return new OneShard({
    catalog: catalogText({ actions: `{ key: a, channels: [app], valueMinor: 9, eligibility: '${rule}' }` }),
  });
}
function isOffered(shard: OneShard, now: number): boolean {
  return shard.decide({ profile: 'ann', slot: 'home', isDryRun: true }, now).actions.length > 0;
}
function buy(shard: OneShard, now: number, properties: Record<string, Scalar>): void {
  expect(shard.track({ profile: 'ann', event: 'buy', properties }, now)).toBeNull();
}

describe('values of properties', () => {
  it.each([
    ['UTC', false],
    ['Asia/Shanghai', true],
  ])('streak: months are those of the person, who lives in %s', (timeZone, expected) => {
    const shard = shardOf(RULES.streak);
    shard.identify('ann', { timeZone }, at('2026-03-01T00:00:00'));
    buy(shard, at('2026-03-31T15:59:59'), { brand: 'acme' });
    buy(shard, at('2026-03-31T16:00:00'), { brand: 'acme' });
    // 1 May in Shanghai, where the second was bought in April.
    expect(isOffered(shard, at('2026-04-30T16:30:00'))).toBe(expected);
  });

  it('countWhere: numbers and truths count as their text, other values and none do not', () => {
    const shard = shardOf(RULES.where);
    const now = at('2026-03-01T00:00:00');
    for (const size of [42, '42', 43, null, ' 42']) buy(shard, now, { size });
    buy(shard, now, {});
    expect(isOffered(shard, now)).toBe(true);
    const gifts = shardOf(RULES.flag);
    for (const gift of [true, false]) buy(gifts, now, { gift });
    expect(isOffered(gifts, now)).toBe(true);
    expect(isOffered(gifts, now + 86_399_999)).toBe(true);
    expect(isOffered(gifts, now + 86_400_000)).toBe(false);
  });

  it('only what some rule reads is kept, and what is too old already is not', () => {
    const shard = shardOf(RULES.where);
    const now = at('2026-03-01T00:00:00');
    buy(shard, now, { size: 42, brand: 'acme' });
    shard.track({ profile: 'ann', event: 'buy', properties: { size: 42 }, atEpochMillis: now - 86_400_000 }, now);
    shard.track({ profile: 'ann', event: 'view', properties: { size: 42 } }, now);
    const { record } = shard.runtime;
    const kinds = Array.from({ length: record.momentCount }, (_, i) => record.momentKind(i));
    expect(kinds.filter((kind) => kind === VALUE_MOMENT)).toHaveLength(1);
  });
});
