import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { localText } from '../../server/commands/render-decision.ts';
import {
  createPaint,
  formatBar,
  formatBytes,
  formatCount,
  formatDistance,
  formatDuration,
  formatInstant,
  formatMoney,
  formatShare,
  formatSignedBar,
  formatTable,
  widthOf,
} from '../../server/commands/terminal-text.ts';

describe('terminal text', () => {
  it.each([
    [12900, 'CNY', '129.00 CNY'],
    [1200, 'JPY', '1,200 JPY'],
    [1234567, 'KWD', '1,234.567 KWD'],
    [-5, 'EUR', '-0.05 EUR'],
    [0, 'EUR', '0.00 EUR'],
    [7, '??', '7 ??'],
  ])('money: %i minor units of %s read %s', (minor, currency, text) => expect(formatMoney(minor, currency)).toBe(text));
  it.each([
    [0, '0 %'],
    [1, '100.0 %'],
    [0.312, '31.2 %'],
    [0.0312, '3.12 %'],
    [0.00001, '0.0010 %'],
  ])('share: %d reads %s', (share, text) => expect(formatShare(share)).toBe(text));
  it.each([
    [0.21, '210 µs'],
    [1.234, '1.23 ms'],
    [999, '999 ms'],
    [3400, '3.4 s'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [3_601_000, '1 h'],
    [7 * 86_400_000, '7 d'],
    [90_000_000, '1 d 1 h'],
    [-125_000, '-2 min 5 s'],
  ])('duration: %d ms reads %s', (millis, text) => expect(formatDuration(millis)).toBe(text));
  it('distance: names both directions and the present', () => {
    expect(formatDistance(10_000, 0)).toBe('in 10 s');
    expect(formatDistance(0, 10_000)).toBe('10 s ago');
    expect(formatDistance(500, 0)).toBe('now');
  });
  it('instant: leaves the day out when it is today in that zone', () => {
    const now = Date.UTC(2026, 10, 22, 14, 0);
    expect(formatInstant(now + 60_000, now, 'Asia/Shanghai')).toBe('22:01:00');
    expect(formatInstant(Date.UTC(2026, 10, 23, 12), now, 'Asia/Shanghai')).toBe('Mon 23 Nov 20:00:00');
    expect(formatInstant(Number.NaN, now)).toBe('never');
  });
  it('local time: is read as written, whatever the zone of the terminal', () => {
    expect(localText('2026-11-22T20:00:00+08:00')).toBe('Sun 22 Nov 20:00 (+08:00)');
    expect(localText('2026-11-22T20:00:00Z')).toBe('Sun 22 Nov 20:00 (+00:00)');
    expect(localText('soon')).toBe('soon');
  });
  it.each([
    [0, 4, '····'],
    [1, 4, '████'],
    [0.5, 4, '██··'],
    [0.53, 4, '██▏·'],
    [2, 4, '████'],
    [-1, 4, '····'],
    [Number.NaN, 4, '····'],
  ])('bar: %d over %i', (share, width, text) => expect(formatBar(share, width)).toBe(text));
  it('bar: always has its width', () => {
    fc.assert(
      fc.property(
        fc.double(),
        fc.integer({ min: 0, max: 40 }),
        (share, width) => widthOf(formatBar(share, width)) === width,
      ),
    );
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ min: 0, noNaN: true }), (value, largest) => {
        return widthOf(formatSignedBar(value, largest, 5)) === 11;
      }),
    );
  });
  it('bar: signed ones grow to their side', () => {
    expect(formatSignedBar(1, 1, 2)).toBe('  │██');
    expect(formatSignedBar(-1, 2, 2)).toBe(' █│  ');
    expect(formatSignedBar(0, 0, 2)).toBe('  │  ');
    expect(formatSignedBar(0.0001, 1, 2)).toBe('  │█ ');
  });
  it('table: aligns by what is seen, colours and wide characters included', () => {
    const paint = createPaint(true);
    expect(widthOf(paint.bold('ab'))).toBe(2);
    expect(widthOf('咖啡')).toBe(4);
    const lines = formatTable(
      [
        ['咖啡', '1'],
        [paint.good('a'), '22'],
      ],
      ['left', 'right'],
      ' ',
    );
    expect(lines).toEqual([' 咖啡   1', ` ${paint.good('a')}     22`]);
    expect(formatTable([])).toEqual([]);
  });
  it('paint: adds nothing without colours', () => {
    const paint = createPaint(false);
    expect(paint.bold(paint.bad('x'))).toBe('x');
  });
  it('bytes and counts have their unit', () => {
    expect(formatBytes(0)).toBe('0 B');
    expect(formatBytes(1536)).toBe('1.5 KiB');
    expect(formatCount(1, 'worker')).toBe('1 worker');
    expect(formatCount(2000, 'worker')).toBe('2,000 workers');
  });
});
