/** Budgets and stock in shared memory, seen by several shards at once. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LEDGER } from '../../actors/effect.ts';
import { stockSubject } from '../../actors/ports.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import {
  createLedgerMemory,
  dealSlots,
  LEDGER_SLOTS,
  type LedgerSubject,
  limitsOf,
  SharedLedger,
} from '../../workers/shared-ledger.ts';
import { COFFEE, catalogText } from '../actors/test-catalog.ts';

const [A, B] = [11, 22];
const SUBJECTS: LedgerSubject[] = [
  { subjectHash: A, slot: 0, limit: 100 },
  { subjectHash: B, slot: 1, limit: 3 },
];
function ledgers(shards: number): SharedLedger[] {
  const memory = createLedgerMemory(shards);
  return Array.from({ length: shards }, (_, shard) => {
    const ledger = new SharedLedger(memory, shard);
    ledger.setSubjects(SUBJECTS);
    return ledger;
  });
}
const rowOf = (ledger: SharedLedger, subject: number): { held: number; spent: number } =>
  ledger.share().find((row) => row.subjectHash === subject) ?? { held: 0, spent: 0 };

describe('shared ledger', () => {
  it('any interleaving of three shards: taken is what they hold and have spent, and holds stop at the limit', () => {
    const step = fc.record({
      kind: fc.constantFrom('hold', 'hold', 'spend', 'free', 'replace'),
      shard: fc.integer({ min: 0, max: 2 }),
      subject: fc.constantFrom(A, B),
      amount: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const memory = createLedgerMemory(3);
        const open = (shard: number): SharedLedger => {
          const ledger = new SharedLedger(memory, shard);
          ledger.setSubjects(SUBJECTS);
          return ledger;
        };
        const all = [open(0), open(1), open(2)];
        const model = all.map(() => new Map([A, B].map((subject) => [subject, { held: 0, spent: 0 }])));
        const free = (subject: number): number =>
          (subject === A ? 100 : 3) -
          model.reduce((sum, own) => sum + (own.get(subject)?.held ?? 0) + (own.get(subject)?.spent ?? 0), 0);
        for (const { kind, shard, subject, amount } of steps) {
          const ledger = all[shard] as SharedLedger;
          const own = model[shard]?.get(subject) as { held: number; spent: number }; // made above for every shard and subject
          if (kind === 'hold') {
            const fits = amount <= free(subject);
            expect(ledger.tryHold(subject, amount)).toBe(fits);
            if (fits) own.held += amount;
          } else if (kind === 'replace') {
            // A worker that takes the place of a dead one recounts its part; the total never looks freer.
            const next = open(shard);
            const share = ledger.share();
            all[shard] = next;
            next.setShare(share);
          } else if (own.held >= amount) {
            ledger.apply(LEDGER[kind], subject, amount);
            own.held -= amount;
            if (kind === 'spend') own.spent += amount;
          }
          for (const one of all) expect(one.freeAmount(subject)).toBe(free(subject));
          expect(rowOf(all[shard] as SharedLedger, subject)).toMatchObject(own);
        }
      }),
    );
  });

  it('applyLogged: what an entry frees is free when its batch is on disk, in the order of the batches', () => {
    const [one, two] = ledgers(2) as [SharedLedger, SharedLedger];
    one.tryHold(A, 60);
    one.applyLogged(LEDGER.free, A, 20, 7);
    one.applyLogged(LEDGER.free, A, 30, 8);
    one.applyLogged(LEDGER.spend, A, 10, 8);
    expect([two.freeAmount(A), two.tryHold(A, 41), one.givenBackAmount(A)]).toEqual([40, false, 50]);
    // A checkpoint behind those entries has them all.
    expect(rowOf(one, A)).toMatchObject({ held: 0, spent: 10 });
    one.settle(6);
    expect(two.tryHold(A, 41)).toBe(false);
    one.settle(7);
    expect([two.freeAmount(A), one.givenBackAmount(A)]).toEqual([60, 30]);
    one.settle(8);
    expect([two.freeAmount(A), one.givenBackAmount(A), rowOf(one, A).held]).toEqual([90, 0, 0]);
  });

  it('a worker that dies before its giving back is on disk: the lease stands again and nobody had its place', () => {
    const memory = createLedgerMemory(2);
    const open = (shard: number): SharedLedger => {
      const ledger = new SharedLedger(memory, shard);
      ledger.setSubjects(SUBJECTS);
      return ledger;
    };
    const dying = open(0);
    const other = open(1);
    dying.tryHold(B, 3);
    dying.applyLogged(LEDGER.free, B, 1, 4);
    expect(other.tryHold(B, 1)).toBe(false);
    const next = open(0);
    next.setShare([{ subjectHash: B, held: 3, spent: 0 }]);
    expect([other.freeAmount(B), other.tryHold(B, 1)]).toEqual([0, false]);
    // Had it been on disk, its place is free by the recount.
    next.setShare([{ subjectHash: B, held: 2, spent: 0 }]);
    expect([other.freeAmount(B), other.tryHold(B, 1)]).toEqual([1, true]);
  });

  it('setShare: what was given back and is not on disk is held again', () => {
    const [ledger] = ledgers(1) as [SharedLedger];
    ledger.tryHold(A, 50);
    ledger.applyLogged(LEDGER.free, A, 50, 3);
    ledger.setShare([{ subjectHash: A, held: 50, spent: 0 }]);
    ledger.settle(Number.POSITIVE_INFINITY);
    expect(ledger.freeAmount(A)).toBe(50);
  });

  it('tryHold: exactly the limit fits, one more does not; 0 always does', () => {
    const [ledger] = ledgers(1) as [SharedLedger];
    expect([ledger.tryHold(B, 4), ledger.tryHold(B, 3), ledger.tryHold(B, 1), ledger.tryHold(B, 0)]).toEqual([
      false,
      true,
      false,
      true,
    ]);
    expect(ledger.tryHold(999, 1e15)).toBe(true);
    expect([ledger.isLimited(B), ledger.isLimited(999), ledger.freeAmount(999)]).toEqual([
      true,
      false,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it('take: what was sold without asking counts, below zero too', () => {
    const [one, two] = ledgers(2) as [SharedLedger, SharedLedger];
    one.apply(LEDGER.take, B, 5);
    expect([two.freeAmount(B), two.tryHold(B, 1), rowOf(one, B).spent]).toEqual([-2, false, 5]);
  });

  it('setSubjects: another limit counts at once, what is taken stays; without a limit anything goes', () => {
    const [ledger] = ledgers(1) as [SharedLedger];
    ledger.tryHold(A, 80);
    ledger.setSubjects([{ subjectHash: A, slot: 0, limit: 90 }]);
    expect([ledger.freeAmount(A), ledger.tryHold(A, 11), ledger.tryHold(A, 10)]).toEqual([10, false, true]);
    ledger.setSubjects([{ subjectHash: A, slot: 0, limit: 50 }]);
    expect([ledger.freeAmount(A), ledger.tryHold(A, 1)]).toEqual([-40, false]);
    ledger.setSubjects([{ subjectHash: A, slot: 0, limit: Number.NaN }]);
    expect(ledger.tryHold(A, 1_000_000_000)).toBe(true);
  });

  it('setShare: what is kept of a subject that has left the catalog is there when it comes back', () => {
    const [ledger] = ledgers(1) as [SharedLedger];
    ledger.setShare([
      { subjectHash: A, held: 1, spent: 2 },
      { subjectHash: 77, held: 10, spent: 20 },
      { subjectHash: 78, held: 0, spent: 0 },
    ]);
    expect(ledger.share()).toEqual([
      { subjectHash: A, held: 1, spent: 2 },
      { subjectHash: 77, held: 10, spent: 20 },
    ]);
    ledger.setSubjects([...SUBJECTS, { subjectHash: 77, slot: 2, limit: 50 }]);
    expect(ledger.freeAmount(77)).toBe(20);
    expect(ledger.share()).toContainEqual({ subjectHash: 77, held: 10, spent: 20 });
    ledger.setShare([]);
    expect([ledger.share(), ledger.freeAmount(A), ledger.freeAmount(77)]).toEqual([[], 100, 50]);
  });

  it('apply: what was held of a subject that has left the catalog can end while it is away', () => {
    const [ledger] = ledgers(1) as [SharedLedger];
    ledger.setShare([{ subjectHash: 77, held: 10, spent: 20 }]);
    ledger.apply(LEDGER.free, 77, 4);
    ledger.apply(LEDGER.spend, 77, 5);
    ledger.apply(LEDGER.free, 78, 5);
    expect(ledger.share()).toEqual([{ subjectHash: 77, held: 1, spent: 25 }]);
    ledger.setSubjects([...SUBJECTS, { subjectHash: 77, slot: 2, limit: 50 }]);
    expect(ledger.freeAmount(77)).toBe(24);
  });

  it('amounts up to 10^12 minor units are exact', () => {
    const memory = createLedgerMemory(1);
    const ledger = new SharedLedger(memory, 0);
    ledger.setSubjects([{ subjectHash: A, slot: 0, limit: 1e12 }]);
    expect([ledger.tryHold(A, 1e12 - 1), ledger.tryHold(A, 2), ledger.tryHold(A, 1)]).toEqual([true, false, true]);
    ledger.apply(LEDGER.free, A, 1e12 - 1);
    expect(ledger.freeAmount(A)).toBe(1e12 - 1);
  });
});

describe('dealSlots', () => {
  const compile = (actions: string, products = ''): ReturnType<typeof compileCatalog> =>
    compileCatalog(catalogText({ actions, products }), 'test.yaml');
  const budget = (key: string, minor: number): string =>
    `{ key: ${key}, channels: [app], valueMinor: 1, budgetMinor: ${minor} }`;

  it('a slot is kept for good: new subjects are appended, those gone lose their limit', () => {
    const first = dealSlots(
      [],
      compile(`${budget('a', 5)}, ${budget('b', 6)}`, COFFEE.replace('quoteTtl', 'stock: 7, quoteTtl')),
    );
    expect(first.map(({ slot, limit }) => [slot, limit])).toEqual([
      [0, 5],
      [1, 6],
      [2, 7],
    ]);
    expect(first[2]?.subjectHash).toBe(stockSubject(murmur3Text('coffee', 0)));
    const second = dealSlots(first, compile(`${budget('c', 9)}, ${budget('b', 60)}`));
    expect(second.map(({ slot, limit }) => [slot, limit])).toEqual([
      [0, Number.NaN],
      [1, 60],
      [2, Number.NaN],
      [3, 9],
    ]);
    expect(dealSlots(second, compile(budget('a', 1)))[0]).toMatchObject({ slot: 0, limit: 1 });
  });

  it('an action without a budget and a product without stock have none', () => {
    expect(limitsOf(compile('{ key: a, channels: [app], valueMinor: 1 }', COFFEE))).toEqual([]);
  });

  it('refuses the subject after the last slot', () => {
    const full = Array.from({ length: LEDGER_SLOTS }, (_, slot) => ({ subjectHash: slot, slot, limit: 1 }));
    expect(() => dealSlots(full, compile(budget('a', 5)))).toThrow(/8192/);
    expect(dealSlots(full.slice(1), compile(budget('a', 5)))).toHaveLength(LEDGER_SLOTS);
  });
});
