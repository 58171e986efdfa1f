/** Quotes: they never rise while they stand, and their signature can be checked by anyone with the key. */
import { createHmac, hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DecidedPrice } from '../../proto/messages.ts';
import { OneShard, SECRET_BYTES } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

function catalogAt(listMinor: number, ttl = 900_000): string {
  return catalogText({
    actions: '{ key: a, channels: [app], valueMinor: 9 }',
    products: `{ sku: coffee, listMinor: ${listMinor}, floorMinor: ${Math.floor(listMinor * 0.7)}, ceilingMinor: ${Math.ceil(listMinor * 1.3)}, costMinor: 1, stepMinor: 1, quoteTtlMillis: ${ttl} }`,
  });
}
function priceOf(shard: OneShard, profile: string, now: number): DecidedPrice {
  const { price } = shard.decide({ profile, wantMask: 2, sku: 'coffee' }, now);
  if (price === undefined) throw new Error('no price');
  return price;
}

describe('quotes', () => {
  it('never rise while they stand: through hours, learning, reloads with other prices and restarts', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('ask' as const), wait: fc.integer({ min: 0, max: 600_000 }) }),
      fc.record({ kind: fc.constant('reload' as const), listMinor: fc.integer({ min: 100, max: 5_000 }) }),
      fc.record({ kind: fc.constant('buy' as const) }),
      fc.record({ kind: fc.constant('restart' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        let text = catalogAt(1000);
        let shard = new OneShard({ catalog: text });
        let standing: DecidedPrice | null = null;
        let now = NOON;
        for (const s of steps) {
          if (s.kind === 'ask') {
            now += s.wait;
            const price = priceOf(shard, 'ann', now);
            if (standing !== null && now < standing.expiresAtEpochMillis) {
              expect(price.priceMinor).toBeLessThanOrEqual(standing.priceMinor);
              // A price held back is held to its promise, no longer; a new one gets its whole time.
              expect(price.expiresAtEpochMillis).toBeGreaterThanOrEqual(standing.expiresAtEpochMillis);
            } else expect(price.expiresAtEpochMillis).toBe(now + 900_000);
            expect(price.expiresAtEpochMillis).toBeGreaterThan(now);
            standing = price;
          } else if (s.kind === 'reload') {
            text = catalogAt(s.listMinor);
            shard.reload(text);
          } else if (s.kind === 'buy' && standing !== null) {
            shard.track({ profile: 'ann', event: 'purchase', quoteId: standing.quoteId ?? '' }, now);
          } else if (s.kind === 'restart') {
            shard.store.commitNow();
            shard = shard.recovered({ catalog: text });
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('at its expiry a quote has ended: one millisecond before it holds, then the new price stands', () => {
    const shard = new OneShard({ catalog: catalogAt(1000) });
    const first = priceOf(shard, 'ann', NOON);
    shard.reload(catalogAt(4000));
    expect(priceOf(shard, 'ann', first.expiresAtEpochMillis - 1)).toMatchObject({
      priceMinor: first.priceMinor,
      expiresAtEpochMillis: first.expiresAtEpochMillis,
      disclosure: 'Your earlier quote still holds.',
    });
    expect(priceOf(shard, 'ann', first.expiresAtEpochMillis).priceMinor).toBeGreaterThanOrEqual(2_800);
    expect(priceOf(shard, 'bob', NOON + 1).priceMinor).toBeGreaterThanOrEqual(2_800);
  });

  it('two promises: the lower one holds as long as the dearer did, though the clock went back between them', () => {
    const shard = new OneShard({ catalog: catalogAt(1000) });
    const dearer = priceOf(shard, 'ann', NOON + 600_000);
    shard.reload(catalogAt(500));
    const lower = priceOf(shard, 'ann', NOON);
    expect(lower.priceMinor).toBeLessThan(dearer.priceMinor);
    expect(lower.expiresAtEpochMillis).toBe(dearer.expiresAtEpochMillis);
    shard.reload(catalogAt(4000));
    expect(priceOf(shard, 'ann', dearer.expiresAtEpochMillis - 1).priceMinor).toBe(lower.priceMinor);
    expect(priceOf(shard, 'ann', dearer.expiresAtEpochMillis).priceMinor).toBeGreaterThanOrEqual(2_800);
  });

  it('the price of an hour is the same for everybody', () => {
    const shard = new OneShard({ catalog: catalogAt(1000) });
    const prices = new Set(Array.from({ length: 50 }, (_, n) => priceOf(shard, `p${n}`, NOON + n * 60_000).priceMinor));
    expect(prices.size).toBe(1);
  });

  it('the signature is the HMAC of the documented bytes under the derived key', () => {
    const shard = new OneShard({ catalog: catalogAt(1000) });
    const price = priceOf(shard, 'ann', NOON);
    const key = Buffer.from(hkdfSync('sha256', SECRET_BYTES, new Uint8Array(0), 'opportune quote signature', 32));
    const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
    const signatureOf = (priceMinor: number): string => {
      const numbers = Buffer.alloc(13);
      numbers.writeUIntBE(priceMinor, 1, 6);
      numbers.writeUIntBE(price.expiresAtEpochMillis, 7, 6);
      const bytes = Buffer.concat([Buffer.from([1]), numbers, text(price.quoteId ?? ''), text('coffee'), text('EUR')]);
      return createHmac('sha256', key).update(bytes).digest('base64url');
    };
    expect(price.signature).toBe(signatureOf(price.priceMinor));
    expect(price.signature).not.toBe(signatureOf(price.priceMinor + 1));
  });
});
