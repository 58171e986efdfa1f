/** What is far from usual: by median and MAD, which wild values do not move. */
import { describe, expect, it } from 'vitest';
import { RobustSpread } from '../../../decision/cleaning/robust-spread.ts';

describe('RobustSpread', () => {
  it('nothing is far before 32 values, nor where most are equal', () => {
    const spread = new RobustSpread();
    for (let i = 0; i < 31; i++) spread.add(i);
    expect(spread.isFar(1e9, 3)).toBe(false);
    const equal = new RobustSpread();
    for (let i = 0; i < 64; i++) equal.add(5);
    expect(equal.isFar(6, 3)).toBe(false);
  });

  it('median and MAD of 1 to 63 are 32 and 16; a third of wild values moves the bound little', () => {
    const spread = new RobustSpread();
    for (let i = 1; i <= 64; i++) spread.add(i);
    // 0.6745 × distance > 3 × 16, so from 71.16 on.
    expect(spread.isFar(32.5 + 71.1, 3)).toBe(false);
    expect(spread.isFar(32.5 + 71.2, 3)).toBe(true);
    for (let i = 0; i < 32; i++) spread.add(1e9);
    expect(spread.isFar(1e6, 10)).toBe(true);
  });
});
