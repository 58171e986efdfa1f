import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitScale, rowsOf, scaled, scaleRow, unitScale, VALUE_MAX } from '../../../decision/batch/person-table.ts';

const table = (width: number, ...values: number[]) => ({ values: Float64Array.from(values), width });
const value = fc.double({ min: -VALUE_MAX, max: VALUE_MAX, noNaN: true });

describe('person table', () => {
  it('fitScale: population mean and deviation of each column', () => {
    const scale = fitScale(table(2, 1, 10, 3, 10, 5, 10));
    expect([...scale.means]).toEqual([3, 10]);
    expect(scale.deviations[0]).toBeCloseTo(Math.sqrt(8 / 3), 12);
    expect(scale.deviations[1]).toBe(0);
  });

  it('fitScale: no row gives a scale of zeros, one row scales to zeros', () => {
    expect([...fitScale(table(2)).deviations]).toEqual([0, 0]);
    const one = table(2, 7, -7);
    expect([...scaled(one, fitScale(one)).values]).toEqual([0, 0]);
  });

  it('fitScale: a large mean costs no digits, and rounding is no variation', () => {
    const far = fitScale(table(1, 1e9, 1e9 + 1, 1e9 + 2));
    expect(far.deviations[0]).toBeCloseTo(Math.sqrt(2 / 3), 9);
    expect(fitScale(table(1, 0.1, 0.1, 0.1)).deviations[0]).toBe(0);
  });

  it('scaled: every column has mean 0 and deviation 1 or is all 0, for any finite values', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(value, { maxLength: 40 }), (width, all) => {
        const whole = table(width, ...all.slice(0, all.length - (all.length % width)));
        const rows = rowsOf(whole);
        const { values } = scaled(whole, fitScale(whole));
        for (let column = 0; column < width && rows > 0; column += 1) {
          const scores = [...values].filter((_, i) => i % width === column);
          const squares = scores.reduce((sum, z) => sum + z * z, 0) / rows;
          expect(Math.min(Math.abs(squares - 1), Math.abs(squares))).toBeLessThan(1e-6);
        }
      }),
    );
  });

  it('scaleRow: what is not known is the mean, and no input is too large', () => {
    const out = new Float64Array(3);
    scaleRow(fitScale(table(3, 0, 0, 5, 2, 2, 5)), Float64Array.of(Number.NaN, Infinity, -Infinity), out);
    expect(out[0]).toBe(0);
    expect(out[1]).toBe(VALUE_MAX - 1);
    expect(out[2]).toBe(0);
    scaleRow(unitScale(1), Float64Array.of(3), out.subarray(0, 1));
    expect(out[0]).toBe(3);
  });

  it.each([
    ['NaN', table(2, 1, Number.NaN), /row 0, column 1 is NaN/],
    ['an infinity', table(1, 1, Infinity), /row 1, column 0 is Infinity/],
    ['more than VALUE_MAX', table(1, 2 * VALUE_MAX), /row 0, column 0/],
    ['a part of a row', table(2, 1, 2, 3), /3 values are no rows of 2/],
    ['no column', table(0), /width 0/],
  ])('rowsOf: refuses %s', (_, wrong, message) => {
    expect(() => rowsOf(wrong)).toThrow(message);
    expect(() => fitScale(wrong)).toThrow(RangeError);
  });
});
