/** One price: a draw from the demand posterior, dispersion, bounds. */
import { DEMAND_SLOTS, learnQuote, setDemandPrior } from '../../decision/demand-model.ts';
import { choosePrice, createPriceInput, createPriceResult } from '../../decision/price.ts';
import type { MicroCase } from './micro-case.ts';

export const PRICE_CASES: readonly MicroCase[] = [
  {
    name: 'price: one product',
    prepare() {
      const state = new Float64Array(DEMAND_SLOTS);
      setDemandPrior(state, 0);
      for (let i = 0; i < 100; i += 1) learnQuote(state, 0, 4500 + 10 * i, 4900);
      const input = createPriceInput();
      input.state = state;
      input.listMinor = 4900;
      input.floorMinor = 3900;
      input.ceilingMinor = 5900;
      input.costMinor = 2500;
      input.stepMinor = 100;
      input.seed1 = 5;
      input.subjectHash = 99;
      const result = createPriceResult();
      return () => {
        input.seed0 = (input.seed0 + 1) >>> 0;
        choosePrice(input, result);
        return result.priceMinor;
      };
    },
  },
];
