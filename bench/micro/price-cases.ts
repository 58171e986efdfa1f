/** One price: a draw from the demand posterior, dispersion, bounds. */
import { DEMAND_SLOTS, learnQuote, setDemandPrior } from '../../decision/demand-model.ts';
import { choosePrice, createPriceResult, DISPERSION_PROBABILITY, type PriceInput } from '../../decision/price.ts';
import type { MicroCase } from './micro-case.ts';

export const PRICE_CASES: readonly MicroCase[] = [
  {
    name: 'price: one product',
    prepare() {
      const state = new Float64Array(DEMAND_SLOTS);
      setDemandPrior(state, 0);
      for (let i = 0; i < 100; i += 1) learnQuote(state, 0, 4500 + 10 * i, 4900);
      const input: PriceInput = {
        state,
        stateOffset: 0,
        listMinor: 4900,
        floorMinor: 3900,
        ceilingMinor: 5900,
        costMinor: 2500,
        stepMinor: 100,
        marginBasisPointsMin: 0,
        isCappedAtList: false,
        previousPriceMinor: -1,
        changeBasisPointsMax: -1,
        dispersionProbability: DISPERSION_PROBABILITY,
        seed0: 0,
        seed1: 5,
        subjectHash: 99,
      };
      const result = createPriceResult();
      return () => {
        input.seed0 = (input.seed0 + 1) >>> 0;
        choosePrice(input, result);
        return result.priceMinor;
      };
    },
  },
];
