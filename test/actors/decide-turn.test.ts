import { describe, expect, it } from 'vitest';
import { OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

describe('decide turn', () => {
  it('stock: a unit held by a price without an action comes back when its lease expires', () => {
    const product = COFFEE.replace('quoteTtl', 'stock: 3, quoteTtl');
    const shard = new OneShard({
      catalog: catalogText({ actions: '{ key: a, channels: [app], valueMinor: 1 }', products: product }),
    });
    const quotes = [0, 1, 2, 3].map(
      (i) => shard.decide({ profile: `p${i}`, wantMask: 2, sku: 'coffee' }, NOON).price?.quoteId,
    );
    expect(quotes.map((id) => id === null)).toEqual([false, false, false, true]);
    shard.runtime.advanceTimers(NOON + 122_000, 100);
    expect(shard.ledger.share()).toEqual([]);
  });
});
