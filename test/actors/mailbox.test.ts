import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mailboxes, MailboxLine } from '../../actors/mailbox.ts';

/** What it must do, plainly: a queue for each line with messages, in the order in which they are served. */
class PlainMailboxes {
  readonly queues: { line: number; messages: { owner: number; message: string }[] }[] = [];

  get waiting(): { owner: number; message: string }[] {
    return this.queues.flatMap(({ messages }) => messages);
  }

  push(line: number, owner: number, message: string): void {
    const queue = this.queues.find((one) => one.line === line);
    if (queue === undefined) this.queues.push({ line, messages: [{ owner, message }] });
    else queue.messages.push({ owner, message });
  }

  shift(): string | undefined {
    const queue = this.queues.shift();
    const first = queue?.messages.shift();
    if (queue !== undefined && queue.messages.length > 0) this.queues.push(queue);
    return first?.message;
  }
}

describe('mailboxes', () => {
  it('push and shift: lines in turn, first come first served in each, within both bounds, at random', () => {
    const step = fc.option(fc.record({ line: fc.integer({ min: 0, max: 3 }), owner: fc.integer({ min: 0, max: 4 }) }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 30 }),
        fc.array(step, { maxLength: 60 }),
        (all, each, bytesMax, steps) => {
          const boxes = new Mailboxes<{ bytes: string }>(all, each, bytesMax);
          const lines = [0, 1, 2, 3].map(() => new MailboxLine());
          const model = new PlainMailboxes();
          steps.forEach((pushed, n) => {
            if (pushed === null) {
              expect(boxes.shift()?.bytes).toBe(model.shift());
            } else {
              const { line, owner } = pushed;
              const { waiting } = model;
              const bytes = `m${n}`;
              const held = waiting.reduce((sum, one) => sum + one.message.length, 0);
              const isOwnersShare = waiting.filter((one) => one.owner === owner).length < each;
              const isTaken = waiting.length < all && isOwnersShare && held + bytes.length <= bytesMax;
              expect(boxes.push(lines[line] ?? new MailboxLine(), owner, { bytes })).toBe(isTaken);
              if (isTaken) model.push(line, owner, `m${n}`);
            }
            expect(boxes.depth).toBe(model.waiting.length);
          });
          while (boxes.depth > 0) expect(boxes.shift()?.bytes).toBe(model.shift());
          expect(boxes.shift()).toBeUndefined();
          expect(model.shift()).toBeUndefined();
        },
      ),
    );
  });

  it('shift: one message of a second line comes second, however many the first has', () => {
    const boxes = new Mailboxes<{ bytes: string }>(2_000, 2_000, 1e6);
    const [many, one] = [new MailboxLine(), new MailboxLine()];
    for (let n = 0; n < 1_000; n++) boxes.push(many, n, { bytes: `many ${n}` });
    boxes.push(one, 5_000, { bytes: 'one' });
    const first = [boxes.shift(), boxes.shift(), boxes.shift()].map((message) => message?.bytes);
    expect(first).toEqual(['many 0', 'one', 'many 1']);
  });

  it('push: refuses everything when there is no room at all', () => {
    const message = { bytes: 'x' };
    expect(new Mailboxes<typeof message>(0, 5, 9).push(new MailboxLine(), 1, message)).toBe(false);
    expect(new Mailboxes<typeof message>(5, 0, 9).push(new MailboxLine(), 1, message)).toBe(false);
    expect(new Mailboxes<typeof message>(5, 5, 0).push(new MailboxLine(), 1, message)).toBe(false);
    expect(new Mailboxes<typeof message>(0, 5, 9).shift()).toBeUndefined();
  });

  it('push: one profile at its bound leaves room for the others', () => {
    const boxes = new Mailboxes<{ bytes: string }>(4, 2, 9);
    const line = new MailboxLine();
    const taken = [1, 1, 1, 2, 2, 3].map((owner) => boxes.push(line, owner, { bytes: 'x' }));
    expect(taken).toEqual([true, true, false, true, true, false]);
    boxes.shift();
    expect(boxes.push(line, 1, { bytes: 'x' })).toBe(true);
  });
});
