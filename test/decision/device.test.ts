import { describe, expect, it } from 'vitest';
import { type DeviceRules, deviceKey, personMark } from '../../decision/device.ts';

const RULES: DeviceRules = { property: 'deviceId', personsMax: 5, perMillis: 86_400_000, except: new Set(['kiosk']) };

describe('device', () => {
  it('is named by a text or a whole number; nothing else is one, nor what is excepted', () => {
    expect(deviceKey(RULES, 'a1')).toBe('abuse.device:a1');
    expect(deviceKey(RULES, 7)).toBe('abuse.device:7');
    for (const value of ['', 'kiosk', 'x'.repeat(257), 1.5, Number.NaN, true, null, undefined, {}])
      expect(deviceKey(RULES, value)).toBe('');
  });

  it('tells people apart by 16 bits, evenly, and the same person is another number elsewhere', () => {
    const marks = new Set<number>();
    let same = 0;
    for (let person = 0; person < 20_000; person++) {
      const [low, high] = [Math.imul(person, 0x9e3779b1) >>> 0, Math.imul(person + 77, 0x85ebca6b) >>> 0];
      const mark = personMark(low, high, 0x1234_5678);
      expect(mark >= 0 && mark <= 0xffff).toBe(true);
      marks.add(mark);
      if (mark === personMark(low, high, 0x8765_4321)) same++;
    }
    // Of 20,000 drawn from 65,536 some 17,230 differ.
    expect(Math.abs(marks.size - 17_230)).toBeLessThan(600);
    expect(same).toBeLessThan(20);
  });
});
