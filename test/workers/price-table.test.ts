import { describe, expect, it } from 'vitest';
import { createPriceMemory, type HourPrice, PriceTable } from '../../workers/price-table.ts';

function tables(count: number): PriceTable[] {
  const memory = createPriceMemory();
  return Array.from({ length: count }, () => new PriceTable(memory));
}
const priced = (priceMinor: number) => (): HourPrice => ({ priceMinor, propensity: 0.5, promotion: -1 });
const never = (): never => {
  throw new Error('drawn although it was published');
};

describe('price table', () => {
  it('the first to ask draws, everybody else reads, for this hour and product', () => {
    const [one, two] = tables(2) as [PriceTable, PriceTable];
    expect(one.priceOf(0, 500, priced(990)).priceMinor).toBe(990);
    expect([two.priceOf(0, 500, never).priceMinor, one.priceOf(0, 500, never).priceMinor]).toEqual([990, 990]);
    expect(two.priceOf(1, 500, priced(10)).priceMinor).toBe(10);
    expect(two.priceOf(0, 501, priced(995)).priceMinor).toBe(995);
    expect(one.priceOf(0, 501, never).priceMinor).toBe(995);
  });

  it('a clock a moment behind the turn of the hour draws for itself and takes nothing away', () => {
    const [ahead, behind] = tables(2) as [PriceTable, PriceTable];
    ahead.priceOf(0, 501, priced(995));
    expect(behind.priceOf(0, 500, priced(990)).priceMinor).toBe(990);
    expect(ahead.priceOf(0, 501, never).priceMinor).toBe(995);
    expect(behind.priceOf(0, 501, never).priceMinor).toBe(995);
  });

  it('a draw that fails is not waited for: the next one draws for itself', () => {
    const [one, two] = tables(2) as [PriceTable, PriceTable];
    expect(() => one.priceOf(0, 500, never).priceMinor).toThrow('drawn');
    expect(two.priceOf(0, 500, priced(990)).priceMinor).toBe(990);
    expect(two.priceOf(0, 501, priced(995)).priceMinor).toBe(995);
    expect(one.priceOf(0, 501, never).priceMinor).toBe(995);
  });

  it('clear: all prices are drawn anew, also those of the hour before', () => {
    const [one, two] = tables(2) as [PriceTable, PriceTable];
    one.priceOf(0, 500, priced(990));
    two.clear();
    expect(one.priceOf(0, 500, priced(700)).priceMinor).toBe(700);
    expect(two.priceOf(0, 500, never).priceMinor).toBe(700);
  });

  it('the last slot is shared, the one behind is each shard’s own', () => {
    const [one, two] = tables(2) as [PriceTable, PriceTable];
    one.priceOf(16_383, 500, priced(1));
    expect(two.priceOf(16_383, 500, never).priceMinor).toBe(1);
    one.priceOf(16_384, 500, priced(2));
    expect(two.priceOf(16_384, 500, priced(3)).priceMinor).toBe(3);
  });

  it('a draw is told the price before it and the reference price, by whoever drew it; a clear forgets both', () => {
    const [one, two] = tables(2) as [PriceTable, PriceTable];
    const told: number[][] = [];
    const draw = (price: number) => (previous: number, reference: number) => {
      told.push([previous, reference]);
      return priced(price)();
    };
    one.priceOf(3, 500, draw(1000));
    two.priceOf(3, 501, draw(1200));
    one.priceOf(3, 700, draw(1100));
    one.clear();
    one.priceOf(3, 701, draw(900));
    expect(told).toEqual([
      [-1, -1],
      [1000, 1000],
      [1200, 1001],
      [-1, -1],
    ]);
  });
});
