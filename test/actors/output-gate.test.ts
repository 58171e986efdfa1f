import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HeldReply, OutputGate } from '../../actors/output-gate.ts';

type Fate = 'committed' | 'failed' | 'expired';

function recorder(): { fates: Map<number, Fate>; order: number[]; reply: (n: number, deadline?: number) => HeldReply } {
  const fates = new Map<number, Fate>();
  const order: number[] = [];
  const settle = (n: number, fate: Fate): void => {
    if (fates.has(n)) throw new Error(`reply ${n} is answered twice`);
    fates.set(n, fate);
    order.push(n);
  };
  const reply = (n: number, deadlineMicros = Number.POSITIVE_INFINITY): HeldReply => ({
    deadlineMicros,
    onCommitted: () => settle(n, 'committed'),
    onFailed: () => settle(n, 'failed'),
    onExpired: () => settle(n, 'expired'),
  });
  return { fates, order, reply };
}

describe('output gate', () => {
  it('open: lets out the batch and those before it, in order, and keeps the later ones', () => {
    const { order, reply } = recorder();
    const gate = new OutputGate(10);
    [7, 7, 8, 9].forEach((batch, n) => {
      gate.hold(batch, reply(n));
    });
    gate.open(6);
    expect(order).toEqual([]);
    gate.open(8);
    expect(order).toEqual([0, 1, 2]);
    expect(gate.depth).toBe(1);
    gate.open(8);
    gate.open(100);
    expect(order).toEqual([0, 1, 2, 3]);
    expect(gate.depth).toBe(0);
  });

  it('breakAll: fails every waiting reply, of later batches too, and holds anew', () => {
    const { fates, reply } = recorder();
    const gate = new OutputGate(10);
    gate.hold(1, reply(0));
    gate.hold(2, reply(1));
    gate.breakAll();
    gate.hold(1, reply(2));
    gate.open(1);
    expect([...fates]).toEqual([
      [0, 'failed'],
      [1, 'failed'],
      [2, 'committed'],
    ]);
  });

  it('expire: answers at the deadline itself, once, whatever becomes of the batch', () => {
    const { fates, reply } = recorder();
    const gate = new OutputGate(10);
    gate.hold(1, reply(0, 100));
    gate.hold(1, reply(1));
    gate.expire(99);
    expect(fates.size).toBe(0);
    gate.expire(100);
    expect(fates.get(0)).toBe('expired');
    expect(gate.depth).toBe(1);
    gate.open(1);
    expect(fates.get(1)).toBe('committed');
    expect(fates.size).toBe(2);
  });

  it.each([0, 1, 3])('isFull: true from %d replies on when that is the bound', (depthMax) => {
    const { reply } = recorder();
    const gate = new OutputGate(depthMax);
    for (let n = 0; n < depthMax; n++) {
      expect(gate.isFull).toBe(false);
      gate.hold(1, reply(n));
    }
    expect(gate.isFull).toBe(true);
    gate.open(1);
    expect(gate.isFull).toBe(depthMax === 0);
  });

  it('any order of holds, opens, deadlines and breaks: each reply settles once and as it should', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('hold' as const), value: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ kind: fc.constant('open' as const), value: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ kind: fc.constant('expire' as const), value: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ kind: fc.constant('break' as const), value: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { fates, reply } = recorder();
        const gate = new OutputGate(1000);
        const waiting = new Map<number, { batch: number; deadline: number }>();
        const expected = new Map<number, Fate>();
        let batch = 1;
        let n = 0;
        const settle = (fate: Fate, isDue: (w: { batch: number; deadline: number }) => boolean): void => {
          for (const [id, w] of [...waiting]) {
            if (!isDue(w)) continue;
            waiting.delete(id);
            expected.set(id, fate);
          }
        };
        for (const { kind, value } of steps) {
          if (kind === 'hold') {
            const deadline = value === 0 ? Number.POSITIVE_INFINITY : value;
            waiting.set(n, { batch, deadline });
            gate.hold(batch, reply(n++, deadline));
            if (value % 3 === 0) batch++;
          } else if (kind === 'open') {
            gate.open(batch - value);
            settle('committed', (w) => w.batch <= batch - value);
          } else if (kind === 'expire') {
            gate.expire(value);
            settle('expired', (w) => w.deadline <= value);
          } else {
            gate.breakAll();
            settle('failed', () => true);
          }
          expect(gate.depth).toBe(waiting.size);
        }
        expect(fates).toEqual(expected);
      }),
    );
  });

  it('open: 10,000 batches settled one behind the other keep their order', () => {
    const { order, reply } = recorder();
    const gate = new OutputGate(100_000);
    for (let n = 0; n < 10_000; n++) {
      gate.hold(n, reply(n));
      gate.hold(n, reply(n + 10_000));
      if (n >= 5_000) gate.open(n - 5_000);
    }
    gate.open(10_000);
    expect(order).toEqual(Array.from({ length: 20_000 }, (_, i) => (i >> 1) + (i & 1) * 10_000));
  });
});
