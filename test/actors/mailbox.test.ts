import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mailboxes } from '../../actors/mailbox.ts';

describe('mailboxes', () => {
  it('push and shift: first come first served within both bounds, at random', () => {
    const step = fc.option(fc.integer({ min: 0, max: 4 }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(step),
        (all, each, steps) => {
          const boxes = new Mailboxes<string>(all, each);
          const model: { owner: number; message: string }[] = [];
          steps.forEach((owner, n) => {
            if (owner === null) {
              expect(boxes.shift()).toBe(model.shift()?.message);
            } else {
              const isTaken = model.length < all && model.filter((m) => m.owner === owner).length < each;
              expect(boxes.push(owner, `m${n}`)).toBe(isTaken);
              if (isTaken) model.push({ owner, message: `m${n}` });
            }
            expect(boxes.depth).toBe(model.length);
          });
          for (const { message } of model) expect(boxes.shift()).toBe(message);
          expect(boxes.shift()).toBeUndefined();
        },
      ),
    );
  });

  it('push: refuses everything when there is no room at all', () => {
    expect(new Mailboxes<number>(0, 5).push(1, 1)).toBe(false);
    expect(new Mailboxes<number>(5, 0).push(1, 1)).toBe(false);
  });

  it('push: one profile at its bound leaves room for the others', () => {
    const boxes = new Mailboxes<number>(4, 2);
    expect([1, 1, 1, 2, 2, 3].map((owner) => boxes.push(owner, owner))).toEqual([true, true, false, true, true, false]);
    boxes.shift();
    expect(boxes.push(1, 1)).toBe(true);
  });
});
