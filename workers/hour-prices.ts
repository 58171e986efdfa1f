/**
 * The price of a product and hour as one shard knows it: drawn from the demand learnt by whichever shard is asked
 * first (`price-table.ts`), read from shared memory by the others, and kept for the hour. One price for everyone;
 * whoever draws it says from what (`PriceBasis`), so that it can be drawn again.
 */
import type { Catalog, Product } from '../decision/catalog.ts';
import { CROSS_INPUTS_MAX, fillInputs, foldInputs, summariseCross } from '../decision/cross-demand.ts';
import { dayOf, EVIDENCE_SLOTS } from '../decision/demand-evidence.ts';
import { dayStartEpochMillis, fitDemand } from '../decision/demand-fit.ts';
import { DEMAND_INPUTS_MAX } from '../decision/demand-inputs.ts';
import { DEMAND_SLOTS, type Demand, summariseDemand } from '../decision/demand-model.ts';
import { choosePrice, createPriceInput, createPriceResult } from '../decision/price.ts';
import type { PricePoint } from '../decision/price-point.ts';
import { pricePropensity } from '../decision/price-propensity.ts';
import { choosePromotion, type PromotedProduct, type Promotion } from '../decision/promotion.ts';
import { quotesPerHour } from '../decision/quote-traffic.ts';
import { seedFrom } from '../decision/random.ts';
import type { HourPrice, PriceTable } from './price-table.ts';

const HOUR_MILLIS = 3_600_000;
const NO_INPUTS = new Float64Array(DEMAND_INPUTS_MAX);

/** What the price of an hour was drawn from beside the model; negative previous and reference prices stand for none. */
export interface PriceBasis {
  readonly stockLeft: number;
  readonly previousPriceMinor: number;
  readonly referencePriceMinor: number;
  /** Of a product with `demandInputs`: a copy. Null in the usual case. */
  readonly inputs: Float64Array | null;
  /** What a feed lets it cost at most; infinite where none says. */
  readonly ceilingMinor: number;
}

/** The price of a product and hour, as a shard came to know it. */
export interface SeenPrice {
  readonly skuHash: number;
  readonly atEpochMillis: number;
  readonly price: HourPrice;
  /** Null when another shard drew it. */
  readonly basis: PriceBasis | null;
}

export class HourPrices {
  readonly #prices: Pick<PriceTable, 'priceOf'>;
  readonly #seedSecret: Uint32Array;
  /** What is known of a product: what was quoted and sold, then its traffic. */
  readonly #demandOf: (skuHash: number) => Float64Array;
  readonly #crossOf: (inputsHash: number) => Float64Array;
  readonly #seeds = new Uint32Array(2);
  readonly #inputs = new Float64Array(CROSS_INPUTS_MAX);
  readonly #effects = new Float64Array(CROSS_INPUTS_MAX);
  /** What is believed of the demand of the product at hand, and of one bundled with it. */
  readonly #belief = new Float64Array(DEMAND_SLOTS);
  readonly #otherBelief = new Float64Array(DEMAND_SLOTS);
  readonly #priceResult = createPriceResult();
  readonly #priceInput = createPriceInput();
  readonly #promotionChoice = { promotion: -1, expectedMargin: 0, plainMargin: 0 };
  readonly #summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
  readonly #points = new Map<number, { hour: number; point: PricePoint }>();
  #catalog: Catalog;

  constructor(
    catalog: Catalog,
    prices: Pick<PriceTable, 'priceOf'>,
    seedSecret: Uint32Array,
    demandOf: (skuHash: number) => Float64Array,
    crossOf: (inputsHash: number) => Float64Array,
  ) {
    this.#catalog = catalog;
    this.#prices = prices;
    this.#seedSecret = seedSecret;
    this.#demandOf = demandOf;
    this.#crossOf = crossOf;
  }

  setCatalog(catalog: Catalog): void {
    this.#catalog = catalog;
    this.#points.clear();
  }

  pricePoint(
    product: Product,
    nowEpochMillis: number,
    stockLeft: number,
    wantsExplain: boolean,
    given: Float64Array | null,
    ceilingMinor: number,
  ): PricePoint {
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    const known = this.#points.get(product.hash);
    if (known !== undefined && known.hour === hour && !wantsExplain) return known.point;
    let basis: PriceBasis | null = null;
    const price = this.#prices.priceOf(product.index, hour, (previousPriceMinor, referencePriceMinor) => {
      const inputs = given === null || product.demandInputs.length === 0 ? null : given.slice();
      basis = { stockLeft, previousPriceMinor, referencePriceMinor, inputs, ceilingMinor };
      return this.drawPrice(product, nowEpochMillis, basis);
    });
    const { priceMinor, propensity, promotion } = price;
    if (known?.hour !== hour || known.point.priceMinor !== priceMinor) {
      this.onPrice({ skuHash: product.hash, atEpochMillis: nowEpochMillis, price, basis });
    }
    const point = {
      priceMinor,
      maskedPriceMinor: priceMinor,
      personalised: false,
      propensity,
      promotion: product.promotions[promotion]?.key ?? null,
      explain: wantsExplain ? this.#explainPrice(product, nowEpochMillis, stockLeft, given, ceilingMinor) : {},
    };
    this.#points.set(product.hash, { hour, point });
    return point;
  }

  /** Told of each price of a product and hour that is new here. */
  onPrice: (seen: SeenPrice) => void = () => {};

  /** The price of the hour by what is known now. */
  drawPrice(product: Product, nowEpochMillis: number, basis: PriceBasis): HourPrice {
    const { stockLeft, previousPriceMinor, referencePriceMinor } = basis;
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    seedFrom(this.#seedSecret, product.hash, 0, hour, this.#seeds);
    const input = this.#priceInput;
    this.#believe(product, nowEpochMillis, basis.inputs);
    input.state = this.#belief;
    input.listMinor = product.listMinor;
    input.floorMinor = product.floorMinor;
    input.ceilingMinor = Math.min(product.ceilingMinor, basis.ceilingMinor);
    input.costMinor = product.costMinor;
    input.stepMinor = product.stepMinor;
    input.endingsMinor = product.endingsMinor;
    input.marginBasisPointsMin = product.marginBasisPointsMin;
    input.isCappedAtList = product.isCappedAtList;
    input.previousPriceMinor = previousPriceMinor < 0 ? product.listMinor : previousPriceMinor;
    input.changeBasisPointsMax = product.changeBasisPointsMax ?? -1;
    input.referencePriceMinor = referencePriceMinor < 0 ? product.listMinor : referencePriceMinor;
    input.referenceBasisPointsMax = product.referenceBasisPointsMax ?? -1;
    this.#fillInventory(product, nowEpochMillis, stockLeft);
    input.seed0 = this.#seeds[0] as number;
    input.seed1 = this.#seeds[1] as number;
    input.subjectHash = product.hash;
    choosePrice(input, this.#priceResult);
    const { priceMinor } = this.#priceResult;
    const propensity = pricePropensity(input, priceMinor);
    return { priceMinor, propensity, promotion: this.#choosePromotion(product, nowEpochMillis) };
  }

  /** What is believed of base and elasticity, as the inputs are; returns the day since which, or -1. */
  #believe(product: Product, nowEpochMillis: number, inputs: Float64Array | null): number {
    if (product.demandInputs.length === 0) return this.#fit(product, nowEpochMillis, this.#belief);
    fillInputs(product.listMinor, product.listMinor, inputs ?? NO_INPUTS, this.#inputs);
    foldInputs(this.#crossOf(product.demandInputsHash), 0, this.#inputs, this.#belief);
    return -1;
  }

  #fit(product: Product, nowEpochMillis: number, belief: Float64Array): number {
    return fitDemand(this.#demandOf(product.hash), 0, dayOf(nowEpochMillis), product.memoryDays, belief, 0);
  }

  #explainInputs(product: Product, inputs: Float64Array | null): PricePoint['explain'] {
    if (product.demandInputs.length === 0) return {};
    summariseCross(this.#crossOf(product.demandInputsHash), 0, this.#effects, null);
    return {
      demandInputs: Array.from(product.demandInputs, ({ kind }, i) => ({
        kind,
        value: inputs?.[i] ?? 0,
        effect: this.#effects[i + 2] ?? 0,
      })),
    };
  }

  /** By the curve that was just drawn for the price; of a bundle's other product by what is known on average. */
  #choosePromotion(product: Product, nowEpochMillis: number): number {
    if (product.promotions.length === 0) return -1;
    const { priceMinor, base, elasticity, unitValueMinor } = this.#priceResult;
    // Of a stock to be sold by a day the cost is spent: a unit costs what it would bring otherwise.
    const isStock = product.sellByEpochMillis !== null;
    const costMinor = isStock ? product.salvageMinor + unitValueMinor : product.costMinor;
    const offers = product.promotions.map(({ offer }): Promotion => {
      if (offer.kind !== 'bundle') return offer;
      const other = this.#catalog.productByHash.get(offer.otherHash) as Product; // the catalog check knows it
      this.#fit(other, nowEpochMillis, this.#otherBelief);
      summariseDemand(this.#otherBelief, 0, this.#summary);
      const demand = { base: this.#summary.baseMean, elasticity: this.#summary.elasticityMean };
      return {
        kind: 'bundle',
        bundleMinor: offer.bundleMinor,
        other: promotedAt(other, other.listMinor, other.costMinor, demand),
      };
    });
    choosePromotion(promotedAt(product, priceMinor, costMinor, { base, elasticity }), offers, this.#promotionChoice);
    return this.#promotionChoice.promotion;
  }

  #fillInventory(product: Product, nowEpochMillis: number, stockLeft: number): void {
    const input = this.#priceInput;
    input.unitsLeft = -1;
    if (product.sellByEpochMillis === null) return;
    const hoursLeft = Math.max(product.sellByEpochMillis - nowEpochMillis, 0) / HOUR_MILLIS;
    input.unitsLeft = Math.max(stockLeft, 0);
    input.quotesLeft = quotesPerHour(this.#demandOf(product.hash), EVIDENCE_SLOTS, nowEpochMillis) * hoursLeft;
    input.salvageMinor = product.salvageMinor;
  }

  #explainPrice(
    product: Product,
    nowEpochMillis: number,
    stockLeft: number,
    inputs: Float64Array | null,
    ceilingMinor: number,
  ): PricePoint['explain'] {
    const none = { previousPriceMinor: -1, referencePriceMinor: -1 };
    this.drawPrice(product, nowEpochMillis, { stockLeft, ...none, inputs, ceilingMinor });
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    const { unitsLeft, quotesLeft } = this.#priceInput;
    const drawn = this.#priceResult;
    const { plainMargin, expectedMargin } = this.#promotionChoice;
    const summary = this.#summary;
    const since = this.#believe(product, nowEpochMillis, inputs);
    summariseDemand(this.#belief, 0, summary);
    return {
      ...this.#explainInputs(product, inputs),
      ...(ceilingMinor === Number.POSITIVE_INFINITY ? {} : { feedCeilingMinor: ceilingMinor }),
      policy: 'one price a product and hour, for everyone',
      hourStartEpochMillis: hour * HOUR_MILLIS,
      elasticityMean: summary.elasticityMean,
      elasticitySd: summary.elasticitySd,
      elasticityDrawn: drawn.elasticity,
      modelPriceMinor: drawn.modelPriceMinor,
      expectedDemand: drawn.expectedDemand,
      dispersed: drawn.dispersed,
      ...(since < 0 ? {} : { demandSinceEpochMillis: dayStartEpochMillis(since) }),
      ...(product.promotions.length === 0 ? {} : { plainMargin, promotionMargin: expectedMargin }),
      ...(unitsLeft < 0 ? {} : { unitsLeft, quotesLeft, unitValueMinor: drawn.unitValueMinor }),
    };
  }
}

/** `costMinor` is what giving a unit away costs now; the floor stays that of the unit's price of purchase. */
function promotedAt(product: Product, priceMinor: number, costMinor: number, demand: Demand): PromotedProduct {
  const { listMinor, floorMinor, marginBasisPointsMin } = product;
  const withMargin = Math.ceil((product.costMinor * (10_000 + marginBasisPointsMin)) / 10_000);
  return { priceMinor, listMinor, costMinor, floorMinor: Math.max(floorMinor, withMargin), demand };
}
