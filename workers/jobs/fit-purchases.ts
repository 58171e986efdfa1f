/**
 * The job behind purchase forecasts and customer values: fits `decision/purchase-model.ts` and
 * `decision/spend-model.ts` to all persons and answers for each of them. Columns come and go in shared memory, so a
 * million persons are passed and not copied. The caller collects them (`writeHistory` of `decision/purchase-cycle.ts`
 * writes a person's row) and does what it will with the answers.
 */
import {
  aliveProbability,
  expectedPurchases,
  fitPurchaseModel,
  fitRegularPurchaseModel,
  type PurchaseFit,
} from '../../decision/batch/purchase-model.ts';
import {
  checkValueHorizon,
  customerValue,
  expectedSpend,
  fitSpendModel,
  type SpendFit,
  type ValueHorizon,
} from '../../decision/batch/spend-model.ts';

/** Columns of n doubles as in `PurchaseHistories`: person i is row i of each. Times in one unit throughout. */
export interface FitPurchasesInput {
  /** x: repeat purchases. */
  readonly repeatCounts: SharedArrayBuffer;
  /** t_x: from first to last purchase. */
  readonly lastTimes: SharedArrayBuffer;
  /** T: from first purchase to now. */
  readonly observedTimes: SharedArrayBuffer;
  /** Sum of ln gap. With it MBG/CNBD-k is fitted with the best k; null: BG/NBD, which needs no gaps. */
  readonly logGapSums: SharedArrayBuffer | null;
  /** Mean spend of the repeat purchases, in one unit of money; whatever it is where x is 0. */
  readonly meanSpends: SharedArrayBuffer;
  /** How far `expectedPurchases` looks, in the unit of time; >= 0. */
  readonly horizonTime: number;
  readonly value: ValueHorizon;
}

export interface FitPurchasesResult {
  readonly purchases: PurchaseFit;
  readonly spends: SpendFit;
  /** Columns of n doubles, row i for person i. Rank by this one: purchases expected within `horizonTime`. */
  readonly expectedPurchases: SharedArrayBuffer;
  /** P(the person still buys): to multiply a purchase cycle's probabilities by, not to rank by. */
  readonly aliveProbabilities: SharedArrayBuffer;
  /** Expected spend of one purchase. */
  readonly expectedSpends: SharedArrayBuffer;
  /** Discounted value of the purchases of `value`'s periods. */
  readonly values: SharedArrayBuffer;
}

/**
 * Works for any n, 0 included (see the fits for what they then say).
 * @throws RangeError naming column, row and bound, or the option, for input outside its bounds
 * Cost: 7 s of processor for 20,000 persons with gaps and 12 periods, in proportion for more; makes four columns of n.
 */
export function fitPurchases(input: FitPurchasesInput): FitPurchasesResult {
  const { horizonTime, value } = input;
  if (!(horizonTime >= 0 && horizonTime < Infinity))
    throw new RangeError(`horizonTime ${horizonTime}: finite and at least 0`);
  checkValueHorizon(value);
  const meanSpends = new Float64Array(input.meanSpends);
  const histories = {
    repeatCounts: new Float64Array(input.repeatCounts),
    lastTimes: new Float64Array(input.lastTimes),
    observedTimes: new Float64Array(input.observedTimes),
  };
  const { repeatCounts, lastTimes, observedTimes } = histories;
  const spends = fitSpendModel(repeatCounts, meanSpends);
  const purchases =
    input.logGapSums === null
      ? fitPurchaseModel(histories, 1, false)
      : fitRegularPurchaseModel({ ...histories, logGapSums: new Float64Array(input.logGapSums) });
  const n = repeatCounts.length;
  const column = (
    answer: (x: number, lastTime: number, observedTime: number, meanSpend: number) => number,
  ): SharedArrayBuffer => {
    const buffer = new SharedArrayBuffer(n * Float64Array.BYTES_PER_ELEMENT);
    const answers = new Float64Array(buffer);
    for (let i = 0; i < n; i += 1) {
      answers[i] = answer(at(repeatCounts, i), at(lastTimes, i), at(observedTimes, i), at(meanSpends, i));
    }
    return buffer;
  };
  return {
    purchases,
    spends,
    expectedPurchases: column((x, lastTime, observedTime) =>
      expectedPurchases(purchases.model, x, lastTime, observedTime, horizonTime),
    ),
    aliveProbabilities: column((x, lastTime, observedTime) =>
      aliveProbability(purchases.model, x, lastTime, observedTime),
    ),
    expectedSpends: column((x, _lastTime, _observedTime, meanSpend) => expectedSpend(spends.model, x, meanSpend)),
    values: column((x, lastTime, observedTime, meanSpend) =>
      customerValue(purchases.model, spends.model, { x, lastTime, observedTime, meanSpend }, value),
    ),
  };
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
