/**
 * What one shard has learnt and what it heard from the others: the response model, what was quoted and sold of a
 * product, a week curve a channel, an hour-of-day tilt a time zone and the gaps between purchases. Everything is a sum of what each
 * event added, so shards exchange additions (`learning-exchange.ts`), a snapshot is a copy, and what came
 * after the snapshot is learnt again from the journal at the next start. Decisions read the working model:
 * the base that all shards have merged, and on top what this shard has learnt since.
 *
 * One thread owns one instance. `epoch` is the version of what is known, named at each commit and merge,
 * and logged with every decision.
 */
import { DECISION, Effect, EVENT, EVENT_FLAG } from '../actors/effect.ts';
import type { Models } from '../actors/ports.ts';
import type { Store } from '../actors/store.ts';
import type { Catalog, Channel, Product } from '../decision/catalog.ts';
import { dayOf, EVIDENCE_SLOTS } from '../decision/demand-evidence.ts';
import { dayStartEpochMillis, fitDemand } from '../decision/demand-fit.ts';
import { DEMAND_SLOTS, type Demand, summariseDemand } from '../decision/demand-model.ts';
import { FeatureVector } from '../decision/features.ts';
import { TILT_SLOTS } from '../decision/hour-tilt.ts';
import { LINEAR_DIMENSIONS, LINEAR_PRIORS, LINEAR_SUMS, LinearModel } from '../decision/linear-model.ts';
import { applyDelta, ModelDelta, rebase } from '../decision/model-delta.ts';
import { dealParts, PART_KIND, type PartKeys, PartRegister } from '../decision/part-register.ts';
import type { PricePoint } from '../decision/pipeline.ts';
import { choosePrice, createPriceInput, createPriceResult } from '../decision/price.ts';
import { pricePropensity } from '../decision/price-propensity.ts';
import { choosePromotion, type PromotedProduct, type Promotion } from '../decision/promotion.ts';
import { GAP_SLOTS } from '../decision/purchase-due.ts';
import { quotesPerHour } from '../decision/quote-traffic.ts';
import { seedFrom } from '../decision/random.ts';
import { learnResponse, learnTrial } from '../decision/response-learning.ts';
import { GLOBAL_PART, RESPONSE_MODEL_BYTES, ResponseModel } from '../decision/response-model.ts';
import { addSendPrior, type SendTimeInput, WEEK_SLOTS } from '../decision/send-time.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import { AdditiveTable } from './additive-table.ts';
import type { LearningBox, PublishedLearning, SharedModels } from './learning-exchange.ts';
import type { HourPrice, PriceTable } from './price-table.ts';
import { addProduct, PRODUCT_SLOTS, teachProduct } from './product-row.ts';

const HOUR_MILLIS = 3_600_000;
/** Flags of an event that teaches some model. */
export const TEACHING =
  EVENT_FLAG.trial |
  EVENT_FLAG.response |
  EVENT_FLAG.trialWithResponse |
  EVENT_FLAG.quote |
  EVENT_FLAG.purchase |
  EVENT_FLAG.sendTime |
  EVENT_FLAG.occasion;

/** What the price of an hour was drawn from beside the model; negative previous and reference prices stand for none. */
export interface PriceBasis {
  readonly stockLeft: number;
  readonly previousPriceMinor: number;
  readonly referencePriceMinor: number;
}

/** The price of a product and hour, as a shard came to know it. */
export interface SeenPrice {
  readonly skuHash: number;
  readonly atEpochMillis: number;
  readonly price: HourPrice;
  /** Null when another shard drew it. */
  readonly basis: PriceBasis | null;
}

/** A whole model as plain data; `response` may be shared memory. */
export interface ModelState {
  readonly response: ArrayBuffer | SharedArrayBuffer;
  /** Under which numbers `response` holds its parts. */
  readonly parts: PartKeys;
  readonly demand: ReadonlyMap<number, Float64Array>;
  readonly weeks: ReadonlyMap<number, Float64Array>;
  readonly zones: ReadonlyMap<number, Float64Array>;
  /** Gaps between purchases, by tenant; 0 is the only one. */
  readonly gaps: ReadonlyMap<number, Float64Array>;
  /** Sums of the linear model by part; empty where no catalog has asked for it. */
  readonly linear: ReadonlyMap<number, Float64Array>;
}

export class ShardModels implements Models, SharedModels {
  epoch = 1;
  response: ResponseModel;
  /** Only while the catalog's strategy asks for it: it learns from then on. */
  linear: LinearModel | null = null;
  parts = new PartRegister(new Uint32Array(0));
  /** What all shards had learnt at the last merge; null where there is only one shard. */
  readonly #base: ResponseModel | null;
  /** What this shard has learnt and not published; nothing where there is only one. */
  readonly #open: ModelDelta | null;
  readonly #demand: AdditiveTable;
  readonly #weeks: AdditiveTable;
  readonly #zones: AdditiveTable;
  readonly #gaps: AdditiveTable;
  readonly #linearSums: AdditiveTable;
  /** The tables in the order in which they are published. */
  readonly #tables: readonly AdditiveTable[];
  readonly #dense = new Float64Array(LINEAR_DIMENSIONS);
  /** Sums before a lesson of the parts that it teaches. */
  readonly #linearBefore = Array.from({ length: 3 }, () => new Float64Array(LINEAR_SUMS));
  readonly #emptyZone = new Float64Array(TILT_SLOTS);
  readonly #store: Pick<Store, 'readJournal'>;
  readonly #seedSecret: Uint32Array;
  readonly #prices: Pick<PriceTable, 'priceOf'>;
  readonly #zoneName: (zone: number) => string;
  readonly #decision = new Effect();
  readonly #features = new FeatureVector();
  readonly #seeds = new Uint32Array(2);
  readonly #priceResult = createPriceResult();
  readonly #priceInput = createPriceInput();
  readonly #promotionChoice = { promotion: -1, expectedMargin: 0, plainMargin: 0 };
  readonly #belief = new Float64Array(DEMAND_SLOTS);
  readonly #otherBelief = new Float64Array(DEMAND_SLOTS);
  readonly #summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
  readonly #points = new Map<number, { hour: number; point: PricePoint }>();
  readonly #zoneHashes: number[] = [];
  #catalog: Catalog;
  #hasUnnamed = false;
  /** Whether anything was learnt since the last snapshot. */
  hasNews = false;

  constructor(
    catalog: Catalog,
    store: Pick<Store, 'readJournal'>,
    prices: Pick<PriceTable, 'priceOf'>,
    seedSecret: Uint32Array,
    zoneName: (zone: number) => string,
    hasPeers: boolean,
    state?: ModelState,
    parts?: PartKeys,
  ) {
    this.#catalog = catalog;
    this.#store = store;
    this.#prices = prices;
    this.#seedSecret = seedSecret;
    this.#zoneName = zoneName;
    this.response = new ResponseModel();
    this.#base = hasPeers ? new ResponseModel() : null;
    this.#open = hasPeers ? new ModelDelta() : null;
    this.#demand = new AdditiveTable(PRODUCT_SLOTS, hasPeers, () => {}, addProduct);
    this.#weeks = new AdditiveTable(WEEK_SLOTS, hasPeers, (row) => addSendPrior(row, 0));
    this.#zones = new AdditiveTable(TILT_SLOTS, hasPeers, () => {});
    this.#gaps = new AdditiveTable(GAP_SLOTS, hasPeers, () => {});
    this.#linearSums = new AdditiveTable(LINEAR_SUMS, hasPeers, () => {});
    this.#tables = [this.#demand, this.#weeks, this.#zones, this.#gaps, this.#linearSums];
    this.load(state, parts);
  }

  /**
   * Forgets everything but the given state: a snapshot, or the priors.
   * @param parts the node's numbers, which begin with the snapshot's; by default those with the catalog's behind
   */
  load(state: ModelState | undefined, parts?: PartKeys): void {
    if (state !== undefined) this.parts = new PartRegister(state.parts);
    if (state === undefined) this.response.reset();
    else this.response = new ResponseModel(copyOf(state.response));
    this.#demand.load(state?.demand);
    this.#weeks.load(state?.weeks);
    this.#zones.load(state?.zones);
    this.#gaps.load(state?.gaps);
    this.#linearSums.load(state?.linear);
    this.linear = null;
    this.setCatalog(this.#catalog, parts);
    this.settle();
  }

  /** @param parts as `dealParts` gave them to all shards of the node; a shard alone deals them itself */
  setCatalog(catalog: Catalog, parts: PartKeys = dealParts(this.parts.keys, catalog)): void {
    const known = this.parts.keys;
    if (!known.every((key, i) => parts[i] === key)) throw new RangeError('model parts: numbers once given must stay');
    this.parts = new PartRegister(parts);
    this.#catalog = catalog;
    if (catalog.decision.strategy !== 'lints') this.linear = null;
    else if (this.linear === null) {
      this.linear = new LinearModel(LINEAR_DIMENSIONS, LINEAR_PRIORS, (part) => this.#linearSums.of(part));
      this.linear.adopt(this.#linearSums.working.keys());
    }
    this.#points.clear();
    for (const product of catalog.products) this.#demand.of(product.hash);
    for (const channel of catalog.channels) this.#weeks.of(channel.hash);
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  pricePoint(product: Product, nowEpochMillis: number, stockLeft: number, wantsExplain: boolean): PricePoint {
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    const known = this.#points.get(product.hash);
    if (known !== undefined && known.hour === hour && !wantsExplain) return known.point;
    let basis: PriceBasis | null = null;
    const price = this.#prices.priceOf(product.index, hour, (previousPriceMinor, referencePriceMinor) => {
      basis = { stockLeft, previousPriceMinor, referencePriceMinor };
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
      explain: wantsExplain ? this.#explainPrice(product, nowEpochMillis, stockLeft) : {},
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
    this.#believe(product, nowEpochMillis, this.#belief);
    input.state = this.#belief;
    input.listMinor = product.listMinor;
    input.floorMinor = product.floorMinor;
    input.ceilingMinor = product.ceilingMinor;
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
      const belief = this.#otherBelief;
      this.#believe(other, nowEpochMillis, belief);
      summariseDemand(belief, 0, this.#summary);
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

  #believe(product: Product, nowEpochMillis: number, out: Float64Array): number {
    return fitDemand(this.#demand.of(product.hash), 0, dayOf(nowEpochMillis), product.memoryDays, out, 0);
  }

  #fillInventory(product: Product, nowEpochMillis: number, stockLeft: number): void {
    const input = this.#priceInput;
    input.unitsLeft = -1;
    if (product.sellByEpochMillis === null) return;
    const hoursLeft = Math.max(product.sellByEpochMillis - nowEpochMillis, 0) / HOUR_MILLIS;
    input.unitsLeft = Math.max(stockLeft, 0);
    input.quotesLeft = quotesPerHour(this.#demand.of(product.hash), EVIDENCE_SLOTS, nowEpochMillis) * hoursLeft;
    input.salvageMinor = product.salvageMinor;
  }

  #explainPrice(product: Product, nowEpochMillis: number, stockLeft: number): PricePoint['explain'] {
    this.drawPrice(product, nowEpochMillis, { stockLeft, previousPriceMinor: -1, referencePriceMinor: -1 });
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    const { unitsLeft, quotesLeft } = this.#priceInput;
    const drawn = this.#priceResult;
    const { plainMargin, expectedMargin } = this.#promotionChoice;
    const summary = this.#summary;
    const since = this.#believe(product, nowEpochMillis, this.#belief);
    summariseDemand(this.#belief, 0, summary);
    return {
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

  fillSendTime(input: SendTimeInput, channel: Channel): void {
    input.week = this.#weeks.of(channel.hash);
    input.weekOffset = 0;
    input.zoneTilt = this.#zones.working.get(this.#zoneHash(input.zone)) ?? this.#emptyZone;
    input.zoneTiltOffset = 0;
    input.gapTotals = this.#gaps.of(0);
  }

  #zoneHash(zone: number): number {
    let hash = this.#zoneHashes[zone];
    if (hash === undefined) {
      hash = murmur3Text(this.#zoneName(zone), 0);
      this.#zoneHashes[zone] = hash;
    }
    return hash;
  }

  // ── learning ───────────────────────────────────────────────────────────────────────────────────

  /** Gives what was learnt since the last call a version of its own. */
  nameVersion(): void {
    if (!this.#hasUnnamed) return;
    this.#hasUnnamed = false;
    this.epoch++;
  }

  learn(event: Effect): void {
    const flags = event.getU32(EVENT.flags);
    if (flags & TEACHING) this.#hasUnnamed = true;
    if (flags & (EVENT_FLAG.trial | EVENT_FLAG.response | EVENT_FLAG.trialWithResponse))
      this.#learnResponse(event, flags);
    if (flags & (EVENT_FLAG.quote | EVENT_FLAG.purchase)) this.#learnDemand(event, flags);
    if (flags & EVENT_FLAG.occasion) {
      const logGap = event.f32[EVENT.logGap >>> 2] as number; // inside the entry
      // A first purchase ends no gap.
      if (!Number.isNaN(logGap)) this.#learnGap(logGap);
    }
    if (flags & EVENT_FLAG.sendTime) {
      this.#addSend(event.getU32(EVENT.channelHash), event.getU16(EVENT.hourOfWeek), event.getU32(EVENT.zoneHash));
      this.hasNews = true;
    }
  }

  #learnGap(logGap: number): void {
    this.#gaps.add(0, 0, 1);
    this.#gaps.add(0, 1, logGap);
    this.#gaps.add(0, 2, logGap * logGap);
    this.hasNews = true;
  }

  #learnResponse(event: Effect, flags: number): void {
    const bytes = this.#store.readJournal({
      epoch: event.getU32(EVENT.decisionEpoch),
      stream: event.getU32(EVENT.decisionStream),
      batch: event.getU32(EVENT.decisionBatch),
    });
    if (bytes === undefined) return;
    const decision = this.#decision;
    if (decision.load(bytes, event.getU32(EVENT.decisionOffset)) < 0) return;
    const features = this.#features;
    features.reset();
    for (let i = 1; i < decision.getU16(DECISION.featureCount); i++)
      features.add(decision.featureHash(i), decision.featureValue(i));
    const { parts } = this;
    const actionHash = event.getU32(EVENT.actionHash);
    const categoryHash = this.#catalog.actionByHash.get(actionHash)?.categoryHash ?? 0;
    const category = categoryHash === 0 ? 0 : parts.numberOf(PART_KIND.category, categoryHash);
    const action = parts.numberOf(PART_KIND.action, actionHash);
    const channel = parts.numberOf(PART_KIND.channel, event.getU32(EVENT.channelHash));
    // Of a catalog that neither this run nor the snapshot knows: there is nobody to learn it for.
    if (action === 0 || channel === 0) return;
    if (flags & EVENT_FLAG.response) learnResponse(this.response, features, action, category, channel, 1, this.#open);
    else {
      const response = flags & EVENT_FLAG.trial ? 0 : 1;
      learnTrial(this.response, features, action, category, channel, response, 1, this.#open);
    }
    if (this.linear !== null) this.#learnLinear(this.linear, features, action, category, flags);
    this.hasNews = true;
  }

  #learnLinear(linear: LinearModel, features: FeatureVector, action: number, category: number, flags: number): void {
    const trials = flags & EVENT_FLAG.response ? 0 : 1;
    const responses = flags & EVENT_FLAG.trial ? 0 : 1;
    const parts = category === 0 ? [GLOBAL_PART, action] : [GLOBAL_PART, category, action];
    parts.forEach((part, i) => {
      this.#linearBefore[i]?.set(this.#linearSums.of(part));
    });
    linear.fold(features, this.#dense);
    linear.learn(this.#dense, action, category, trials, responses);
    parts.forEach((part, i) => {
      this.#linearSums.addChange(part, this.#linearBefore[i] as Float64Array); // three
    });
  }

  #learnDemand(event: Effect, flags: number): void {
    const product = this.#catalog.productByHash.get(event.getU32(EVENT.skuHash));
    if (product === undefined) return;
    teachProduct(this.#demand.of(product.hash), event, flags, product.listMinor);
    const open = this.#demand.openOf(product.hash);
    if (open !== null) teachProduct(open, event, flags, product.listMinor);
    this.hasNews = true;
  }

  /** A signal without a channel counts for every channel. */
  #addSend(channelHash: number, hourOfWeek: number, zoneHash: number): void {
    if (hourOfWeek >= WEEK_SLOTS) return;
    if (channelHash !== 0) this.#weeks.add(channelHash, hourOfWeek, 1);
    else for (const channel of this.#weeks.working.keys()) this.#weeks.add(channel, hourOfWeek, 1);
    this.#zones.add(zoneHash, hourOfWeek % TILT_SLOTS, 1);
  }

  /** Moves what was learnt here since the last call into the box. */
  publish(box: LearningBox, upToBatch: number): void {
    if (this.#open !== null) box.fill(this.#open, this.#tables, upToBatch);
  }

  /** Adds the boxes of one round to the base, in this order; what was learnt here since stays on top. */
  merge(boxes: readonly PublishedLearning[]): void {
    const base = this.#base;
    const open = this.#open;
    if (base === null || open === null || boxes.every(({ isEmpty }) => isEmpty)) return;
    for (const box of boxes) {
      applyDelta(base, box);
      this.#tables.forEach((table, i) => {
        table.addToBase(box.rows, box.rowsEnd(i - 1), box.rowsEnd(i));
      });
    }
    for (const box of boxes) {
      rebase(this.response, base, box, open);
      this.#tables.forEach((table, i) => {
        table.rebase(box.rows, box.rowsEnd(i - 1), box.rowsEnd(i));
      });
    }
    this.linear?.adopt(this.#linearSums.working.keys());
    this.epoch++;
    this.hasNews = true;
  }

  /** Makes what is known the base: nothing of it is published again. */
  settle(): void {
    this.#base?.weights.set(this.response.weights);
    this.#open?.clear();
    for (const table of this.#tables) table.settle();
  }

  /** What is open counts as published. */
  forgetOpen(): void {
    this.#open?.clear();
    for (const table of this.#tables) table.forgetOpen();
  }

  /**
   * A copy of the base, without peers of everything; its large part in shared memory so that it can be posted
   * without another copy.
   */
  snapshot(): ModelState {
    const response = new SharedArrayBuffer(RESPONSE_MODEL_BYTES);
    new Float64Array(response).set((this.#base ?? this.response).weights);
    return {
      response,
      parts: this.parts.keys,
      demand: this.#demand.shared,
      weeks: this.#weeks.shared,
      zones: this.#zones.shared,
      gaps: this.#gaps.shared,
      linear: this.#linearSums.shared,
    };
  }
}

/** `costMinor` is what giving a unit away costs now; the floor stays that of the unit's price of purchase. */
function promotedAt(product: Product, priceMinor: number, costMinor: number, demand: Demand): PromotedProduct {
  const { listMinor, floorMinor, marginBasisPointsMin } = product;
  const withMargin = Math.ceil((product.costMinor * (10_000 + marginBasisPointsMin)) / 10_000);
  return { priceMinor, listMinor, costMinor, floorMinor: Math.max(floorMinor, withMargin), demand };
}

function copyOf(buffer: ArrayBuffer | SharedArrayBuffer): ArrayBuffer {
  const copy = new ArrayBuffer(buffer.byteLength);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  return copy;
}
