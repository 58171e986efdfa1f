/** One price: a draw from what is believed of demand, dispersion, bounds; and that belief, from a year of evidence. */
import { addQuote, addSale, dayOf, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import { DEMAND_SLOTS } from '../../decision/demand-model.ts';
import { choosePrice, createPriceInput, createPriceResult } from '../../decision/price.ts';
import type { MicroCase } from './micro-case.ts';

const DAY_MILLIS = 86_400_000;
const NOW = 1_780_000_000_000;

function evidenceOf(days: number, quotesADay: number): Float64Array {
  const row = new Float64Array(EVIDENCE_SLOTS);
  for (let n = 0; n < days * quotesADay; n++) {
    const at = NOW - (days - Math.floor(n / quotesADay)) * DAY_MILLIS;
    addQuote(row, 0, 4500 + 10 * (n % 100), 4900, at);
    if (n % 9 === 0) addSale(row, 0, 4500 + 10 * (n % 100), 4900, 1, at);
  }
  return row;
}

export const PRICE_CASES: readonly MicroCase[] = [
  {
    name: 'price: one product',
    prepare() {
      const state = new Float64Array(DEMAND_SLOTS);
      fitDemand(evidenceOf(1, 100), 0, dayOf(NOW), 60, state, 0);
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
  {
    name: 'price: what is believed of demand, from a year of evidence (once a product and hour)',
    prepare() {
      const row = evidenceOf(365, 50);
      const state = new Float64Array(DEMAND_SLOTS);
      return () => {
        fitDemand(row, 0, dayOf(NOW), 60, state, 0);
        return state[0] ?? 0;
      };
    },
  },
];
