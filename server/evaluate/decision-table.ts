/**
 * Logged decisions as a table for off-policy evaluation: what was chosen, with which probability, among which
 * actions, in which context, and what came of it. Read from the decision log (`opportune log`, NDJSON), where an
 * outcome is an event that names its decision, or from a CSV log by a mapping file, as `opportune replay` reads it.
 * A row that cannot be used is left out and counted by its reason: an estimate is worth what its rows are.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { OperatorError } from '../operator-error.ts';
import type { LoggedRow } from '../replay/logged-row.ts';
import type { ReplayMapping } from '../replay/replay-mapping.ts';
import { RowSource } from '../replay/row-source.ts';

/** About 300 bytes a row. */
const ROWS_MAX = 5_000_000;
/** Values of one text that get a column of their own; rarer ones are all alike. */
const CATEGORIES_MAX = 20;
const DAY_MILLIS = 86_400_000;

type Scalar = string | number | boolean;

export interface DecisionTable {
  readonly rows: number;
  /** Keys of the actions, by index. */
  readonly actionKeys: readonly string[];
  readonly actions: Int32Array;
  /** Actions that could have been chosen, by index; null: any. One a row. */
  readonly allowed: readonly (Int32Array | null)[];
  readonly propensities: Float64Array;
  readonly rewards: Float64Array;
  /** Rows of one person have the same number. */
  readonly clusters: Uint32Array;
  /** rows x dimensions, numbers scaled to mean 0 and deviation 1. */
  readonly contexts: Float64Array;
  readonly dimensions: number;
  /** Rows left out, by reason. */
  readonly skipped: ReadonlyMap<string, number>;
  /** Rows by the id of their decision; empty for a CSV log. */
  readonly rowOf: ReadonlyMap<string, number>;
}

/** Gathers rows, and makes columns of them at the end. */
class TableBuilder {
  readonly #actionIndex = new Map<string, number>();
  readonly #people = new Map<string, number>();
  readonly #actions: number[] = [];
  readonly #allowed: (Int32Array | null)[] = [];
  readonly #propensities: number[] = [];
  readonly #rewards: number[] = [];
  readonly #clusters: number[] = [];
  readonly #contexts: Readonly<Record<string, Scalar>>[] = [];
  readonly #skipped = new Map<string, number>();

  get rows(): number {
    return this.#actions.length;
  }

  skip(reason: string): void {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
  }

  add(row: {
    readonly action: string;
    readonly allowed: readonly string[] | null;
    readonly propensity: number;
    readonly reward: number;
    readonly person: string;
    readonly context: Readonly<Record<string, Scalar>>;
  }): number {
    if (this.rows >= ROWS_MAX) {
      throw new OperatorError('LOG_TOO_LONG', `the log has more than ${ROWS_MAX} decisions`, {
        advice: 'Evaluate a part of it: --limit.',
      });
    }
    this.#actions.push(numberOf(this.#actionIndex, row.action));
    const { allowed } = row;
    this.#allowed.push(allowed === null ? null : Int32Array.from(allowed, (key) => numberOf(this.#actionIndex, key)));
    this.#propensities.push(row.propensity);
    this.#rewards.push(row.reward);
    this.#clusters.push(numberOf(this.#people, row.person));
    this.#contexts.push(row.context);
    return this.rows - 1;
  }

  /** What came of a row, later in the log. */
  reward(row: number, change: (before: number) => number): void {
    this.#rewards[row] = change(this.#rewards[row] ?? 0);
  }

  table(rowOf: ReadonlyMap<string, number> = new Map()): DecisionTable {
    const columns = columnsOf(this.#contexts);
    const contexts = new Float64Array(this.rows * columns.length);
    for (const [c, column] of columns.entries()) {
      for (const [i, context] of this.#contexts.entries()) contexts[i * columns.length + c] = column(context);
    }
    return {
      rows: this.rows,
      actionKeys: [...this.#actionIndex.keys()],
      actions: Int32Array.from(this.#actions),
      allowed: this.#allowed,
      propensities: Float64Array.from(this.#propensities),
      rewards: Float64Array.from(this.#rewards),
      clusters: Uint32Array.from(this.#clusters),
      contexts,
      dimensions: columns.length,
      skipped: this.#skipped,
      rowOf,
    };
  }
}

function numberOf(numbers: Map<string, number>, name: string): number {
  let number = numbers.get(name);
  if (number === undefined) {
    number = numbers.size;
    numbers.set(name, number);
  }
  return number;
}

type Column = (context: Readonly<Record<string, Scalar>>) => number;

/** A column for each number and switch, and one for each frequent value of a text. What is absent is 0, the mean. */
function columnsOf(contexts: readonly Readonly<Record<string, Scalar>>[]): Column[] {
  const numbers = new Map<string, { count: number; sum: number; squares: number }>();
  const texts = new Map<string, Map<string, number>>();
  for (const context of contexts) {
    for (const [name, value] of Object.entries(context)) {
      if (typeof value === 'string') {
        const counts = texts.get(name) ?? new Map<string, number>();
        texts.set(name, counts);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      } else {
        const moments = numbers.get(name) ?? { count: 0, sum: 0, squares: 0 };
        numbers.set(name, moments);
        moments.count += 1;
        moments.sum += Number(value);
        moments.squares += Number(value) ** 2;
      }
    }
  }
  const columns: Column[] = [];
  for (const [name, { count, sum, squares }] of numbers) {
    const mean = sum / count;
    const deviation = Math.sqrt(Math.max(squares / count - mean * mean, 0));
    if (!(deviation > 0 && deviation < Number.POSITIVE_INFINITY)) continue;
    columns.push((context) => {
      const value = context[name];
      return value === undefined || typeof value === 'string' ? 0 : (Number(value) - mean) / deviation;
    });
  }
  for (const [name, counts] of texts) {
    const frequent = [...counts].sort(([, a], [, b]) => b - a).slice(0, CATEGORIES_MAX);
    // One value fewer than there are: the rest is the intercept's.
    for (const [value] of frequent.slice(0, counts.size - 1))
      columns.push((context) => (context[name] === value ? 1 : 0));
  }
  return columns;
}

// ── CSV ──────────────────────────────────────────────────────────────────────────────────────────

/** @param reward name of one of the mapping's rewards; the first when left out */
export async function readCsvTable(
  path: string,
  mapping: ReplayMapping,
  reward: string | undefined,
  rowsMax: number,
): Promise<DecisionTable> {
  const rewardIndex = reward === undefined ? 0 : mapping.rewards.findIndex(({ name }) => name === reward);
  if (rewardIndex < 0) {
    throw new OperatorError('USAGE', `the mapping has no reward ${JSON.stringify(reward)}`, {
      advice: `It has ${mapping.rewards.map(({ name }) => name).join(', ')}.`,
    });
  }
  const source = new RowSource({ path, mapping, passes: 1, seed: 1, isShuffled: false, rowsMax });
  const builder = new TableBuilder();
  for await (const row of source.pass(1)) {
    builder.add({
      action: row.action,
      allowed: null,
      propensity: row.propensity,
      reward: row.rewards[rewardIndex] ?? 0,
      person: row.person,
      context: scalarsOf(row),
    });
  }
  for (let n = 0; n < source.skippedRows; n++) builder.skip(`unusable; the first: ${source.skippedReason}`);
  return builder.table();
}

function scalarsOf({ traits, context }: LoggedRow): Record<string, Scalar> {
  const found: Record<string, Scalar> = {};
  for (const [name, value] of [...Object.entries(traits), ...Object.entries(context ?? {})]) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') found[name] = value;
  }
  return found;
}

// ── NDJSON ───────────────────────────────────────────────────────────────────────────────────────

interface LoggedLine {
  readonly type?: unknown;
  readonly profile?: unknown;
  readonly atEpochMillis?: unknown;
  readonly decisionId?: unknown;
  readonly slot?: unknown;
  readonly allowed?: unknown;
  readonly chosen?: unknown;
  readonly heldOut?: unknown;
  readonly event?: unknown;
  readonly learnt?: unknown;
  readonly properties?: unknown;
}

/**
 * @param reward `response` (any response: click, conversion, purchase), `revenue` (minor units, of the decision's
 *   events), or the name of an event, counted once a decision
 */
export async function readLogTable(path: string, reward: string, rowsMax: number): Promise<DecisionTable> {
  const builder = new TableBuilder();
  const rowOf = new Map<string, number>();
  const file = createReadStream(path);
  const lines = createInterface({ input: path.endsWith('.gz') ? file.pipe(createGunzip()) : file });
  let number = 0;
  try {
    for await (const text of lines) {
      number += 1;
      if (text.trim() === '') continue;
      const line = parseLine(text, path, number);
      if (line.type === 'decision') {
        if (builder.rows < rowsMax) addDecision(line, builder, rowOf);
      } else if (line.type === 'event' && typeof line.decisionId === 'string') {
        const row = rowOf.get(line.decisionId);
        if (row !== undefined) addOutcome(line, row, reward, builder);
      }
    }
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw new OperatorError(
      'LOG_UNREADABLE',
      `${path} cannot be read (${cause instanceof Error ? cause.message : ''})`,
      {
        advice: 'Write one with `opportune log --out FILE`.',
        cause,
      },
    );
  }
  return builder.table(rowOf);
}

function parseLine(text: string, path: string, number: number): LoggedLine {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new OperatorError('LOG_UNREADABLE', `${path}:${number}: not a line of a decision log`, {
    advice: 'A decision log is NDJSON, as `opportune log` writes it; a CSV log needs --mapping.',
  });
}

function addDecision(line: LoggedLine, builder: TableBuilder, rowOf: Map<string, number>): void {
  const problem = problemOf(line);
  if (problem !== null) {
    builder.skip(problem);
    return;
  }
  const { chosen, allowed, decisionId, profile, slot, atEpochMillis } = line as UsableLine; // just checked
  const at = typeof atEpochMillis === 'number' ? atEpochMillis : 0;
  const angle = ((at % DAY_MILLIS) / DAY_MILLIS) * 2 * Math.PI;
  const row = builder.add({
    action: chosen[0].action,
    allowed: allowed.filter((key): key is string => typeof key === 'string'),
    propensity: chosen[0].propensity,
    reward: 0,
    person: profile,
    context: { slot: typeof slot === 'string' ? slot : '', daySine: Math.sin(angle), dayCosine: Math.cos(angle) },
  });
  rowOf.set(decisionId, row);
}

type UsableLine = LoggedLine & {
  readonly chosen: readonly [{ readonly action: string; readonly propensity: number }];
  readonly allowed: readonly unknown[];
  readonly decisionId: string;
  readonly profile: string;
};

/** Why a decision cannot be a row; null when it is a `UsableLine`. */
function problemOf({ chosen, allowed, decisionId, profile, heldOut }: LoggedLine): string | null {
  if (heldOut === true) return 'held out: nothing was chosen for them';
  const isWhole = Array.isArray(chosen) && Array.isArray(allowed);
  if (!isWhole || typeof decisionId !== 'string' || typeof profile !== 'string') {
    return 'fields are missing (chosen, allowed, decisionId, profile)';
  }
  if (chosen.length === 0) return 'nothing was chosen';
  if (chosen.length > 1) return 'several actions were chosen: the log has the probability of each, not of the list';
  const { action, propensity } = (chosen[0] ?? {}) as { action?: unknown; propensity?: unknown }; // looked at below
  if (typeof action !== 'string') return 'fields are missing (chosen.action)';
  const isProbability = typeof propensity === 'number' && propensity > 0 && propensity <= 1;
  return isProbability ? null : 'the propensity is missing, zero or no probability';
}

function addOutcome(line: LoggedLine, row: number, reward: string, builder: TableBuilder): void {
  if (reward === 'revenue') {
    const revenue = (line.properties as { revenueMinor?: unknown } | undefined)?.revenueMinor;
    if (typeof revenue === 'number' && Number.isFinite(revenue)) builder.reward(row, (before) => before + revenue);
  } else {
    const isResponse = reward === 'response' && Array.isArray(line.learnt) && line.learnt.includes('response');
    if (isResponse || line.event === reward) builder.reward(row, () => 1);
  }
}
