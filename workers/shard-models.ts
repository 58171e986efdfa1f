/**
 * What one shard has learnt and what it heard from the others: the response model, a demand curve a
 * product, a week curve a channel and an hour-of-day tilt a time zone. Everything is a sum of what each
 * event added, so shards exchange additions (`takeDelta`, `addDelta`), a snapshot is a copy, and what
 * came after the snapshot is learnt again from the journal at the next start.
 *
 * One thread owns one instance. `epoch` is the version of what is known, named at each commit and merge,
 * and logged with every decision.
 */
import { DECISION, Effect, EVENT, EVENT_FLAG } from '../actors/effect.ts';
import type { Models } from '../actors/ports.ts';
import type { Store } from '../actors/store.ts';
import type { Catalog, Channel, Product } from '../decision/catalog.ts';
import { DEMAND_SLOTS, learnPurchase, learnQuote, setDemandPrior, summariseDemand } from '../decision/demand-model.ts';
import { FeatureVector } from '../decision/features.ts';
import { LINEAR_DIMENSIONS, LinearModel } from '../decision/linear-model.ts';
import { applyDelta, type DeltaEntries, ModelDelta } from '../decision/model-delta.ts';
import { dealParts, PART_KIND, type PartKeys, PartRegister } from '../decision/part-register.ts';
import type { PricePoint } from '../decision/pipeline.ts';
import { choosePrice, createPriceResult, DISPERSION_PROBABILITY, type PriceInput } from '../decision/price.ts';
import { seedFrom } from '../decision/random.ts';
import { learnResponse, learnTrial } from '../decision/response-learning.ts';
import { RESPONSE_MODEL_BYTES, ResponseModel } from '../decision/response-model.ts';
import { addSendPrior, type SendTimeInput, TILT_SLOTS, WEEK_SLOTS } from '../decision/send-time.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import type { PriceTable } from './price-table.ts';

const HOUR_MILLIS = 3_600_000;
/** Flags of an event that teaches some model. */
export const TEACHING =
  EVENT_FLAG.trial |
  EVENT_FLAG.response |
  EVENT_FLAG.trialWithResponse |
  EVENT_FLAG.quote |
  EVENT_FLAG.purchase |
  EVENT_FLAG.sendTime;

/** Additions since the last exchange, ready to post to another thread. */
export interface ModelAdditions {
  readonly response: DeltaEntries;
  /** Rows of (sku hash, five additions). */
  readonly demand: Float64Array;
  /** Rows of (channel hash or 0 for all, hour of week, zone hash). */
  readonly sends: Float64Array;
  /** Rows of (action part, category part, trials, responses, the dense features). */
  readonly linear: Float64Array;
}

/** A whole model as plain data; `response` may be shared memory. */
export interface ModelState {
  readonly response: ArrayBuffer | SharedArrayBuffer;
  /** Under which numbers `response` holds its parts. */
  readonly parts: PartKeys;
  readonly demand: ReadonlyMap<number, Float64Array>;
  readonly weeks: ReadonlyMap<number, Float64Array>;
  readonly zones: ReadonlyMap<number, Float64Array>;
  /** Sums of the linear model by part; empty without one. */
  readonly linear: ReadonlyMap<number, Float64Array>;
}

export class ShardModels implements Models {
  epoch = 1;
  response: ResponseModel;
  /** Only while the catalog's strategy asks for it: it learns from then on. */
  linear: LinearModel | null = null;
  parts = new PartRegister(new Uint32Array(0));
  readonly #delta = new ModelDelta();
  readonly #demand = new Map<number, Float64Array>();
  readonly #demandAdded = new Map<number, Float64Array>();
  readonly #weeks = new Map<number, Float64Array>();
  readonly #zones = new Map<number, Float64Array>();
  #sends: number[] = [];
  #linearRows: number[] = [];
  readonly #dense = new Float64Array(LINEAR_DIMENSIONS);
  readonly #emptyZone = new Float64Array(TILT_SLOTS);
  readonly #store: Store;
  readonly #seedSecret: Uint32Array;
  readonly #prices: PriceTable;
  readonly #zoneName: (zone: number) => string;
  readonly #decision = new Effect();
  readonly #features = new FeatureVector();
  readonly #seeds = new Uint32Array(2);
  readonly #priceResult = createPriceResult();
  readonly #priceInput: PriceInput;
  readonly #points = new Map<number, { hour: number; point: PricePoint }>();
  readonly #zoneHashes: number[] = [];
  #catalog: Catalog;
  /** Additions are kept for the other shards only when there are some. */
  readonly #hasPeers: boolean;
  #hasUnnamed = false;
  /** Whether anything was learnt since the last snapshot. */
  hasNews = false;

  constructor(
    catalog: Catalog,
    store: Store,
    prices: PriceTable,
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
    this.#hasPeers = hasPeers;
    this.response = new ResponseModel();
    this.#priceInput = {
      state: new Float64Array(DEMAND_SLOTS),
      stateOffset: 0,
      listMinor: 0,
      floorMinor: 0,
      ceilingMinor: 0,
      costMinor: 0,
      stepMinor: 1,
      marginBasisPointsMin: 0,
      isCappedAtList: false,
      previousPriceMinor: -1,
      changeBasisPointsMax: -1,
      dispersionProbability: DISPERSION_PROBABILITY,
      seed0: 0,
      seed1: 0,
      subjectHash: 0,
    };
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
    this.#demand.clear();
    this.#weeks.clear();
    this.#zones.clear();
    for (const [hash, values] of state?.demand ?? []) this.#demand.set(hash, Float64Array.from(values));
    for (const [hash, values] of state?.weeks ?? []) this.#weeks.set(hash, Float64Array.from(values));
    for (const [hash, values] of state?.zones ?? []) this.#zones.set(hash, Float64Array.from(values));
    this.#delta.clear();
    this.#demandAdded.clear();
    this.#sends = [];
    this.#linearRows = [];
    this.linear = null;
    if (state !== undefined && state.linear.size > 0) {
      this.linear = new LinearModel();
      this.linear.load(state.linear);
    }
    this.setCatalog(this.#catalog, parts);
  }

  /** @param parts as `dealParts` gave them to all shards of the node; a shard alone deals them itself */
  setCatalog(catalog: Catalog, parts: PartKeys = dealParts(this.parts.keys, catalog)): void {
    const known = this.parts.keys;
    if (!known.every((key, i) => parts[i] === key)) throw new RangeError('model parts: numbers once given must stay');
    this.parts = new PartRegister(parts);
    this.#catalog = catalog;
    if (catalog.decision.strategy !== 'lints') this.linear = null;
    else this.linear ??= new LinearModel();
    this.#points.clear();
    for (const product of catalog.products) this.#demandOf(product.hash);
    for (const channel of catalog.channels) this.#weekOf(channel.hash);
  }

  #demandOf(skuHash: number): Float64Array {
    let state = this.#demand.get(skuHash);
    if (state === undefined) {
      state = new Float64Array(DEMAND_SLOTS);
      setDemandPrior(state, 0);
      this.#demand.set(skuHash, state);
    }
    return state;
  }

  #weekOf(channelHash: number): Float64Array {
    let week = this.#weeks.get(channelHash);
    if (week === undefined) {
      week = new Float64Array(WEEK_SLOTS);
      addSendPrior(week, 0);
      this.#weeks.set(channelHash, week);
    }
    return week;
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  pricePoint(product: Product, nowEpochMillis: number, wantsExplain: boolean): PricePoint {
    const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
    const known = this.#points.get(product.hash);
    if (known !== undefined && known.hour === hour && !wantsExplain) return known.point;
    const priceMinor = this.#prices.priceOf(product.index, hour, () => this.#drawPrice(product, hour));
    const point = {
      priceMinor,
      maskedPriceMinor: priceMinor,
      personalised: false,
      explain: wantsExplain ? this.#explainPrice(product, hour) : {},
    };
    this.#points.set(product.hash, { hour, point });
    return point;
  }

  #drawPrice(product: Product, hour: number): number {
    seedFrom(this.#seedSecret, product.hash, 0, hour, this.#seeds);
    const input = this.#priceInput;
    input.state = this.#demandOf(product.hash);
    input.listMinor = product.listMinor;
    input.floorMinor = product.floorMinor;
    input.ceilingMinor = product.ceilingMinor;
    input.costMinor = product.costMinor;
    input.stepMinor = product.stepMinor;
    input.seed0 = this.#seeds[0] as number;
    input.seed1 = this.#seeds[1] as number;
    input.subjectHash = product.hash;
    choosePrice(input, this.#priceResult);
    return this.#priceResult.priceMinor;
  }

  #explainPrice(product: Product, hour: number): PricePoint['explain'] {
    this.#drawPrice(product, hour);
    const drawn = this.#priceResult;
    const summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
    summariseDemand(this.#demandOf(product.hash), 0, summary);
    return {
      policy: 'one price a product and hour, for everyone',
      hourStartEpochMillis: hour * HOUR_MILLIS,
      elasticityMean: summary.elasticityMean,
      elasticitySd: summary.elasticitySd,
      elasticityDrawn: drawn.elasticity,
      modelPriceMinor: drawn.modelPriceMinor,
      expectedDemand: drawn.expectedDemand,
      dispersed: drawn.dispersed,
    };
  }

  fillSendTime(input: SendTimeInput, channel: Channel): void {
    input.week = this.#weekOf(channel.hash);
    input.weekOffset = 0;
    input.zoneTilt = this.#zones.get(this.#zoneHash(input.zone)) ?? this.#emptyZone;
    input.zoneTiltOffset = 0;
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
    if (flags & EVENT_FLAG.sendTime) {
      this.#addSend(event.getU32(EVENT.channelHash), event.getU16(EVENT.hourOfWeek), event.getU32(EVENT.zoneHash), 1);
      if (this.#hasPeers)
        this.#sends.push(event.getU32(EVENT.channelHash), event.getU16(EVENT.hourOfWeek), event.getU32(EVENT.zoneHash));
      this.hasNews = true;
    }
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
    const sink = this.#hasPeers ? this.#delta : null;
    if (sink?.needsFlush) {
      this.#onFull(event, flags);
      return;
    }
    if (flags & EVENT_FLAG.response) learnResponse(this.response, features, action, category, channel, 1, sink);
    else {
      const response = flags & EVENT_FLAG.trial ? 0 : 1;
      learnTrial(this.response, features, action, category, channel, response, 1, sink);
    }
    if (this.linear !== null) this.#learnLinear(this.linear, features, action, category, flags);
    this.hasNews = true;
  }

  #learnLinear(linear: LinearModel, features: FeatureVector, action: number, category: number, flags: number): void {
    const trials = flags & EVENT_FLAG.response ? 0 : 1;
    const responses = flags & EVENT_FLAG.trial ? 0 : 1;
    linear.fold(features, this.#dense);
    linear.learn(this.#dense, action, category, trials, responses);
    if (this.#hasPeers) this.#linearRows.push(action, category, trials, responses, ...this.#dense);
  }

  /** More than half of the room for additions is used. */
  get deltaIsLarge(): boolean {
    return this.#delta.count > this.#delta.capacity / 2;
  }

  /** Set by the shard: sends the additions away, so that there is room again. */
  flushNow: () => void = () => {};

  #onFull(event: Effect, flags: number): void {
    this.flushNow();
    // Should nobody have taken the additions, the other shards go without this one: never a wrong sum.
    if (this.#delta.needsFlush) this.#delta.clear();
    this.#learnResponse(event, flags);
  }

  #learnDemand(event: Effect, flags: number): void {
    const product = this.#catalog.productByHash.get(event.getU32(EVENT.skuHash));
    if (product === undefined) return;
    const state = this.#demandOf(product.hash);
    const before = Float64Array.from(state);
    const priceMinor = event.getF64(EVENT.priceMinor);
    if (flags & EVENT_FLAG.quote) learnQuote(state, 0, priceMinor, product.listMinor);
    if (flags & EVENT_FLAG.purchase)
      learnPurchase(state, 0, priceMinor, product.listMinor, event.getF64(EVENT.quantity));
    this.hasNews = true;
    if (!this.#hasPeers) return;
    const added = this.#demandAdded.get(product.hash) ?? new Float64Array(DEMAND_SLOTS);
    for (let i = 0; i < DEMAND_SLOTS; i++)
      added[i] = (added[i] as number) + (state[i] as number) - (before[i] as number);
    this.#demandAdded.set(product.hash, added);
  }

  /** A signal without a channel counts for every channel. */
  #addSend(channelHash: number, hourOfWeek: number, zoneHash: number, amount: number): void {
    if (hourOfWeek >= WEEK_SLOTS) return;
    const weeks = channelHash === 0 ? [...this.#weeks.values()] : [this.#weekOf(channelHash)];
    for (const week of weeks) week[hourOfWeek] = (week[hourOfWeek] as number) + amount;
    let zone = this.#zones.get(zoneHash);
    if (zone === undefined) {
      zone = new Float64Array(TILT_SLOTS);
      this.#zones.set(zoneHash, zone);
    }
    const hour = hourOfWeek % TILT_SLOTS;
    zone[hour] = (zone[hour] as number) + amount;
  }

  // ── exchange and snapshot ──────────────────────────────────────────────────────────────────────

  /** What was learnt here since the last call, or null when nothing was. */
  takeDelta(): ModelAdditions | null {
    if (this.#delta.count === 0 && this.#demandAdded.size === 0 && this.#sends.length === 0) return null; // linear rows come with the delta's entries
    const { count } = this.#delta;
    const demand = new Float64Array(this.#demandAdded.size * (DEMAND_SLOTS + 1));
    let at = 0;
    for (const [hash, added] of this.#demandAdded) {
      demand[at] = hash;
      demand.set(added, at + 1);
      at += DEMAND_SLOTS + 1;
    }
    const additions: ModelAdditions = {
      response: {
        count,
        indices: this.#delta.indices.slice(0, count),
        precision: this.#delta.precision.slice(0, count),
        natural: this.#delta.natural.slice(0, count),
      },
      demand,
      sends: Float64Array.from(this.#sends),
      linear: Float64Array.from(this.#linearRows),
    };
    this.#delta.clear();
    this.#demandAdded.clear();
    this.#sends = [];
    this.#linearRows = [];
    return additions;
  }

  /** Adds what another shard learnt. */
  addDelta(additions: ModelAdditions): void {
    applyDelta(this.response, additions.response);
    for (let at = 0; at < additions.demand.length; at += DEMAND_SLOTS + 1) {
      const state = this.#demandOf(additions.demand[at] as number);
      for (let i = 0; i < DEMAND_SLOTS; i++) state[i] = (state[i] as number) + (additions.demand[at + 1 + i] as number);
    }
    for (let at = 0; at < additions.sends.length; at += 3) {
      this.#addSend(
        additions.sends[at] as number,
        additions.sends[at + 1] as number,
        additions.sends[at + 2] as number,
        1,
      );
    }
    const width = 4 + LINEAR_DIMENSIONS;
    for (let at = 0; this.linear !== null && at < additions.linear.length; at += width) {
      const [action = 0, category = 0, trials = 0, responses = 0] = additions.linear.subarray(at, at + 4);
      this.linear.learn(additions.linear.subarray(at + 4, at + width), action, category, trials, responses);
    }
    this.epoch++;
    this.hasNews = true;
  }

  /** A copy of everything, its large part in shared memory so that it can be posted without another copy. */
  snapshot(): ModelState {
    const response = new SharedArrayBuffer(RESPONSE_MODEL_BYTES);
    new Float64Array(response).set(this.response.weights);
    return {
      response,
      parts: this.parts.keys,
      demand: this.#demand,
      weeks: this.#weeks,
      zones: this.#zones,
      linear: this.linear?.sums() ?? new Map(),
    };
  }
}

function copyOf(buffer: ArrayBuffer | SharedArrayBuffer): ArrayBuffer {
  const copy = new ArrayBuffer(buffer.byteLength);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  return copy;
}
