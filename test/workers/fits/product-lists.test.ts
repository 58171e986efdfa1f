/** Baskets and sessions: where one ends, whose it is, and each product once. */
import { describe, expect, it } from 'vitest';
import type { ProductLine } from '../../../workers/fits/journal-people.ts';
import { productColumns } from '../../../workers/fits/product-lists.ts';
import type { ProductLists } from '../../../workers/jobs/fit-related.ts';

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;

/** person, product, minute, bought */
const lines = (rows: readonly (readonly [number, number, number, boolean])[]): ProductLine[] =>
  rows.map(([person, product, minute, isPurchase]) => ({
    person,
    product,
    atEpochMillis: minute * MINUTE,
    isPurchase,
  }));
const listed = ({ products, starts }: ProductLists): number[][] => {
  const all = new Uint32Array(products);
  const at = new Uint32Array(starts);
  return Array.from({ length: at.length - 1 }, (_, i) => [...all.subarray(at[i], at[i + 1])]);
};

describe('product lists', () => {
  it('product lists: purchases of one hour are a basket, of one person, each product once', () => {
    const found = productColumns(
      lines([
        [0, 1, 0, true],
        [0, 1, 10, true],
        [0, 2, 59, true],
        [0, 3, 60, true],
        [1, 4, 61, true],
        [1, 4, 1440 + 61, true],
      ]),
    );
    expect(listed(found.baskets)).toEqual([[1, 2], [3], [4], [4]]);
    expect([...new Uint32Array(found.basketPersons)]).toEqual([0, 0, 1, 1]);
    expect([...new Float64Array(found.basketDays)].map((days) => days * (DAY / MINUTE))).toEqual([0, 60, 61, 1501]);
  });

  it('product lists: a session ends with a pause above half an hour, and one product compares nothing', () => {
    const found = productColumns(
      lines([
        [0, 1, 0, false],
        [0, 2, 30, false],
        [0, 2, 31, true],
        [0, 3, 62, false],
        [0, 4, 80, false],
        [1, 5, 81, false],
        [2, 6, 81, false],
        [2, 7, 81, true],
      ]),
    );
    expect(listed(found.viewed)).toEqual([
      [1, 2],
      [3, 4],
      [6, 7],
    ]);
    expect(listed(found.bought)).toEqual([[2], [], [7]]);
    expect(listed(found.baskets)).toEqual([[2], [7]]);
  });

  it('product lists: of nothing are empty', () => {
    const found = productColumns([]);
    expect([listed(found.baskets), listed(found.viewed), found.basketDays.byteLength]).toEqual([[], [], 0]);
  });
});
