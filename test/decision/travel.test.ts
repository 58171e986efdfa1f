import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kilometresBetween, leastSpeed, packPlace } from '../../decision/travel.ts';

const BERLIN = packPlace(52.52, 13.405);
const SYDNEY = packPlace(-33.869, 151.209);
const HOUR = 3_600_000;

describe('travel', () => {
  it.each([
    ['Berlin to Sydney', BERLIN, SYDNEY, 16_094],
    ['Berlin to Paris', BERLIN, packPlace(48.857, 2.352), 878],
    ['over the date line', packPlace(0, 179.9), packPlace(0, -179.9), 22],
    ['pole to pole', packPlace(90, 0), packPlace(-90, 77), 20_015],
  ])('%s, within the rounding', (_, one, other, km) => {
    expect(Math.abs(kilometresBetween(one, other) - km)).toBeLessThan(17);
    expect(kilometresBetween(other, one)).toBeCloseTo(kilometresBetween(one, other), 9);
  });

  it('what is no place is none', () => {
    for (const [latitude, longitude] of [
      [91, 0],
      [0, 181],
      [Number.NaN, 0],
      ['52', '13'],
      [undefined, 13],
      [52, null],
    ])
      expect(packPlace(latitude, longitude)).toBeNaN();
    expect(packPlace(0, -180)).toBe(packPlace(0, 180));
  });

  it('a speed is never more than the way was: nobody is suspected for rounding, or for clocks a minute apart', () => {
    expect(leastSpeed(BERLIN, 0, SYDNEY, 24 * HOUR)).toBeLessThan(900);
    expect(leastSpeed(BERLIN, 0, SYDNEY, 2 * HOUR)).toBeGreaterThan(5_000);
    const degrees = fc.double({ min: -0.05, max: 0.05, noNaN: true });
    fc.assert(
      fc.property(degrees, degrees, fc.double({ min: -60, max: 60, noNaN: true }), (north, east, latitude) => {
        const one = packPlace(latitude, 10);
        expect(leastSpeed(one, 0, packPlace(latitude + north, 10 + east), 0)).toBeLessThanOrEqual(200);
      }),
    );
  });
});
