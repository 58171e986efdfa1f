/**
 * What a replay has seen, as columns in shared memory: one entry a decision in the order in which the
 * rows were taken up, so that a tenth of the run is a range. Grows by doubling; the evaluation job reads
 * the columns where they are.
 */
const ROWS_FIRST = 8192;

/** A growing column of doubles or of unsigned 32-bit numbers. */
class Column<Values extends Float64Array | Uint32Array> {
  #values: Values;
  readonly #make: (buffer: SharedArrayBuffer) => Values;

  constructor(make: (buffer: SharedArrayBuffer) => Values) {
    this.#make = make;
    this.#values = make(new SharedArrayBuffer(ROWS_FIRST * 8));
  }

  set(index: number, value: number): void {
    if (index >= this.#values.length) {
      const grown = this.#make(new SharedArrayBuffer(this.#values.byteLength * 2));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[index] = value;
  }

  get(index: number): number {
    return this.#values[index] as number; // callers keep index < rows
  }

  get buffer(): SharedArrayBuffer {
    return this.#values.buffer as SharedArrayBuffer; // made above
  }
}

const doubles = (): Column<Float64Array> => new Column((buffer) => new Float64Array(buffer));

interface ActionCount {
  loggedRows: number;
  loggedReward: number;
  chosenRows: number;
}

export class ReplayTally {
  rows = 0;
  matchedRows = 0;
  emptyRows = 0;
  exploredRows = 0;
  /** Sum of the first reward over matched rows. */
  matchedReward = 0;
  /** Index behind the last row of each pass. */
  readonly passEnds: number[] = [];
  readonly actions = new Map<string, ActionCount>();
  readonly rewards: readonly Column<Float64Array>[];
  readonly loggingPropensities = doubles();
  /** 1 where the policy chose the logged action, else 0. */
  readonly matches = doubles();
  /** Predicted response probability of the action chosen. */
  readonly predictions = doubles();
  /** Number of the logged row. */
  readonly clusters = new Column((buffer) => new Uint32Array(buffer));
  /** Whether every first reward was 0 or 1, which is what the server predicts. */
  isBinary = true;

  constructor(rewardCount: number) {
    this.rewards = Array.from({ length: rewardCount }, doubles);
  }

  /** Takes the next place; its entry must be filled before the run is evaluated. */
  take(): number {
    this.rows += 1;
    return this.rows - 1;
  }

  /** @param chosen key of the chosen action, or null when the answer was empty */
  fill(
    at: number,
    row: {
      readonly index: number;
      readonly action: string;
      readonly propensity: number;
      readonly rewards: readonly number[];
    },
    chosen: { readonly action: string; readonly responseProbability: number; readonly explored: boolean } | null,
  ): boolean {
    const isMatch = chosen !== null && chosen.action === row.action;
    const [first = 0] = row.rewards;
    for (const [number, reward] of row.rewards.entries()) this.rewards[number]?.set(at, reward);
    this.loggingPropensities.set(at, row.propensity);
    this.matches.set(at, isMatch ? 1 : 0);
    this.predictions.set(at, chosen?.responseProbability ?? 0);
    this.clusters.set(at, row.index);
    if (first !== 0 && first !== 1) this.isBinary = false;
    const logged = this.#actionOf(row.action);
    logged.loggedRows += 1;
    logged.loggedReward += first;
    if (chosen === null) this.emptyRows += 1;
    else this.#actionOf(chosen.action).chosenRows += 1;
    if (chosen?.explored === true) this.exploredRows += 1;
    if (isMatch) {
      this.matchedRows += 1;
      this.matchedReward += first;
    }
    return isMatch;
  }

  /** Decisions for actions the log does not have: about those it can say nothing. */
  get foreignRows(): number {
    let rows = 0;
    for (const { loggedRows, chosenRows } of this.actions.values()) if (loggedRows === 0) rows += chosenRows;
    return rows;
  }

  #actionOf(key: string): ActionCount {
    let count = this.actions.get(key);
    if (count === undefined) {
      count = { loggedRows: 0, loggedReward: 0, chosenRows: 0 };
      this.actions.set(key, count);
    }
    return count;
  }
}
