import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clientAddress } from '../../../server/access/client-address.ts';
import { RateLimit, TokenBucket } from '../../../server/access/rate-limit.ts';

describe('rate limit', () => {
  it('bucket: a second’s worth at once, then the rate', () => {
    const bucket = new TokenBucket(10, 0);
    const taken = (micros: number): boolean => bucket.take(micros);
    expect(Array.from({ length: 12 }, () => taken(0)).filter(Boolean)).toHaveLength(10);
    expect(taken(99_000)).toBe(false);
    expect(taken(101_000)).toBe(true);
    expect(taken(101_000)).toBe(false);
  });
  it('bucket: less than one a second lets one through, and the next in its time', () => {
    const bucket = new TokenBucket(0.5, 0);
    expect([bucket.take(0), bucket.take(1_900_000), bucket.take(2_000_001)]).toEqual([true, false, true]);
  });
  it('bucket: over any stretch never more than the burst and the rate', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 1e4, noNaN: true }),
        fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 300 }),
        (perSecond, gaps) => {
          const bucket = new TokenBucket(perSecond, 0);
          let now = 0;
          let taken = 0;
          for (const gap of gaps) {
            now += gap;
            if (bucket.take(now)) taken++;
          }
          expect(taken).toBeLessThanOrEqual(Math.max(1, perSecond) + (perSecond * now) / 1e6 + 1e-6);
        },
      ),
    );
  });
  it('limit: callers do not share, connections of one do', () => {
    const limit = new RateLimit(1, 10);
    const [a, again, b] = [limit.hold('a', 0), limit.hold('a', 0), limit.hold('b', 0)];
    expect(again).toBe(a);
    expect([a?.take(0), again?.take(0), b?.take(0)]).toEqual([true, false, true]);
  });
  it('limit: reconnecting does not fill the bucket', () => {
    const limit = new RateLimit(1, 10);
    const bucket = limit.hold('a', 0) ?? null;
    expect(bucket?.take(0)).toBe(true);
    limit.release(bucket);
    expect(limit.hold('a', 1000)?.take(1000)).toBe(false);
  });
  it('limit: the table is bounded; who is idle and full again makes room, who is not stays', () => {
    const limit = new RateLimit(1, 3);
    const held = limit.hold('held', 0);
    expect(limit.takeOnce('spent', 0)).toBe(true);
    expect(limit.takeOnce('idle', 0)).toBe(true);
    expect(limit.hold('new', 500_000)).toBeUndefined();
    expect(limit.takeOnce('new', 600_000)).toBe(false);
    expect(limit.size).toBe(3);
    expect(limit.takeOnce('spent', 1_400_000)).toBe(true);
    expect(limit.hold('new', 1_500_001)).toBeDefined();
    expect(limit.size).toBe(3);
    expect(limit.hold('held', 1_500_001)).toBe(held);
    expect(limit.takeOnce('spent', 1_500_001)).toBe(false);
  });
  it('limit: 0 is none', () => {
    const limit = new RateLimit(0, 0);
    expect(limit.hold('a', 0)).toBeNull();
    expect(limit.takeOnce('a', 0)).toBe(true);
    limit.release(null);
    expect(limit.size).toBe(0);
  });
});

describe('client address', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['0000:0000:0000:0000:0000:ffff:0a01:0203', '10.1.2.3'],
    ['2001:db8:0:1::5', '2001:db8:0:1::/64'],
    ['2001:0db8:0000:0001:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
    ['', 'unknown'],
    ['1:2:3', 'unknown'],
    ['1::2::3', 'unknown'],
    ['1:2:3:4:5:6:7::8', 'unknown'],
    ['12345::', 'unknown'],
    ['shop.example', 'unknown'],
  ])('address: %j counts as %s', (text, expected) => expect(clientAddress(text)).toBe(expected));
});
