/**
 * One decision, stage by stage, as a pure function of the profile's state, the request, the catalog,
 * the models, the seeds and the instant:
 *
 *   consent ▸ holdout ▸ eligibility ▸ contact policy ▸ budget ▸ score ▸ arbitrate ▸ price ▸ send-time ▸ (lease)
 *
 * Each stage may drop candidates and, when an explanation is asked for, says of each which rule, value
 * and threshold did it and when it opens again. The lease itself is the caller's: it is what the effect
 * of the turn writes down. One Pipeline a shard: all arrays are scratch, sized for the catalog, and a
 * decision without `explain` allocates nothing here.
 */
import type { Contribution, Properties, Rejection, Scalar } from '../proto/messages.ts';
import { type Action, type Cap, type Catalog, type Channel, MOMENT, type Product, type QuietHours } from './catalog.ts';
import type { CatalogIndex } from './catalog-index.ts';
import { allPropensities, ChoiceInput, ChoiceResult, chooseActions } from './choice.ts';
import { CapTally, capOpensAt, isQuiet, type LocalNow, type MomentSource, quietEndsAt } from './contact-policy.ts';
import { allQuietEndsAt, type ContactWishes, NO_QUIET_HOURS, quietMinutesAt } from './contact-wishes.ts';
import { DEMAND_INPUTS_MAX, fillDemandInputs } from './demand-inputs.ts';
import { countBits, setBit } from './eligibility-index.ts';
import { FatigueTally } from './fatigue.ts';
import { buildFeatures, FeatureVector } from './features.ts';
import { GAP_WEIGHT_SCALE } from './inverse-gap.ts';
import type { Journey } from './journey.ts';
import type { LinearModel } from './linear-model.ts';
import { maturityPoint, reachOf } from './maturity.ts';
import { PART_KIND, type PartRegister } from './part-register.ts';
import { personalPrice } from './personal-price.ts';
import { feedCeiling, type PricePoint } from './price-point.ts';
import { drawUniform, PURPOSE } from './random.ts';
import { featureEffects } from './response-learning.ts';
import { positivesLearnt, predictAll, type ResponseModel, responseMoments, trialsLearnt } from './response-model.ts';
import type { RuleScope } from './rule.ts';
import {
  chooseSendTime,
  createSendTimeResult,
  SEND_HORIZON_MILLIS_MAX,
  type SendTimeInput,
  type SendTimeResult,
} from './send-time.ts';

export const WANT = { action: 1, price: 2, sendTime: 4 } as const;

/** The profile as the pipeline sees it, bound to one instant. */
export interface ProfileState extends RuleScope, LocalNow {
  readonly moments: MomentSource;
  /** False when the person has withdrawn consent to personalisation. */
  readonly hasConsent: boolean;
  /** True while the person's data are stored and not used. */
  readonly isRestricted: boolean;
  /** Index of the tag for which the person is suspected of abuse, or -1. */
  readonly suspicion: number;
  /** Whether the person refused contact on this channel. */
  refusesChannel(channelHash: number): boolean;
  /** How the person wishes to be spoken to; null for somebody who wishes nothing. */
  readonly wishes: ContactWishes | null;
  /** Whether the person said no to prices of their own. */
  readonly refusesPersonalPrice: boolean;
  /** No room for one more lease that holds something. */
  readonly isHoldingFull: boolean;
  /** Index of the person's time zone in the zone table. */
  readonly zone: number;
}

/** Budgets and stock, shared by all shards; a `true` here may still fail at the lease. */
export interface BudgetView {
  hasBudget(action: Action): boolean;
  budgetLeftMinor(action: Action): number;
  /** Units of the product that nobody has bought or holds. */
  stockLeft(product: Product): number;
}

/** The learnt state the pipeline reads. */
export interface DecisionModels {
  readonly response: ResponseModel;
  /** What the strategy `lints` decides by, learnt while a catalog asks for it; else null. */
  readonly linear: LinearModel | null;
  /** Numbers of its parts; every part of the catalog in force has one. */
  readonly parts: PartRegister;
  /** The price of this hour for everybody. `stockLeft` is read for a product that must be sold by a day, `inputs` for one that
   * has `demandInputs`: null for the usual case. `ceilingMinor` is what a feed allows; infinite where none says. */
  pricePoint(
    product: Product,
    nowEpochMillis: number,
    stockLeft: number,
    wantsExplain: boolean,
    inputs: Float64Array | null,
    ceilingMinor: number,
  ): PricePoint;
  /** Fills week curve of the channel, look-alike tilt of `input.zone` and everybody's gaps between purchases into the input. */
  fillSendTime(input: SendTimeInput, channel: Channel): void;
}

/** One decide request, resolved against the catalog. Reused. */
export class DecideQuery {
  slot = -1;
  channel = -1;
  product: Product | null = null;
  /** Wanted actions by index, or null for all. */
  subset: Uint8Array | null = null;
  count = 1;
  wantMask = WANT.action | WANT.price | WANT.sendTime;
  context: Properties | null = null;
  isExplain = false;
  isHeldOut = false;
  /** 64-bit hash of tenant and profile key. */
  keyHashHigh = 0;
  keyHashLow = 0;
  seed0 = 0;
  seed1 = 0;
  /** Where the person's 24 hour counts are. */
  tilt: Uint16Array = new Uint16Array(24);
  tiltOffset = 0;
  /** The person's purchases, see `purchase-due.ts`. */
  purchases = 0;
  lastPurchaseAtEpochMillis = 0;
  decayedLogGaps = 0;
}

/** What came out. Arrays are valid until the next decision. */
export class DecideDraft {
  candidates = 0;
  eligible = 0;
  allowed = 0;
  scored = 0;
  chosenCount = 0;
  /** Positions among the allowed, see `Pipeline.actionAt`. */
  chosenAction: Int32Array = new Int32Array(32);
  chosenChannel: Int32Array = new Int32Array(32);
  chosenCreative: Int32Array = new Int32Array(32);
  chosenScore: Float64Array = new Float64Array(32);
  chosenProbability: Float64Array = new Float64Array(32);
  chosenPropensity: Float64Array = new Float64Array(32);
  isExplored = false;
  /** Bit a set: catalog action a was allowed. */
  allowedBits: Uint32Array = new Uint32Array(1);
  readonly features: FeatureVector = new FeatureVector();
  price: PricePoint | null = null;
  /** Of a product with `demandInputs`. */
  hasInputs = false;
  readonly inputs: Float64Array = new Float64Array(DEMAND_INPUTS_MAX);
  sendTime: SendTimeResult = createSendTimeResult();
  hasSendTime = false;
  sendChannel = -1;
  rejected: Rejection[] = [];
  contributions: { action: string; contributions: Contribution[] }[] = [];
}

/** Called at the end of a stage when the request is traced; a no-op otherwise. */
export interface PhaseClock {
  mark(phase: number): void;
}
export const STAGE = { eligibility: 2, score: 3, price: 4, sendTime: 5 } as const;
const NO_CANDIDATES = new Uint16Array(0);
export const SILENT: PhaseClock = { mark(): void {} };

export class Pipeline {
  readonly index: CatalogIndex;
  readonly #catalog: Catalog;
  readonly #models: DecisionModels;
  readonly #budgets: BudgetView;
  readonly #tally = new CapTally();
  readonly #fatigue = new FatigueTally();
  readonly #allowedAction: Int32Array;
  readonly #allowedChannel: Int32Array;
  /** Bitmap of the candidates still in question. */
  readonly #alive: Uint32Array;
  /** 1 where the channel fits the request and contact policy lets it speak, worked out once a decision. */
  readonly #isOpen: Uint8Array;
  /** Numbers of the model's parts, by action and channel of the catalog. */
  readonly #actionPartOf: Int32Array;
  readonly #categoryPartOf: Int32Array;
  readonly #channelPartOf: Int32Array;
  readonly #categoryPartMax: number;
  /** The same by candidate. */
  readonly #actionPart: Int32Array;
  readonly #categoryPart: Int32Array;
  readonly #channelPart: Int32Array;
  readonly #logitMean: Float64Array;
  readonly #logitVariance: Float64Array;
  readonly #choiceInput: ChoiceInput;
  readonly #choice: ChoiceResult;
  readonly #sendInput: SendTimeInput;
  phases: PhaseClock = SILENT;

  constructor(index: CatalogIndex, models: DecisionModels, budgets: BudgetView, sendInput: SendTimeInput) {
    this.index = index;
    this.#catalog = index.catalog;
    this.#models = models;
    this.#budgets = budgets;
    const size = Math.max(1, index.catalog.actions.length);
    this.#allowedAction = new Int32Array(size);
    this.#allowedChannel = new Int32Array(size);
    this.#alive = new Uint32Array(index.eligibility.words);
    this.#isOpen = new Uint8Array(index.catalog.channels.length);
    const { parts } = models;
    const { actions, channels } = index.catalog;
    this.#actionPartOf = Int32Array.from(actions, ({ hash }) => parts.numberOf(PART_KIND.action, hash));
    this.#categoryPartOf = Int32Array.from(actions, ({ categoryHash }) =>
      categoryHash === 0 ? 0 : parts.numberOf(PART_KIND.category, categoryHash),
    );
    this.#channelPartOf = Int32Array.from(channels, ({ hash }) => parts.numberOf(PART_KIND.channel, hash));
    this.#categoryPartMax = this.#categoryPartOf.reduce((max, part) => Math.max(max, part), 0);
    this.#actionPart = new Int32Array(size);
    this.#categoryPart = new Int32Array(size);
    this.#channelPart = new Int32Array(size);
    this.#logitMean = new Float64Array(size);
    this.#logitVariance = new Float64Array(size);
    this.#choiceInput = new ChoiceInput(size);
    this.#choice = new ChoiceResult(size);
    this.#sendInput = sendInput;
  }

  decide(state: ProfileState, query: DecideQuery, draft: DecideDraft): void {
    const wantsAction = (query.wantMask & WANT.action) !== 0;
    this.#reset(draft);
    const isWithheld = !state.hasConsent || query.isHeldOut || state.suspicion >= 0 || state.isRestricted;
    if (wantsAction) {
      this.#select(state, query, draft, isWithheld);
      this.phases.mark(STAGE.eligibility);
      if (draft.allowed > 0) this.#arbitrate(state, query, draft);
      this.phases.mark(STAGE.score);
    }
    if ((query.wantMask & WANT.price) !== 0 && query.product !== null) {
      draft.price = isWithheld ? listPrice(query.product) : this.#price(state, query, query.product, draft);
      this.phases.mark(STAGE.price);
    }
    if ((query.wantMask & WANT.sendTime) !== 0 && !isWithheld) {
      this.#chooseTime(state, query, draft);
      this.phases.mark(STAGE.sendTime);
    }
  }

  /** What another product costs this hour; one that is drawn for it is drawn for the usual case. */
  #otherPrice(state: ProfileState): (skuHash: number) => number {
    return (skuHash) => {
      const other = this.#catalog.productByHash.get(skuHash);
      if (other === undefined) return Number.NaN;
      const ceilingMinor = feedCeiling(other, state);
      return this.#models.pricePoint(other, state.atEpochMillis, this.#stockLeft(other), false, null, ceilingMinor)
        .priceMinor;
    };
  }

  #price(state: ProfileState, query: DecideQuery, product: Product, draft: DecideDraft): PricePoint {
    const { atEpochMillis } = state;
    const { inputs } = draft;
    draft.hasInputs = product.demandInputs.length > 0;
    if (draft.hasInputs) {
      const { demandInputs } = product;
      fillDemandInputs(demandInputs, query.context, state, atEpochMillis, this.#otherPrice(state), inputs);
    }
    const ceilingMinor = feedCeiling(product, state);
    const stockLeft = this.#stockLeft(product);
    const { isExplain } = query;
    const everybody = this.#models.pricePoint(product, atEpochMillis, stockLeft, isExplain, inputs, ceilingMinor);
    return product.personalDiscounts.length === 0 ? everybody : personalPrice(product, state, everybody);
  }

  /**
   * The probability with which each allowed action of the decision just made is chosen: the whole policy at this
   * state, for judging it on decisions that others made. With several places it is that of being among them.
   * Cost: the quadrature once an action, so not for the hot path.
   *
   * @param draft of that decision, with nothing decided since
   */
  eachPropensity(draft: DecideDraft, visit: (action: Action, propensity: number) => void): void {
    const propensities = new Float64Array(draft.scored);
    if (draft.scored > 0) allPropensities(this.#choiceInput, this.#choice, propensities);
    for (let i = 0; i < draft.scored; i++) {
      const action = this.#catalog.actions[this.#allowedAction[i] as number] as Action; // i < scored = allowed
      visit(action, propensities[i] as number); // as above
    }
  }

  /** Looked up only where it matters: most products have no day to be sold by. */
  #stockLeft(product: Product): number {
    return product.sellByEpochMillis === null ? Infinity : this.#budgets.stockLeft(product);
  }

  #reset(draft: DecideDraft): void {
    const words = (this.#catalog.actions.length + 31) >>> 5;
    if (draft.allowedBits.length !== words) draft.allowedBits = new Uint32Array(words);
    else draft.allowedBits.fill(0);
    draft.candidates = 0;
    draft.eligible = 0;
    draft.allowed = 0;
    draft.scored = 0;
    draft.chosenCount = 0;
    draft.isExplored = false;
    draft.price = null;
    draft.hasInputs = false;
    draft.hasSendTime = false;
    draft.sendChannel = -1;
    draft.features.reset();
    if (draft.rejected.length > 0) draft.rejected = [];
    if (draft.contributions.length > 0) draft.contributions = [];
  }

  /** Consent to budget: fills the allowed set. */
  #select(state: ProfileState, query: DecideQuery, draft: DecideDraft, isWithheld: boolean): void {
    const isChannelElsewhere = query.channel >= 0 && !this.#fits(query.channel, query);
    if (!isWithheld) {
      this.#tally.count(this.index, state.moments, state);
      this.#fatigue.count(this.index, state.moments, state.atEpochMillis);
      this.#openChannels(state, query);
    }
    if (query.isExplain) this.#selectOneByOne(state, query, draft, isWithheld, isChannelElsewhere);
    else this.#selectTogether(state, query, draft, isWithheld, isChannelElsewhere);
  }

  /** The plain way: each candidate's rule in full, so that each rejection can be explained. */
  #selectOneByOne(
    state: ProfileState,
    query: DecideQuery,
    draft: DecideDraft,
    isWithheld: boolean,
    isChannelElsewhere: boolean,
  ): void {
    const list = isChannelElsewhere ? NO_CANDIDATES : this.index.candidates(query.slot);
    for (let i = 0; i < list.length; i++) {
      const a = list[i] as number;
      const action = this.#catalog.actions[a] as Action;
      if (query.subset !== null && query.subset[a] === 0) continue;
      if (query.channel >= 0 && !action.channels.includes(query.channel)) continue;
      draft.candidates++;
      if (isWithheld) draft.rejected.push(withheld(action, state, this.#catalog));
      else if (action.eligibility !== null && !action.eligibility.evaluate(state)) {
        draft.rejected.push(ineligible(action, state));
      } else {
        draft.eligible++;
        this.#allow(a, action, state, query, draft);
      }
    }
  }

  /** The same by bitmaps: what is not eligible costs next to nothing. */
  #selectTogether(
    state: ProfileState,
    query: DecideQuery,
    draft: DecideDraft,
    isWithheld: boolean,
    isChannelElsewhere: boolean,
  ): void {
    if (isChannelElsewhere) return;
    const alive = this.#alive;
    alive.set(this.index.candidateBits(query.slot));
    if (query.channel >= 0) keepOnly(alive, this.index.bitsByChannel[query.channel] as Uint32Array); // a channel of the catalog
    if (query.subset !== null) {
      for (let a = 0; a < this.#catalog.actions.length; a++) {
        if (query.subset[a] === 0) alive[a >>> 5] = (alive[a >>> 5] as number) & ~(1 << (a & 31));
      }
    }
    draft.candidates = countBits(alive);
    if (isWithheld) return;
    this.index.eligibility.narrow(state, alive);
    draft.eligible = countBits(alive);
    for (let w = 0; w < alive.length; w++) {
      for (let word = alive[w] as number; word !== 0; word &= word - 1) {
        const a = (w << 5) + 31 - Math.clz32(word & -word);
        this.#allow(a, this.#catalog.actions[a] as Action, state, query, draft);
      }
    }
  }

  /** Contact policy and budget of an eligible action. */
  #allow(a: number, action: Action, state: ProfileState, query: DecideQuery, draft: DecideDraft): void {
    const channel = this.#allowedChannelOf(action, state, query, draft);
    if (channel < 0) return;
    if (!this.#budgets.hasBudget(action)) {
      if (query.isExplain) {
        const left = this.#budgets.budgetLeftMinor(action);
        draft.rejected.push(reject(action, 'budget', 'budgetMinor', left, action.costMinor, null));
      }
      return;
    }
    this.#allowedAction[draft.allowed] = a;
    this.#allowedChannel[draft.allowed] = channel;
    draft.allowed++;
    setBit(draft.allowedBits, a);
  }

  #openChannels(state: ProfileState, query: DecideQuery): void {
    const { channels } = this.#catalog;
    for (let c = 0; c < channels.length; c++) {
      const channel = channels[c] as Channel;
      const isClosed =
        !this.#fits(c, query) ||
        state.refusesChannel(channel.hash) ||
        (respectsQuiet(channel, query) && isQuiet(channel.quietHours, state.minuteOfDay)) ||
        (state.wishes !== null && isUnwished(state.wishes, c, state, query)) ||
        this.#tally.fullChannelCap(c) >= 0;
      this.#isOpen[c] = isClosed ? 0 : 1;
    }
  }

  /** Contact policy: the action's first channel that fits the request and is open, or -1. */
  #allowedChannelOf(action: Action, state: ProfileState, query: DecideQuery, draft: DecideDraft): number {
    const { isExplain } = query;
    if (this.#tally.fullActionCap(action.index) >= 0) {
      if (isExplain) {
        const { rejection, opensAt } = this.#capped(
          action,
          this.index.capStart,
          action.index,
          state,
          action.hash,
          false,
        );
        this.#rejectContact(rejection, action, state, query, draft, opensAt);
      }
      return -1;
    }
    if (state.isHoldingFull && (action.budgetMinor !== null || this.index.keeps(MOMENT.decision, action.hash))) {
      if (isExplain) draft.rejected.push(reject(action, 'contactPolicy', 'openLeases', null, null, null));
      return -1;
    }
    const { channels } = action;
    const ranks = state.wishes?.hasRanks === true ? state.wishes.ranks : null;
    let best = -1;
    for (let c = 0; c < channels.length; c++) {
      const channelIndex = channels[c] as number;
      if (this.#isOpen[channelIndex] !== 1) continue;
      if (best >= 0 && (ranks === null || (ranks[channelIndex] as number) >= (ranks[best] as number))) continue; // one a channel
      if (this.#catalog.channels[channelIndex]?.maturity === null || this.#reaches(action, channelIndex, query)) {
        best = channelIndex;
        if (ranks === null) break;
      }
    }
    if (best >= 0) return best;
    if (isExplain && !this.#rejectUnreached(action, query, draft)) this.#rejectClosed(action, state, query, draft);
    return -1;
  }

  /** Whether the person is among those whom an action of so few responses may reach on the channel. */
  #reaches(action: Action, channelIndex: number, query: DecideQuery): boolean {
    const point = maturityPoint(query.keyHashHigh, query.keyHashLow, action.hash);
    return point < this.#reach(action, channelIndex);
  }

  #reach(action: Action, channelIndex: number): number {
    const maturity = this.#catalog.channels[channelIndex]?.maturity ?? null;
    if (maturity === null) return 1;
    return reachOf(maturity, positivesLearnt(this.#models.response, this.#actionPartOf[action.index] as number));
  }

  /** Says that an open channel does not reach this person yet; false when none is open. */
  #rejectUnreached(action: Action, query: DecideQuery, draft: DecideDraft): boolean {
    for (const channelIndex of action.channels) {
      if (this.#isOpen[channelIndex] !== 1) continue;
      const point = maturityPoint(query.keyHashHigh, query.keyHashLow, action.hash);
      const rule = `maturity on ${this.#catalog.channels[channelIndex]?.key}`;
      draft.rejected.push(reject(action, 'maturity', rule, point, this.#reach(action, channelIndex), null));
      return true;
    }
    return false;
  }

  /** Says why the first of the action's channels that fits the request is closed. */
  #rejectClosed(action: Action, state: ProfileState, query: DecideQuery, draft: DecideDraft): void {
    for (const channelIndex of action.channels) {
      if (!this.#fits(channelIndex, query)) continue;
      const channel = this.#catalog.channels[channelIndex] as Channel;
      let reason: Rejection;
      if (state.refusesChannel(channel.hash)) {
        reason = reject(action, 'consent', `contact on ${channel.key}`, 'refused', 'granted', null);
      } else if (respectsQuiet(channel, query) && isQuiet(channel.quietHours, state.minuteOfDay)) {
        reason = quiet(action, channel, state);
      } else if (state.wishes !== null && isUnwished(state.wishes, channelIndex, state, query)) {
        reason = unwished(action, channel, state.wishes, state, query);
      } else {
        const starts = this.index.channelCapStart;
        reason = this.#capped(action, starts, channelIndex, state, channel.hash, true).rejection;
      }
      this.#rejectContact(reason, action, state, query, draft, state.atEpochMillis);
      return;
    }
  }

  #fits(channelIndex: number, query: DecideQuery): boolean {
    if (query.channel >= 0 && channelIndex !== query.channel) return false;
    const slot = query.slot < 0 ? undefined : this.#catalog.slots[query.slot];
    return slot === undefined || slot.channels.includes(channelIndex);
  }

  /** The rejection names what closes the action now; the instant is when contact policy as a whole opens, from `from` on. */
  #rejectContact(
    reason: Rejection,
    action: Action,
    state: ProfileState,
    query: DecideQuery,
    draft: DecideDraft,
    from: number,
  ): void {
    let earliest: number | null = null;
    for (const channelIndex of action.channels) {
      const channel = this.#catalog.channels[channelIndex] as Channel;
      if (!this.#fits(channelIndex, query) || state.refusesChannel(channel.hash)) continue;
      let opensAt = from;
      if (this.#tally.fullChannelCap(channelIndex) >= 0) {
        const capped = this.#capped(action, this.index.channelCapStart, channelIndex, state, channel.hash, true);
        opensAt = Math.max(opensAt, capped.opensAt);
      }
      if (state.wishes !== null) opensAt = wishesOpenAt(state.wishes, channel, state, query, opensAt);
      else if (respectsQuiet(channel, query)) opensAt = quietEndsAt(channel.quietHours, state, opensAt);
      if (opensAt === Number.POSITIVE_INFINITY) continue;
      if (earliest === null || opensAt < earliest) earliest = opensAt;
    }
    draft.rejected.push({ ...reason, eligibleAgainAtEpochMillis: earliest });
  }

  /** Of the used-up caps of an action or channel, the one that opens last: then all are open. */
  #capped(
    action: Action,
    starts: Int32Array,
    item: number,
    state: ProfileState,
    hash: number,
    isChannel: boolean,
  ): { rejection: Rejection; opensAt: number } {
    const { moments } = state;
    const matches = (i: number): boolean =>
      isChannel ? moments.momentAmount(i) === hash : moments.momentSubject(i) === hash;
    let last = -1;
    let opensAt = Number.NEGATIVE_INFINITY;
    for (let c = starts[item] as number; c < (starts[item + 1] as number); c++) {
      const cap = this.index.caps[c] as Cap;
      if (this.#tally.countOf(c) < cap.count) continue;
      const at = capOpensAt(cap, moments, matches, state, this.#tally.countOf(c));
      if (at > opensAt) {
        opensAt = at;
        last = c;
      }
    }
    const cap = this.index.caps[last] as Cap; // only asked where one is used up
    const rule = isChannel ? `channel cap ${cap.text}` : `cap ${cap.text}`;
    return { rejection: reject(action, 'contactPolicy', rule, this.#tally.countOf(last), cap.count, opensAt), opensAt };
  }

  #arbitrate(state: ProfileState, query: DecideQuery, draft: DecideDraft): void {
    const names: string[] | null = query.isExplain ? [] : null;
    const slotHash = query.slot < 0 ? 0 : (this.#catalog.slots[query.slot]?.hash ?? 0);
    buildFeatures(this.#catalog, state, slotHash, query.product?.hash ?? 0, query.context, draft.features, names);
    const n = draft.allowed;
    const input = this.#choiceInput;
    const hasJourneys = this.#catalog.journeys.length > 0;
    for (let i = 0; i < n; i++) {
      const a = this.#allowedAction[i] as number;
      const c = this.#allowedChannel[i] as number;
      const action = this.#catalog.actions[a] as Action;
      const channel = this.#catalog.channels[c] as Channel;
      this.#actionPart[i] = this.#actionPartOf[a] as number;
      this.#categoryPart[i] = this.#categoryPartOf[a] as number;
      this.#channelPart[i] = this.#channelPartOf[c] as number;
      let weight = action.lever;
      for (let w = 0; w < action.contextWeights.length; w++) {
        const contextWeight = action.contextWeights[w];
        if (contextWeight?.when.evaluate(state)) weight *= contextWeight.weight;
      }
      if (hasJourneys) weight *= this.#stageWeight(a, c, state);
      input.worth[i] = action.valueMinor * weight;
      input.cost[i] = action.costMinor + channel.costMinor + this.#fatigue.chargeOf(a, c);
      input.actionHash[i] = action.hash;
    }
    const { response, linear } = this.#models;
    const { strategy } = this.#catalog.decision;
    if (strategy === 'lints' && linear !== null) {
      const { probabilityMean, probabilityDeviation } = input;
      linear.predict(draft.features, n, this.#actionPart, this.#categoryPart, probabilityMean, probabilityDeviation);
    } else this.#predict(response, draft.features, n);
    input.gapWeight = strategy === 'squarecb' ? GAP_WEIGHT_SCALE * Math.sqrt(1 + trialsLearnt(response)) : 0;
    input.count = n;
    input.wanted = Math.min(query.count, n);
    input.explorationProbability = this.#catalog.decision.explorationProbability;
    input.seed0 = query.seed0;
    input.seed1 = query.seed1;
    chooseActions(input, this.#choice);
    draft.scored = n;
    draft.isExplored = this.#choice.explored;
    let kept = 0;
    for (let place = 0; place < this.#choice.count; place++) {
      const i = this.#choice.chosen[place] as number;
      const channel = this.#allowedChannel[i] as number;
      // An action before it in this very decision may have used the channel up: then it is left out.
      if (this.#tally.fullChannelCap(channel) >= 0) {
        if (query.isExplain) this.#rejectFilled(this.#allowedAction[i] as number, channel, state, draft);
        continue;
      }
      this.#tally.addDecision(channel);
      const k = kept++;
      const a = this.#allowedAction[i] as number;
      const action = this.#catalog.actions[a] as Action;
      draft.chosenAction[k] = a;
      draft.chosenChannel[k] = channel;
      draft.chosenScore[k] = this.#choice.drawnScore[i] as number;
      draft.chosenProbability[k] = Math.min(Math.max(input.probabilityMean[i] as number, 0), 1); // a linear one may leave [0, 1]
      draft.chosenPropensity[k] = this.#choice.propensity[place] as number;
      const creatives = action.creatives.length;
      draft.chosenCreative[k] =
        creatives <= 1
          ? creatives - 1
          : Math.floor(drawUniform(query.seed0, query.seed1, action.hash, PURPOSE.creative) * creatives);
    }
    draft.chosenCount = kept;
    if (names !== null) this.#explainChosen(draft, names);
  }

  /** By what the stages the person is in weigh an action on a channel. */
  #stageWeight(action: number, channel: number, state: ProfileState): number {
    const { journeys } = this.#catalog;
    let weight = 1;
    for (let j = 0; j < journeys.length; j++) {
      const stage = (journeys[j] as Journey).stages[state.stageOf(j)]; // j < length
      if (stage === undefined) continue;
      if (stage.actionWeights !== null) weight *= stage.actionWeights[action] as number; // one an action
      if (stage.channelWeights !== null) weight *= stage.channelWeights[channel] as number; // one a channel
    }
    return weight;
  }

  /** Response probabilities of the candidates, by the logistic model. */
  #predict(response: ResponseModel, features: FeatureVector, n: number): void {
    predictAll(
      response,
      features,
      n,
      this.#actionPart,
      this.#categoryPart,
      this.#channelPart,
      this.#categoryPartMax,
      this.#logitMean,
      this.#logitVariance,
    );
    const { probabilityMean, probabilityDeviation } = this.#choiceInput;
    responseMoments(n, this.#logitMean, this.#logitVariance, probabilityMean, probabilityDeviation);
  }

  #rejectFilled(actionIndex: number, channelIndex: number, state: ProfileState, draft: DecideDraft): void {
    const action = this.#catalog.actions[actionIndex] as Action;
    const channel = this.#catalog.channels[channelIndex] as Channel;
    const starts = this.index.channelCapStart;
    draft.rejected.push(this.#capped(action, starts, channelIndex, state, channel.hash, true).rejection);
  }

  #explainChosen(draft: DecideDraft, names: readonly string[]): void {
    const { features } = draft;
    const effects = new Float64Array(features.count);
    for (let k = 0; k < draft.chosenCount; k++) {
      const a = draft.chosenAction[k] as number;
      const action = this.#catalog.actions[a] as Action;
      const actionPart = this.#actionPartOf[a] as number;
      const categoryPart = this.#categoryPartOf[a] as number;
      const channelPart = this.#channelPartOf[draft.chosenChannel[k] as number] as number;
      const { response, linear } = this.#models;
      if (this.#catalog.decision.strategy === 'lints' && linear !== null)
        linear.featureEffects(features, actionPart, categoryPart, effects);
      else featureEffects(response, features, actionPart, categoryPart, channelPart, effects);
      const contributions: Contribution[] = [];
      for (let f = 0; f < features.count; f++) {
        const value = features.values[f] as number;
        const effect = effects[f] as number;
        contributions.push({
          feature: names[f] ?? `feature ${f}`,
          value,
          weight: value === 0 ? 0 : effect / value,
          effect,
        });
      }
      contributions.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect) || a.feature.localeCompare(b.feature));
      draft.contributions.push({ action: action.key, contributions });
    }
  }

  #chooseTime(state: ProfileState, query: DecideQuery, draft: DecideDraft): void {
    let channelIndex = draft.chosenCount > 0 ? (draft.chosenChannel[0] as number) : query.channel;
    if (channelIndex < 0 && query.slot >= 0)
      channelIndex = preferredOf(this.#catalog.slots[query.slot]?.channels ?? [], state.wishes);
    if (channelIndex < 0 && (query.wantMask & WANT.action) === 0)
      channelIndex = state.wishes === null ? 0 : preferredOf([...this.#catalog.channels.keys()], state.wishes);
    const channel = this.#catalog.channels[channelIndex];
    if (channel === undefined || state.refusesChannel(channel.hash)) return;
    const input = this.#sendInput;
    // Before the models fill in the look-alikes' hours, which are those of this zone.
    input.zone = state.zone;
    this.#models.fillSendTime(input, channel);
    input.nowEpochMillis = state.atEpochMillis;
    input.earliestEpochMillis = state.wishes?.mutedUntil[channelIndex] ?? 0;
    input.quietHours = channel.quietHours;
    input.ownQuietHours = state.wishes?.quietHours[channelIndex] ?? NO_QUIET_HOURS;
    input.tilt = query.tilt;
    input.tiltOffset = query.tiltOffset;
    input.horizonMillis = channel.sendWithinMillis;
    input.waitingLossPerDay = channel.waitingLossPerDay;
    input.purchases = query.purchases;
    input.lastPurchaseAtEpochMillis = query.lastPurchaseAtEpochMillis;
    input.decayedLogGaps = query.decayedLogGaps;
    input.seed0 = query.seed0;
    input.seed1 = query.seed1;
    input.subjectHash = channel.hash;
    chooseSendTime(input, draft.sendTime);
    draft.hasSendTime = draft.sendTime.isFound;
    draft.sendChannel = channelIndex;
  }
}

function keepOnly(bits: Uint32Array, others: Uint32Array): void {
  for (let w = 0; w < bits.length; w++) bits[w] = (bits[w] as number) & (others[w] as number); // bitmaps of one length
}

function listPrice(product: Product): PricePoint {
  const priceMinor = Math.min(Math.max(product.listMinor, product.floorMinor), product.ceilingMinor);
  return {
    priceMinor,
    maskedPriceMinor: priceMinor,
    personalised: false,
    propensity: 1,
    promotion: null,
    explain: { policy: 'list price (withheld)' },
  };
}

function reject(
  action: Action,
  stage: string,
  rule: string,
  value: Scalar,
  threshold: Scalar,
  eligibleAgainAtEpochMillis: number | null,
): Rejection {
  return { action: action.key, stage, rule, value, threshold, eligibleAgainAtEpochMillis };
}

function withheld(action: Action, { hasConsent, suspicion, isRestricted }: ProfileState, catalog: Catalog): Rejection {
  if (isRestricted) return reject(action, 'consent', 'restriction of processing', true, false, null);
  const tag = catalog.tags[suspicion];
  if (tag !== undefined) return reject(action, 'suspicion', `tag("${tag.key}")`, true, false, null);
  if (!hasConsent) return reject(action, 'consent', 'profile.consent', false, true, null);
  return reject(action, 'holdout', 'holdoutProbability', true, catalog.decision.holdoutProbability, null);
}

/** Names the first clause that does not hold; a rule whose clauses all hold alone cannot be evaluated as a whole. */
function ineligible(action: Action, state: ProfileState): Rejection {
  const rule = action.eligibility;
  for (const clause of rule?.clauses ?? []) {
    if (clause.evaluate(state)) continue;
    const finding = clause.explain(state);
    return reject(
      action,
      'eligibility',
      clause.source,
      finding.value,
      finding.threshold,
      finding.eligibleAgainAtEpochMillis,
    );
  }
  return reject(action, 'eligibility', rule?.source ?? '', false, true, null);
}

/** Asked for a send-time as well, quiet hours move the message instead of forbidding it. */
function respectsQuiet(channel: Channel, query: DecideQuery): channel is Channel & { readonly quietHours: QuietHours } {
  return channel.quietHours !== null && !movesMessages(query);
}

function movesMessages(query: DecideQuery): boolean {
  return (query.wantMask & WANT.sendTime) !== 0;
}

/** Whether the person does not wish to be spoken to on the channel; where a send-time is asked for, within its horizon. */
function isUnwished(wishes: ContactWishes, channel: number, state: ProfileState, query: DecideQuery): boolean {
  const until = wishes.mutedUntil[channel] as number; // one a channel
  if (until > state.atEpochMillis + (movesMessages(query) ? SEND_HORIZON_MILLIS_MAX : 0)) return true;
  const own = wishes.quietHours[channel] as readonly QuietHours[]; // likewise
  return !movesMessages(query) && own.length > 0 && quietMinutesAt(null, own, state.minuteOfDay) > 0;
}

function unwished(
  action: Action,
  channel: Channel,
  wishes: ContactWishes,
  state: ProfileState,
  query: DecideQuery,
): Rejection {
  const until = wishes.mutedUntil[channel.index] as number; // one a channel
  const opensAt = wishesOpenAt(wishes, channel, state, query, state.atEpochMillis);
  const opens = opensAt === Number.POSITIVE_INFINITY ? null : opensAt;
  if (until > state.atEpochMillis)
    return reject(action, 'contactPolicy', `muted by the person on ${channel.key}`, state.atEpochMillis, until, opens);
  const own = wishes.quietHours[channel.index] as readonly QuietHours[]; // likewise
  const texts = own.map(({ startMinute, endMinute }) => `${clock(startMinute)}-${clock(endMinute)}`);
  const rule = `the person's quiet hours on ${channel.key} ${texts.join(', ')}`;
  return reject(action, 'contactPolicy', rule, clock(state.minuteOfDay), false, opens);
}

/** When neither the person's wishes nor the channel's quiet hours stand against it, from `from` on; infinity for never. */
function wishesOpenAt(
  wishes: ContactWishes,
  channel: Channel,
  state: ProfileState,
  query: DecideQuery,
  from: number,
): number {
  const at = Math.max(from, wishes.mutedUntil[channel.index] as number); // one a channel
  if (movesMessages(query)) return at;
  const own = wishes.quietHours[channel.index] as readonly QuietHours[]; // likewise
  return allQuietEndsAt(channel.quietHours === null ? own : [channel.quietHours, ...own], state, at);
}

/** The channel the person likes best, the first of equals; -1 of none. */
function preferredOf(channels: readonly number[], wishes: ContactWishes | null): number {
  let best = channels[0] ?? -1;
  if (wishes === null || !wishes.hasRanks) return best;
  for (const channel of channels) {
    if ((wishes.ranks[channel] as number) < (wishes.ranks[best] as number)) best = channel; // one a channel
  }
  return best;
}

function quiet(action: Action, channel: Channel & { readonly quietHours: QuietHours }, state: ProfileState): Rejection {
  const hours = channel.quietHours;
  const rule = `quiet hours of ${channel.key} ${clock(hours.startMinute)}-${clock(hours.endMinute)}`;
  return reject(
    action,
    'contactPolicy',
    rule,
    clock(state.minuteOfDay),
    clock(hours.endMinute),
    quietEndsAt(hours, state, state.atEpochMillis),
  );
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}
