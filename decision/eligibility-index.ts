/**
 * Which of many actions a person may ever be offered, without asking each action's rule. The rules of a
 * catalog share clauses and ask about few subjects, so each subject is read once a decision and each
 * distinct clause evaluated at most once; what fails strikes out, in a bitmap, all actions that need it.
 *
 *   subject read once ─┬─ `in`, `==`      one look-up gives the actions that accept the value
 *                      └─ `<` … `>=`      sorted thresholds: only those that fail are visited
 *   other clauses ──────── evaluated while an action that needs them is left
 *
 * Equal to asking every rule in full (tested so), because a rule holds exactly when all of its clauses
 * do. Cost: subjects + clauses still in question + actions struck out + a bit an action; so 2,500 actions
 * cost little more than the few that are eligible. Built with a catalog, immutable, shared by nobody.
 */
import type { Action } from './catalog.ts';
import type { Clause, OrderComparison, RuleScope } from './rule.ts';

/** One subject's clauses. */
interface SubjectGroup {
  readonly read: (scope: RuleScope) => unknown;
  /** Actions that accept only some values, and those that accept each; null where there are none. */
  readonly choosy: Uint32Array | null;
  readonly accepting: ReadonlyMap<unknown, Uint32Array>;
  readonly orders: readonly OrderList[];
}

/** Thresholds of one operator, those that fail first in front. */
interface OrderList {
  readonly operator: OrderComparison;
  readonly thresholds: Float64Array;
  readonly actions: Uint16Array;
}

/** A clause that is no plain comparison. */
interface SharedClause {
  readonly evaluate: (scope: RuleScope) => boolean;
  readonly actions: Uint16Array;
}

export class EligibilityIndex {
  /** Words of a bitmap over the catalog's actions. */
  readonly words: number;
  readonly #groups: SubjectGroup[] = [];
  readonly #clauses: SharedClause[] = [];
  readonly #none: Uint32Array;

  constructor(actions: readonly Action[]) {
    this.words = (actions.length + 31) >>> 5;
    this.#none = new Uint32Array(this.words);
    const bySubject = new Map<string, Draft>();
    const byText = new Map<string, { clause: Clause; actions: number[] }>();
    for (const action of actions) {
      for (const clause of action.eligibility?.clauses ?? []) {
        if (clause.comparison !== null && this.#enter(bySubject, action.index, clause.comparison)) continue;
        const shared = byText.get(clause.source) ?? { clause, actions: [] };
        if (shared.actions.at(-1) !== action.index) shared.actions.push(action.index);
        byText.set(clause.source, shared);
      }
    }
    for (const draft of bySubject.values()) this.#groups.push(finish(draft));
    for (const { clause, actions: users } of byText.values()) {
      this.#clauses.push({ evaluate: clause.evaluate, actions: Uint16Array.from(users) });
    }
  }

  /**
   * Strikes out of `alive` every action whose rule does not hold.
   * @param alive bitmap of `words` words, changed in place; bits that are not set stay so
   */
  narrow(scope: RuleScope, alive: Uint32Array): void {
    for (let i = 0; i < this.#groups.length; i++) {
      const group = this.#groups[i] as SubjectGroup; // i < length
      const value = group.read(scope);
      if (group.choosy !== null) {
        const accepting = group.accepting.get(value) ?? this.#none;
        for (let w = 0; w < alive.length; w++) {
          alive[w] = (alive[w] as number) & (~(group.choosy[w] as number) | (accepting[w] as number)); // bitmaps of one length
        }
      }
      for (let k = 0; k < group.orders.length; k++) strike(group.orders[k] as OrderList, value as number, alive); // numeric subjects only
    }
    for (let i = 0; i < this.#clauses.length; i++) {
      const clause = this.#clauses[i] as SharedClause; // i < length
      if (isWanted(clause.actions, alive) && !clause.evaluate(scope)) clearAll(clause.actions, alive);
    }
  }

  /** Enters a comparison; false when the group cannot hold it and it stays a clause of its own. */
  #enter(bySubject: Map<string, Draft>, action: number, comparison: NonNullable<Clause['comparison']>): boolean {
    let draft = bySubject.get(comparison.subject);
    if (draft === undefined) {
      draft = { read: comparison.read, choosy: null, accepting: new Map(), orders: new Map() };
      bySubject.set(comparison.subject, draft);
    }
    if (comparison.operator !== 'in') {
      const list = draft.orders.get(comparison.operator) ?? [];
      list.push({ threshold: comparison.threshold, action });
      draft.orders.set(comparison.operator, list);
      return true;
    }
    draft.choosy ??= new Uint32Array(this.words);
    // A second list for one subject in one rule would have to be met as well as the first.
    if (hasBit(draft.choosy, action)) return false;
    setBit(draft.choosy, action);
    for (const value of comparison.values) {
      let accepting = draft.accepting.get(value);
      if (accepting === undefined) {
        accepting = new Uint32Array(this.words);
        draft.accepting.set(value, accepting);
      }
      setBit(accepting, action);
    }
    return true;
  }
}

interface Draft {
  readonly read: (scope: RuleScope) => unknown;
  choosy: Uint32Array | null;
  readonly accepting: Map<unknown, Uint32Array>;
  readonly orders: Map<OrderComparison, { threshold: number; action: number }[]>;
}

function finish(draft: Draft): SubjectGroup {
  const orders: OrderList[] = [];
  for (const [operator, list] of draft.orders) {
    const isUpper = operator === '<' || operator === '<=';
    list.sort((a, b) => (isUpper ? a.threshold - b.threshold : b.threshold - a.threshold));
    orders.push({
      operator,
      thresholds: Float64Array.from(list, ({ threshold }) => threshold),
      actions: Uint16Array.from(list, ({ action }) => action),
    });
  }
  return { read: draft.read, choosy: draft.choosy, accepting: draft.accepting, orders };
}

/** Strikes out from the front until a threshold holds; NaN holds none. */
function strike({ operator, thresholds, actions }: OrderList, value: number, alive: Uint32Array): void {
  for (let i = 0; i < thresholds.length; i++) {
    const threshold = thresholds[i] as number; // i < length
    const holds =
      operator === '>='
        ? value >= threshold
        : operator === '>'
          ? value > threshold
          : operator === '<'
            ? value < threshold
            : value <= threshold;
    if (holds) return;
    const action = actions[i] as number; // as long as thresholds
    alive[action >>> 5] = (alive[action >>> 5] as number) & ~(1 << (action & 31)); // an action of the catalog
  }
}

function isWanted(actions: Uint16Array, alive: Uint32Array): boolean {
  for (let i = 0; i < actions.length; i++) if (hasBit(alive, actions[i] as number)) return true; // i < length
  return false;
}

function clearAll(actions: Uint16Array, alive: Uint32Array): void {
  for (let i = 0; i < actions.length; i++) {
    const action = actions[i] as number; // i < length
    alive[action >>> 5] = (alive[action >>> 5] as number) & ~(1 << (action & 31)); // an action of the catalog
  }
}

export function setBit(bits: Uint32Array, at: number): void {
  bits[at >>> 5] = (bits[at >>> 5] as number) | (1 << (at & 31)); // callers stay inside
}
function hasBit(bits: Uint32Array, at: number): boolean {
  return ((bits[at >>> 5] as number) & (1 << (at & 31))) !== 0; // callers stay inside
}

/** Number of bits set. Source: Warren, "Hacker's Delight" (2002), figure 5-2. */
export function countBits(bits: Uint32Array): number {
  let count = 0;
  for (let w = 0; w < bits.length; w++) {
    let word = bits[w] as number; // w < length
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return count;
}
