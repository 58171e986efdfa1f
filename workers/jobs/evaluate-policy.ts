/**
 * The job behind a replay's report: the estimators of `decision/off-policy.ts` over columns in shared
 * memory, for the whole run and for parts of it. Pure work on numbers, milliseconds to seconds; the
 * columns of a run of a million rows are 40 MB and are passed, not copied.
 */
import { evaluatePolicy as evaluate, type PolicyEvaluation } from '../../decision/batch/off-policy.ts';

/** Rows [start, end) of the columns; `name` is handed back. */
export interface EvaluatedPart {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

export interface EvaluatePolicyInput {
  /** Columns of n doubles, as in `LoggedRows`. */
  readonly rewards: SharedArrayBuffer;
  readonly loggingPropensities: SharedArrayBuffer;
  readonly targetProbabilities: SharedArrayBuffer;
  /** n unsigned 32-bit numbers: the logged row each came from, 0 to n - 1. */
  readonly clusters: SharedArrayBuffer;
  /** Predicted reward of the action the policy chose; with it DM and DR are estimated. */
  readonly predictions: SharedArrayBuffer | null;
  readonly parts: readonly EvaluatedPart[];
}

export interface EvaluatedResult {
  readonly name: string;
  readonly evaluation: PolicyEvaluation;
}

/** @throws RangeError for an empty part or rows outside their bounds, naming the part. */
export function evaluatePolicy(input: EvaluatePolicyInput): EvaluatedResult[] {
  return input.parts.map(({ name, start, end }) => {
    const column = (buffer: SharedArrayBuffer): Float64Array => new Float64Array(buffer).subarray(start, end);
    const { predictions } = input;
    try {
      // A row with weight was matched: there the action chosen is the action logged, and one prediction is both.
      const predicted =
        predictions === null ? {} : { loggedPredictions: column(predictions), targetPredictions: column(predictions) };
      const evaluation = evaluate({
        rewards: column(input.rewards),
        loggingPropensities: column(input.loggingPropensities),
        targetProbabilities: column(input.targetProbabilities),
        clusters: renumbered(new Uint32Array(input.clusters).subarray(start, end)),
        ...predicted,
      });
      return { name, evaluation };
    } catch (cause) {
      throw new RangeError(`part ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  });
}

/**
 * The same clusters numbered from 0 in order of appearance: a part's numbers may exceed its rows. In an array as
 * long as they reach apart, and not in a Map: a million entries keep V8's collector busy on helper threads that
 * are the process's and do not have this thread's low priority.
 */
function renumbered(clusters: Uint32Array): Uint32Array {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = 0;
  for (const cluster of clusters) {
    if (cluster < lowest) lowest = cluster;
    if (cluster > highest) highest = cluster;
  }
  /** Number plus 1; 0 for a cluster not met yet. */
  const numbers = new Uint32Array(clusters.length === 0 ? 0 : highest - lowest + 1);
  let count = 0;
  return clusters.map((cluster) => {
    numbers[cluster - lowest] ||= ++count;
    return (numbers[cluster - lowest] as number) - 1; // in range: between lowest and highest
  });
}
