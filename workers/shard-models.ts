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
import { DECISION, DECISION_FLAG, EFFECT, Effect, EVENT, EVENT_FLAG, OWED_UNITS, TEACHING } from '../actors/effect.ts';
import type { Models } from '../actors/ports.ts';
import type { Store } from '../actors/store.ts';
import type { Catalog, Channel, Product } from '../decision/catalog.ts';
import {
  addCrossPrior,
  CROSS_INPUTS_MAX,
  crossSlots,
  fillInputs,
  learnCrossPurchase,
  learnCrossQuote,
} from '../decision/cross-demand.ts';
import { DEMAND_INPUTS_MAX } from '../decision/demand-inputs.ts';
import {
  BASE_PRIOR_MEAN,
  BASE_PRIOR_SD,
  ELASTICITY_PRIOR_MEAN,
  ELASTICITY_PRIOR_SD,
} from '../decision/demand-model.ts';
import { FeatureVector } from '../decision/features.ts';
import { TILT_SLOTS } from '../decision/hour-tilt.ts';
import { LINEAR_DIMENSIONS, LINEAR_PRIORS, LINEAR_SUMS, LinearModel } from '../decision/linear-model.ts';
import { applyDelta, ModelDelta, rebase } from '../decision/model-delta.ts';
import { dealParts, PART_KIND, type PartKeys, PartRegister } from '../decision/part-register.ts';
import type { PricePoint } from '../decision/price-point.ts';
import { GAP_SLOTS } from '../decision/purchase-due.ts';
import { DELAY_SLOTS, delayBin, negativeWeight, nextStepAge } from '../decision/response-delay.ts';
import { learnResponse, learnTrial, unlearnTrial } from '../decision/response-learning.ts';
import { GLOBAL_PART, RESPONSE_MODEL_BYTES, ResponseModel } from '../decision/response-model.ts';
import { addSendPrior, type SendTimeInput, WEEK_SLOTS } from '../decision/send-time.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import { AdditiveTable } from './additive-table.ts';
import { HourPrices, type PriceBasis, type SeenPrice } from './hour-prices.ts';
import type { LearningBox, PublishedLearning, SharedModels } from './learning-exchange.ts';
import type { HourPrice, PriceTable } from './price-table.ts';
import { addProduct, PRODUCT_SLOTS, teachProduct } from './product-row.ts';

const CROSS_SLOTS = crossSlots(CROSS_INPUTS_MAX);
/** Base and elasticity as without inputs; a unit of an input moves demand by a factor of about e, up or down. */
const CROSS_MEANS = [BASE_PRIOR_MEAN, ELASTICITY_PRIOR_MEAN, 0, 0, 0, 0, 0, 0];
const CROSS_DEVIATIONS = [BASE_PRIOR_SD, ELASTICITY_PRIOR_SD, 1, 1, 1, 1, 1, 1];
/** What is known of one channel: its week curve, then how long responses take. */
const CHANNEL_SLOTS = WEEK_SLOTS + DELAY_SLOTS;
/** A whole model as plain data; `response` may be shared memory. */
export interface ModelState {
  readonly response: ArrayBuffer | SharedArrayBuffer;
  /** Under which numbers `response` holds its parts. */
  readonly parts: PartKeys;
  readonly demand: ReadonlyMap<number, Float64Array>;
  /** Of a channel its week curve, and behind it how long responses take. */
  readonly weeks: ReadonlyMap<number, Float64Array>;
  readonly zones: ReadonlyMap<number, Float64Array>;
  /** Gaps between purchases, by tenant; 0 is the only one. */
  readonly gaps: ReadonlyMap<number, Float64Array>;
  /** Sums of the linear model by part; empty where no catalog has asked for it. */
  readonly linear: ReadonlyMap<number, Float64Array>;
  /** Demand with inputs, by the hash of their declaration. */
  readonly cross: ReadonlyMap<number, Float64Array>;
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
  /** Demand by more than the price, of products that a catalog declares inputs for. */
  readonly #cross: AdditiveTable;
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
  readonly #zoneName: (zone: number) => string;
  readonly #decision = new Effect();
  readonly #features = new FeatureVector();
  readonly #hourPrices: HourPrices;
  readonly #crossInputs = new Float64Array(CROSS_INPUTS_MAX);
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
    this.#zoneName = zoneName;
    this.response = new ResponseModel();
    this.#base = hasPeers ? new ResponseModel() : null;
    this.#open = hasPeers ? new ModelDelta() : null;
    this.#demand = new AdditiveTable(PRODUCT_SLOTS, hasPeers, () => {}, addProduct);
    this.#hourPrices = new HourPrices(
      catalog,
      prices,
      seedSecret,
      (skuHash) => this.#demand.of(skuHash),
      (hash) => this.#cross.of(hash),
    );
    this.#weeks = new AdditiveTable(CHANNEL_SLOTS, hasPeers, (row) => addSendPrior(row, 0));
    this.#zones = new AdditiveTable(TILT_SLOTS, hasPeers, () => {});
    this.#gaps = new AdditiveTable(GAP_SLOTS, hasPeers, () => {});
    this.#linearSums = new AdditiveTable(LINEAR_SUMS, hasPeers, () => {});
    this.#cross = new AdditiveTable(CROSS_SLOTS, hasPeers, (row) =>
      addCrossPrior(row, 0, CROSS_MEANS, CROSS_DEVIATIONS),
    );
    this.#tables = [this.#demand, this.#weeks, this.#zones, this.#gaps, this.#linearSums, this.#cross];
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
    this.#cross.load(state?.cross);
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
    this.#hourPrices.setCatalog(catalog);
    for (const product of catalog.products) this.#demand.of(product.hash);
    for (const channel of catalog.channels) this.#weeks.of(channel.hash);
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  pricePoint(
    product: Product,
    nowEpochMillis: number,
    stockLeft: number,
    wantsExplain: boolean,
    inputs: Float64Array | null,
    ceilingMinor: number,
  ): PricePoint {
    return this.#hourPrices.pricePoint(product, nowEpochMillis, stockLeft, wantsExplain, inputs, ceilingMinor);
  }

  /** Told of each price of a product and hour that is new here. */
  set onPrice(tell: (seen: SeenPrice) => void) {
    this.#hourPrices.onPrice = tell;
  }

  /** The price of the hour by what is known now. */
  drawPrice(product: Product, nowEpochMillis: number, basis: PriceBasis): HourPrice {
    return this.#hourPrices.drawPrice(product, nowEpochMillis, basis);
  }

  fillSendTime(input: SendTimeInput, channel: Channel): void {
    input.week = this.#weeks.of(channel.hash);
    input.weekOffset = 0;
    input.zoneTilt = this.#zones.working.get(this.#zoneHash(input.zone)) ?? this.#emptyZone;
    input.zoneTiltOffset = 0;
    input.gapTotals = this.#gaps.of(0);
  }

  negativeWeight(channelHash: number, ageMillis: number, windowMillis: number): number {
    return negativeWeight(this.#weeks.of(channelHash), WEEK_SLOTS, ageMillis, windowMillis);
  }

  nextStepAge(channelHash: number, ageMillis: number, weight: number, windowMillis: number): number {
    return nextStepAge(this.#weeks.of(channelHash), WEEK_SLOTS, ageMillis, weight, windowMillis);
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
    this.#teach(event, 1);
  }

  /**
   * Takes back what an event had taught, by the catalog in force: counts exactly, sums of doubles but for rounding, a
   * trial as `unlearnTrial` says. What it taught of demand with inputs stays (see docs/PRIVACY.md).
   */
  unlearn(event: Effect): void {
    this.#teach(event, -1);
  }

  #teach(event: Effect, times: 1 | -1): void {
    const flags = event.getU32(EVENT.flags);
    if (flags & TEACHING) this.#hasUnnamed = true;
    if (flags & (EVENT_FLAG.trial | EVENT_FLAG.ripened | EVENT_FLAG.response | EVENT_FLAG.trialWithResponse))
      this.#learnResponse(event, flags, times);
    if (flags & (EVENT_FLAG.quote | EVENT_FLAG.purchase)) this.#learnDemand(event, flags, times);
    if (flags & EVENT_FLAG.occasion) {
      const logGap = event.f32[EVENT.logGap >>> 2] as number; // inside the entry
      // A first purchase ends no gap.
      if (!Number.isNaN(logGap)) this.#learnGap(logGap, times);
    }
    if (flags & EVENT_FLAG.sendTime) {
      const hourOfWeek = event.getU16(EVENT.hourOfWeek);
      this.#addSend(event.getU32(EVENT.channelHash), hourOfWeek, event.getU32(EVENT.zoneHash), times);
      this.hasNews = true;
    }
  }

  #learnGap(logGap: number, times: number): void {
    this.#gaps.add(0, 0, times);
    this.#gaps.add(0, 1, times * logGap);
    this.#gaps.add(0, 2, times * logGap * logGap);
    this.hasNews = true;
  }

  /** The decision that an event is about, or null when it has left the journal. */
  #decisionOf(event: Effect): Effect | null {
    const bytes = this.#store.readJournal({
      epoch: event.getU32(EVENT.decisionEpoch),
      stream: event.getU32(EVENT.decisionStream),
      batch: event.getU32(EVENT.decisionBatch),
    });
    if (bytes === undefined) return null;
    const decision = this.#decision;
    if (decision.load(bytes, event.getU32(EVENT.decisionOffset)) < 0) return null;
    // Where its person is being erased it may be blank already.
    return decision.type === EFFECT.decision ? decision : null;
  }

  #learnResponse(event: Effect, flags: number, times: 1 | -1): void {
    const decision = this.#decisionOf(event);
    if (decision === null) return;
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
    const isAnswered = (flags & (EVENT_FLAG.response | EVENT_FLAG.trialWithResponse)) !== 0;
    const owed = (event.u8[EVENT.owed] as number) / OWED_UNITS; // inside the entry
    /** What is learnt now of the trial: of a response, whatever was still owed. */
    let trials = 1;
    if (flags & EVENT_FLAG.response) trials = owed;
    else if (flags & EVENT_FLAG.ripened) trials = event.getF64(EVENT.quantity) / OWED_UNITS;
    else if (flags & EVENT_FLAG.trial) trials = 1 - owed;
    // The negative learnt so far is turned into a positive of the same weight; the rest is one from the first.
    const label = isAnswered ? 1 : 0;
    // Taken back in the opposite order.
    if (trials > 0 && times < 0)
      unlearnTrial(this.response, features, action, category, channel, label, trials, this.#open);
    if (flags & EVENT_FLAG.response)
      learnResponse(this.response, features, action, category, channel, times * (1 - owed), this.#open);
    if (trials > 0 && times > 0)
      learnTrial(this.response, features, action, category, channel, label, trials, this.#open);
    if (isAnswered) {
      const delay = delayBin(event.getF64(EVENT.eventAt) - decision.at);
      this.#weeks.add(event.getU32(EVENT.channelHash), WEEK_SLOTS + delay, times);
    }
    if (this.linear !== null)
      this.#learnLinear(this.linear, features, action, category, times * trials, isAnswered ? times : 0);
    this.hasNews = true;
  }

  #learnLinear(
    linear: LinearModel,
    features: FeatureVector,
    action: number,
    category: number,
    trials: number,
    responses: number,
  ): void {
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

  #learnDemand(event: Effect, flags: number, times: 1 | -1): void {
    const product = this.#catalog.productByHash.get(event.getU32(EVENT.skuHash));
    if (product === undefined) return;
    teachProduct(this.#demand.of(product.hash), event, flags, product.listMinor, times);
    const open = this.#demand.openOf(product.hash);
    if (open !== null) teachProduct(open, event, flags, product.listMinor, times);
    const isPersonal = (flags & EVENT_FLAG.personalPrice) !== 0;
    // A quote's step there came from the model of its moment, which nobody knows any more: it cannot be taken back.
    if (product.demandInputs.length > 0 && !isPersonal && times === 1) this.#learnCross(event, product, flags);
    this.hasNews = true;
  }

  /** What moved demand when the price was quoted stands in the decision. */
  #learnCross(event: Effect, product: Product, flags: number): void {
    const decision = this.#decisionOf(event);
    if (decision === null || ((decision.u8[DECISION.flags] as number) & DECISION_FLAG.demandInputs) === 0) return;
    // Inputs of another declaration have the same places and another meaning.
    if (decision.inputsHash !== product.demandInputsHash) return;
    const start = (decision.inputsStart() >>> 2) + 1;
    const inputs = decision.f32.subarray(start, start + DEMAND_INPUTS_MAX);
    fillInputs(event.getF64(EVENT.priceMinor), product.listMinor, inputs, this.#crossInputs);
    const state = this.#cross.of(product.demandInputsHash);
    const before = Float64Array.from(state);
    if (flags & EVENT_FLAG.quote) learnCrossQuote(state, 0, this.#crossInputs);
    if (flags & EVENT_FLAG.purchase) learnCrossPurchase(state, 0, this.#crossInputs, event.getF64(EVENT.quantity));
    this.#cross.addChange(product.demandInputsHash, before);
  }

  /** A signal without a channel counts for every channel. */
  #addSend(channelHash: number, hourOfWeek: number, zoneHash: number, times: number): void {
    if (hourOfWeek >= WEEK_SLOTS) return;
    if (channelHash !== 0) this.#weeks.add(channelHash, hourOfWeek, times);
    else for (const channel of this.#weeks.working.keys()) this.#weeks.add(channel, hourOfWeek, times);
    this.#zones.add(zoneHash, hourOfWeek % TILT_SLOTS, times);
  }

  // ── exchange and snapshot ──────────────────────────────────────────────────────────────────────

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
      cross: this.#cross.shared,
    };
  }
}

function copyOf(buffer: ArrayBuffer | SharedArrayBuffer): ArrayBuffer {
  const copy = new ArrayBuffer(buffer.byteLength);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  return copy;
}
