/**
 * The turn that decides. Resolves the request against the catalog, runs the pipeline on the profile's
 * state at one instant, takes what the decision holds (cap slot, budget, stock) as a lease, and fills
 * the reply. Deciding and counting are one turn, so nothing can slip in between.
 *
 * A dry run does all of it but the lease and the journal entry: it takes nothing and leaves no trace.
 * `recompute` does it again for a logged decision: the entry says what was asked and what the shared ledger
 * answered, the rest follows from the person's record, the catalog and the models as they were.
 */

import type { Action, Channel, Product } from '../decision/catalog.ts';
import { MOMENT } from '../decision/catalog.ts';
import { PURPOSE } from '../decision/consent.ts';
import { setBit } from '../decision/eligibility-index.ts';
import { HOLDOUT_SALT, isHeldOut } from '../decision/holdout.ts';
import { DecideDraft, DecideQuery, type PhaseClock, Pipeline, SILENT } from '../decision/pipeline.ts';
import { QUOTE_BYTES_MAX, quoteBytes, standingQuotePrice } from '../decision/quote.ts';
import { seedFrom } from '../decision/random.ts';
import { createSendTimeInput, type SendTimeInput } from '../decision/send-time.ts';
import type { DecidedAction, DecidedPrice, DecidedSendTime, DecideReply, Explanation } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { BoundWishes } from './contact-wishes.ts';
import { formatDecisionId } from './decision-id.ts';
import {
  CHOSEN,
  CHOSEN_BYTES,
  DECISION,
  DECISION_FLAG,
  EFFECT,
  INPUT_BYTES,
  LEDGER,
  MASKED_BYTES,
  REFUSED_SHIFT,
  REQUEST_COUNT_SHIFT,
  REQUEST_FLAG,
} from './effect.ts';
import { assignmentOf } from './identity.ts';
import { MapBytes } from './map-bytes.ts';
import { stockSubject } from './ports.ts';
import { FIELD, HOLDING_LEASES_MAX, LEASE_FLAG } from './record-layout.ts';
import { dropSensitive } from './sealed-trait.ts';
import { isRestricted } from './standing.ts';
import { settleGivingWay } from './trial-ripening.ts';

const RESERVE_TRIES = 8;
/** Of somebody whose hours are not to be looked at. */
const NO_TILT = new Uint16Array(24);
const DISCLOSURE = 'Same price for everyone at this hour.';
const DISCLOSURE_HELD = 'Your earlier quote still holds.';
const DISCLOSURE_LIST = 'List price.';
const DISCLOSURE_PERSONAL =
  'Your own price: a discount on the price for everyone at this hour, set by an algorithm using your personal data.';
const DISCLOSURE_PERSONAL_HELD = 'Your earlier personal quote still holds.';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The reply, reused; the codec reads it before the next turn. */
export class DecideOutcome implements DecideReply {
  id = 0;
  readonly ok = true;
  serverMicros = 0;
  decisionId: string | null = null;
  stateSeq = 0;
  catalogVersion = '';
  modelVersion = 0;
  actions: Mutable<DecidedAction>[] = [];
  price: Mutable<DecidedPrice> | undefined = undefined;
  sendTime: Mutable<DecidedSendTime> | undefined = undefined;
  fallback = false;
  explain: Explanation | undefined = undefined;
  /** Candidates looked at, for traces. */
  candidates = 0;
}

export class DecideTurn {
  readonly outcome = new DecideOutcome();
  readonly #runtime: ActorRuntime;
  readonly #query = new DecideQuery();
  readonly #draft = new DecideDraft();
  readonly #wishes = new BoundWishes();
  readonly #seeds = new Uint32Array(2);
  /** Whose draws that last are the person's: high and low word. */
  readonly #assignment = new Uint32Array(2);
  readonly #quoteBytes = new Uint8Array(QUOTE_BYTES_MAX);
  readonly #context = new MapBytes();
  readonly #actionPool: Mutable<DecidedAction>[] = [];
  readonly #price: Mutable<DecidedPrice>;
  readonly #sendTime: Mutable<DecidedSendTime>;
  #pipeline: Pipeline;
  #subset = new Uint8Array(0);
  /** Bitmap of the actions that had no budget left, of the last time the pipeline ran. */
  #lacking = new Uint32Array(0);
  #lacksBudget = false;
  #isOutbid = false;

  constructor(runtime: ActorRuntime) {
    this.#runtime = runtime;
    this.#sendInput = createSendTimeInput(runtime.options.zones);
    this.#pipeline = this.#createPipeline();
    this.#price = {
      sku: '',
      currency: '',
      listMinor: 0,
      priceMinor: 0,
      maskedPriceMinor: 0,
      personalised: false,
      propensity: null,
      promotion: null,
      disclosure: '',
      quoteId: null,
      expiresAtEpochMillis: 0,
      signature: null,
    };
    this.#sendTime = {
      channel: '',
      atEpochMillis: 0,
      local: '',
      timeZone: '',
      windowMinutes: 0,
      probability: 0,
      nowProbability: 0,
    };
  }

  readonly #sendInput: SendTimeInput;

  /** After the runtime took a new catalog. */
  useCatalog(): void {
    this.#pipeline = this.#createPipeline();
  }

  #createPipeline(): Pipeline {
    const { ledger, models } = this.#runtime.options;
    this.#lacking = new Uint32Array((this.#runtime.index.catalog.actions.length + 31) >>> 5);
    return new Pipeline(
      this.#runtime.index,
      models,
      {
        hasBudget: (action) => {
          if (action.budgetMinor === null || ledger.freeAmount(action.hash) >= action.costMinor) return true;
          setBit(this.#lacking, action.index);
          this.#lacksBudget = true;
          return false;
        },
        budgetLeftMinor: (action) => ledger.freeAmount(action.hash),
        stockLeft: (product) => ledger.freeAmount(stockSubject(product.hash)),
      },
      this.#sendInput,
    );
  }

  /**
   * Decides for the request's profile.
   * @returns null with `outcome` filled, or the fault, with the runtime's `message` saying what is wrong
   */
  run(request: Request, now: number, phases: PhaseClock): Fault | null {
    const runtime = this.#runtime;
    const { record } = runtime;
    const fault = this.#resolve(request) ?? runtime.open(request, now);
    if (fault !== null) return fault;
    const { sensitiveNames } = runtime.index;
    // Before the decision sees it, so that the one computed again from the journal has seen the same.
    if (sensitiveNames.length > 0) dropSensitive(request, sensitiveNames);
    runtime.expireDue(now);
    if (!request.isDryRun) settleGivingWay(runtime, Math.max(request.count, 1), now);
    if (request.minStateSeq > record.stateSeq) {
      return runtime.fail(
        FAULT.staleState,
        `decide.minStateSeq: asked for at least ${request.minStateSeq}, this profile is at ${record.stateSeq}`,
      );
    }
    const decisionSeq = this.#consider(request, now, phases);
    const priceMinor = this.#standingPrice(now);
    const quoteExpiresAt = this.#quoteExpiry(priceMinor, now);
    const leaseExpiresAt = now + runtime.index.catalog.decision.leaseMillis;
    let holdsStock = false;
    if (!request.isDryRun) {
      holdsStock = this.#holdStock();
      this.#fillEffect(request, decisionSeq, priceMinor, quoteExpiresAt, leaseExpiresAt, holdsStock);
      if (!runtime.commit(now)) {
        this.#giveBack(holdsStock);
        return runtime.fail(FAULT.internal, 'decide: the turn failed and was undone; see the log');
      }
      this.#count(leaseExpiresAt, holdsStock);
    }
    this.#fillReply(request, priceMinor, quoteExpiresAt, leaseExpiresAt, decisionSeq, holdsStock, now);
    return null;
  }

  /**
   * The effect of a logged decision once more, in the runtime's `effect`, without committing anything: for a
   * runtime whose bound record, catalog, models and ledger answer as they did then.
   * @param request what was asked, as the entry says; its profile is not looked at
   * @returns null, or the fault when the catalog in force does not know what was asked for
   */
  recompute(request: Request, now: number): Fault | null {
    const fault = this.#resolve(request);
    if (fault !== null) return fault;
    const decisionSeq = this.#consider(request, now, SILENT);
    const priceMinor = this.#standingPrice(now);
    const leaseExpiresAt = now + this.#runtime.index.catalog.decision.leaseMillis;
    const quoteExpiresAt = this.#quoteExpiry(priceMinor, now);
    this.#fillEffect(request, decisionSeq, priceMinor, quoteExpiresAt, leaseExpiresAt, this.#holdStock());
    return null;
  }

  /**
   * What the models would do where a logged decision was made: the probability of each action allowed. Nothing is
   * held or committed. For a runtime as `recompute` wants it, but with whichever models are to be judged.
   * @param request as for `recompute`; a dry run, so that no budget is taken
   */
  weigh(request: Request, now: number, visit: (action: Action, propensity: number) => void): Fault | null {
    const fault = this.#resolve(request);
    if (fault !== null) return fault;
    this.#consider(request, now, SILENT);
    this.#pipeline.eachPropensity(this.#draft, visit);
    return null;
  }

  /** Runs the pipeline on the bound record until the ledger gives what it chose; returns the decision's number. */
  #consider(request: Request, now: number, phases: PhaseClock): number {
    const runtime = this.#runtime;
    const { record, scope, options } = runtime;
    const query = this.#query;
    const { catalog } = runtime.index;
    scope.bind(record, runtime.index, request.context, now, runtime.defaultZone);
    const consent = catalog.traitByName.get('consent');
    scope.hasConsent = !(consent?.type === 'boolean' && record.trait(consent.index) === 0);
    scope.isRestricted = isRestricted(record);
    const personalPrice = catalog.traitByName.get('personalPrice');
    scope.refusesPersonalPrice = personalPrice?.type === 'boolean' && record.trait(personalPrice.index) === 0;
    if (catalog.suspicions.length > 0) scope.suspicion = scope.findSuspicion();
    scope.wishes = this.#wishes.bind(record, catalog, now);
    const isLimited = runtime.consent.bind(record, catalog.consent, now);
    if (isLimited) scope.limit(runtime.consent, catalog.consent);
    const isImpersonal = isLimited && !runtime.consent.allows(PURPOSE.personalisation);
    if (isImpersonal || (isLimited && !runtime.consent.allows(PURPOSE.personalisedPrice)))
      scope.refusesPersonalPrice = true;
    scope.isHoldingFull = record.leaseCount >= HOLDING_LEASES_MAX && runtime.holdingLeases() >= HOLDING_LEASES_MAX;
    assignmentOf(record, this.#assignment);
    query.keyHashHigh = this.#assignment[0] as number; // two words
    query.keyHashLow = this.#assignment[1] as number; // likewise
    query.isHeldOut = isHeldOut(query.keyHashHigh, query.keyHashLow, HOLDOUT_SALT, catalog.decision.holdoutProbability);
    const decisionSeq = record.decisionSeq + 1;
    seedFrom(options.seedSecret, record.hashHigh, record.hashLow, decisionSeq, this.#seeds);
    query.seed0 = this.#seeds[0] as number;
    query.seed1 = this.#seeds[1] as number;
    query.context = request.context;
    query.tilt = isImpersonal ? NO_TILT : record.u16;
    query.tiltOffset = isImpersonal ? 0 : (record.base + FIELD.tilt) >>> 1;
    query.purchases = isImpersonal ? 0 : record.getU16(FIELD.purchases);
    query.lastPurchaseAtEpochMillis = record.getF64(FIELD.lastPurchaseAt);
    query.decayedLogGaps = record.getF64(FIELD.decayedLogGaps);

    this.#pipeline.phases = phases;
    this.#isOutbid = false;
    for (let tries = 0; ; tries++) {
      if (this.#lacksBudget) this.#lacking.fill(0);
      this.#lacksBudget = false;
      this.#pipeline.decide(scope, query, this.#draft);
      // Another shard may have taken the last of a budget since it was looked at: then choose again.
      if (request.isDryRun || this.#reserve()) break;
      if (tries < RESERVE_TRIES) continue;
      this.#isOutbid = true;
      break;
    }
    return decisionSeq;
  }

  /** Names to indices. */
  #resolve(request: Request): Fault | null {
    const runtime = this.#runtime;
    const { catalog } = runtime.index;
    const query = this.#query;
    query.slot = -1;
    query.channel = -1;
    query.product = null;
    query.subset = null;
    query.count = request.count;
    query.wantMask = request.wantMask;
    query.isExplain = request.isExplain;
    if (request.slot !== '') {
      const slot = catalog.slotByKey.get(request.slot);
      if (slot === undefined) return runtime.fail(FAULT.unknownSlot, 'decide.slot: the catalog has no such slot');
      query.slot = slot.index;
    }
    if (request.channel !== '') {
      const channel = catalog.channelByKey.get(request.channel);
      if (channel === undefined)
        return runtime.fail(FAULT.unknownChannel, 'decide.channel: the catalog has no such channel');
      query.channel = channel.index;
    }
    if (request.sku !== '') {
      const product = catalog.productBySku.get(request.sku);
      if (product === undefined) return runtime.fail(FAULT.unknownSku, 'decide.sku: the catalog has no such product');
      query.product = product;
    }
    if (request.actions !== null) {
      if (this.#subset.length < catalog.actions.length) this.#subset = new Uint8Array(catalog.actions.length);
      this.#subset.fill(0);
      for (let i = 0; i < request.actions.length; i++) {
        const action = catalog.actionByKey.get(request.actions[i] as string);
        if (action === undefined) {
          return runtime.fail(FAULT.unknownAction, `decide.actions[${i}]: the catalog has no such action`);
        }
        this.#subset[action.index] = 1;
      }
      query.subset = this.#subset;
    }
    return null;
  }

  /** Takes the budgets of all chosen actions, or none of them. */
  #reserve(): boolean {
    const draft = this.#draft;
    const { ledger } = this.#runtime.options;
    for (let k = 0; k < draft.chosenCount; k++) {
      const action = this.#chosen(k);
      if (action.budgetMinor === null || ledger.tryHold(action.hash, action.costMinor)) continue;
      for (let back = 0; back < k; back++) {
        const taken = this.#chosen(back);
        if (taken.budgetMinor !== null) ledger.apply(LEDGER.free, taken.hash, taken.costMinor);
      }
      draft.chosenCount = 0;
      return false;
    }
    return true;
  }

  #holdStock(): boolean {
    const { product } = this.#query;
    if (this.#draft.price === null || product === null || product.stock === null || this.#runtime.scope.isHoldingFull)
      return false;
    return this.#runtime.options.ledger.tryHold(stockSubject(product.hash), 1);
  }

  #giveBack(holdsStock: boolean): void {
    const { ledger } = this.#runtime.options;
    for (let k = 0; k < this.#draft.chosenCount; k++) {
      const action = this.#chosen(k);
      if (action.budgetMinor !== null) ledger.apply(LEDGER.free, action.hash, action.costMinor);
    }
    if (holdsStock) ledger.apply(LEDGER.free, stockSubject((this.#query.product as Product).hash), 1); // stock is only held with a product
  }

  #chosen(k: number): Action {
    return this.#runtime.index.catalog.actions[this.#draft.chosenAction[k] as number] as Action;
  }

  /** The price of the hour, or the person's standing quote where that is lower: a quote never rises. */
  #standingPrice(now: number): number {
    const { price } = this.#draft;
    const { product } = this.#query;
    if (price === null || product === null) return Number.NaN;
    const { record } = this.#runtime;
    const standing = record.findQuote(product.hash);
    if (standing < 0) return price.priceMinor;
    return standingQuotePrice(record.quotePriceMinor(standing), record.quoteExpiresAt(standing), now, price.priceMinor);
  }

  /** The price had nothing personal been known; a quote that holds is no lower than what it holds back. */
  #maskedPrice(priceMinor: number): number {
    return Math.max(priceMinor, this.#draft.price?.maskedPriceMinor ?? priceMinor);
  }

  /** Whether anything personal is in the price as it is given: in one held back, when it was quoted. */
  #isPersonal(priceMinor: number): boolean {
    const { price } = this.#draft;
    const { product } = this.#query;
    if (price === null || product === null) return false;
    if (priceMinor >= price.priceMinor) return price.personalised;
    const { record } = this.#runtime;
    return record.quoteIsPersonal(record.findQuote(product.hash));
  }

  /** A held-back rise does not extend the quote that holds it back: it ends when it was promised to. */
  #quoteExpiry(priceMinor: number, now: number): number {
    const { price } = this.#draft;
    const { product } = this.#query;
    if (price === null || product === null) return 0;
    const { record } = this.#runtime;
    const standing = record.findQuote(product.hash);
    const standsUntil = standing < 0 ? now : record.quoteExpiresAt(standing);
    if (priceMinor < price.priceMinor) return standsUntil;
    // Of two the record keeps the lower: it holds as long as the dearer one did, which was promised too. Only a clock
    // that went back, or a catalog with a shorter time, makes a later quote end before an earlier one.
    return Math.max(now + product.quoteTtlMillis, standsUntil);
  }

  /** Of the price as it is given: one that an earlier quote holds back was drawn by that decision, not by this one. */
  #pricePropensity(priceMinor: number): number | null {
    const { price } = this.#draft;
    return price === null || priceMinor < price.priceMinor ? null : price.propensity;
  }

  #fillEffect(
    request: Request,
    decisionSeq: number,
    priceMinor: number,
    quoteExpiresAt: number,
    leaseExpiresAt: number,
    holdsStock: boolean,
  ): void {
    const { effect, index, options } = this.#runtime;
    const draft = this.#draft;
    const query = this.#query;
    const { features } = draft;
    const hasPrice = draft.price !== null;
    const words = draft.allowedBits.length;
    const hasSubset = query.subset !== null;
    const context = this.#context;
    context.take(request.context, request.frame, request.contextStart, request.contextEnd, options.coldCodec);
    const bitmaps = words * (1 + (hasSubset ? 1 : 0) + (this.#lacksBudget ? 1 : 0));
    const isPersonal = this.#isPersonal(priceMinor);
    const masked = isPersonal ? MASKED_BYTES : 0;
    const { hasInputs } = draft;
    const { asker } = this.#runtime;
    const inputs = hasInputs ? INPUT_BYTES : 0;
    const body =
      DECISION.chosen -
      48 +
      draft.chosenCount * CHOSEN_BYTES +
      bitmaps * 4 +
      features.count * 8 +
      inputs +
      masked +
      context.length +
      (asker === null ? 0 : 1 + asker.length);
    effect.begin(EFFECT.decision, body);
    effect.setU32(DECISION.decisionSeq, decisionSeq);
    effect.setU32(DECISION.modelEpoch, options.models.epoch);
    effect.setU32(DECISION.catalogVersion, index.catalog.versionHash);
    effect.setU32(DECISION.slotHash, query.slot < 0 ? 0 : (index.catalog.slots[query.slot]?.hash ?? 0));
    effect.setU32(DECISION.seed0, query.seed0);
    effect.setU32(DECISION.seed1, query.seed1);
    effect.setU32(DECISION.skuHash, query.product?.hash ?? 0);
    effect.u8[DECISION.chosenCount] = draft.chosenCount;
    effect.u8[DECISION.flags] =
      (draft.isExplored ? DECISION_FLAG.explored : 0) |
      (query.isHeldOut ? DECISION_FLAG.heldOut : 0) |
      (hasPrice ? DECISION_FLAG.hasPrice : 0) |
      (draft.hasSendTime ? DECISION_FLAG.hasSendTime : 0) |
      (holdsStock ? DECISION_FLAG.holdsStock : 0) |
      (this.#isOutbid ? DECISION_FLAG.outbid : 0) |
      (isPersonal ? DECISION_FLAG.personalPrice : 0) |
      (hasInputs ? DECISION_FLAG.demandInputs : 0);
    effect.setU16(DECISION.featureCount, features.count);
    effect.setF64(DECISION.priceMinor, priceMinor);
    effect.setF64(DECISION.pricePropensity, this.#pricePropensity(priceMinor) ?? Number.NaN);
    effect.setF64(DECISION.quoteExpiresAt, quoteExpiresAt);
    effect.setF64(DECISION.leaseExpiresAt, leaseExpiresAt);
    effect.setF64(DECISION.sendTimeAt, draft.hasSendTime ? draft.sendTime.atEpochMillis : Number.NaN);
    effect.setU32(
      DECISION.sendChannelHash,
      draft.hasSendTime ? (index.catalog.channels[draft.sendChannel]?.hash ?? 0) : 0,
    );
    effect.setU16(DECISION.allowedWords, words);
    effect.setU16(DECISION.candidateCount, draft.candidates);
    effect.setU16(DECISION.allowedCount, draft.allowed);
    effect.setU32(
      DECISION.requestFlags,
      query.wantMask |
        (hasSubset ? REQUEST_FLAG.hasSubset : 0) |
        (this.#lacksBudget ? REQUEST_FLAG.lacksBudget : 0) |
        (this.#runtime.consent.hasOptOut ? REQUEST_FLAG.optOut : 0) |
        (asker === null ? 0 : REQUEST_FLAG.hasAsker) |
        (query.count << REQUEST_COUNT_SHIFT) |
        (this.#runtime.consent.refusedBits() << REFUSED_SHIFT),
    );
    effect.setU32(DECISION.channelHash, index.catalog.channels[query.channel]?.hash ?? 0);
    effect.setU32(DECISION.contextBytes, context.length);
    for (let k = 0; k < draft.chosenCount; k++) {
      const at = DECISION.chosen + k * CHOSEN_BYTES;
      const action = this.#chosen(k);
      const channel = index.catalog.channels[draft.chosenChannel[k] as number] as Channel;
      effect.setU32(at + CHOSEN.actionHash, action.hash);
      effect.setU32(at + CHOSEN.channelHash, channel.hash);
      effect.setU32(at + CHOSEN.creativeIndex, draft.chosenCreative[k] as number);
      effect.setU32(
        at + CHOSEN.leaseFlags,
        (index.keeps(MOMENT.decision, action.hash) ? LEASE_FLAG.holdsCap : 0) |
          (action.budgetMinor !== null ? LEASE_FLAG.holdsBudget : 0) |
          (holdsStock && k === 0 ? LEASE_FLAG.holdsStock : 0),
      );
      effect.setF64(at + CHOSEN.propensity, draft.chosenPropensity[k] as number);
      effect.setF64(at + CHOSEN.score, draft.chosenScore[k] as number);
      effect.setF64(at + CHOSEN.responseProbability, draft.chosenProbability[k] as number);
      effect.setF64(at + CHOSEN.costMinor, action.costMinor);
    }
    let word = effect.allowedStart() >>> 2;
    for (let i = 0; i < words; i++) effect.u32[word++] = draft.allowedBits[i] as number;
    for (let i = 0; i < features.count; i++) effect.u32[word++] = features.hashes[i] as number;
    for (let i = 0; i < features.count; i++) effect.f32[word++] = features.values[i] as number;
    if (query.subset !== null) {
      for (let a = 0; a < index.catalog.actions.length; a++) {
        if (query.subset[a] === 1)
          effect.u32[word + (a >>> 5)] = (effect.u32[word + (a >>> 5)] as number) | (1 << (a & 31));
      }
      word += words;
    }
    if (this.#lacksBudget) for (let i = 0; i < words; i++) effect.u32[word++] = this.#lacking[i] as number;
    if (hasInputs) {
      effect.u32[word++] = (query.product as Product).demandInputsHash; // inputs are a product's
      for (const value of draft.inputs) effect.f32[word++] = value;
    }
    if (isPersonal) {
      effect.setMaskedPriceMinor(this.#maskedPrice(priceMinor));
      word += MASKED_BYTES >>> 2;
    }
    context.copyTo(effect.u8, word * 4);
    if (asker !== null) {
      const at = word * 4 + context.length;
      effect.u8[at] = asker.length;
      effect.u8.set(asker, at + 1);
    }
    for (let k = 0; k < draft.chosenCount; k++) {
      const action = this.#chosen(k);
      if (action.budgetMinor !== null) effect.addLedger(LEDGER.hold, action.hash, action.costMinor);
    }
    if (holdsStock) effect.addLedger(LEDGER.hold, stockSubject((query.product as Product).hash), 1); // stock is only held with a product
  }

  #count(leaseExpiresAt: number, holdsStock: boolean): void {
    const runtime = this.#runtime;
    const { stats } = runtime;
    const draft = this.#draft;
    stats.leasesOpened += draft.chosenCount > 0 ? draft.chosenCount : draft.price !== null ? 1 : 0;
    if (this.#query.isHeldOut) stats.decisionsHeldOut++;
    if (this.#runtime.scope.suspicion >= 0) stats.decisionsSuspected++;
    if (draft.isExplored) stats.decisionsExplored++;
    if (draft.chosenCount === 0) stats.decisionsEmpty++;
    if (draft.price !== null) stats.quotesIssued++;
    let isHolding = holdsStock;
    for (let k = 0; k < draft.chosenCount && !isHolding; k++) {
      const action = this.#chosen(k);
      isHolding = action.budgetMinor !== null || runtime.index.keeps(MOMENT.decision, action.hash);
    }
    if (isHolding) runtime.watchLease(leaseExpiresAt);
  }

  #fillReply(
    request: Request,
    priceMinor: number,
    quoteExpiresAt: number,
    leaseExpiresAt: number,
    decisionSeq: number,
    holdsStock: boolean,
    now: number,
  ): void {
    const { record, index, options, scope } = this.#runtime;
    const { catalog } = index;
    const draft = this.#draft;
    const out = this.outcome;
    out.candidates = draft.candidates;
    out.decisionId = request.isDryRun
      ? null
      : formatDecisionId(record.partition, record.hashLow, record.hashHigh, decisionSeq);
    out.stateSeq = record.stateSeq;
    out.catalogVersion = catalog.version;
    out.modelVersion = options.models.epoch;
    if (out.actions.length > draft.chosenCount) out.actions.length = draft.chosenCount;
    for (let k = 0; k < draft.chosenCount; k++) {
      const action = this.#chosen(k);
      const row = this.#actionRow(k);
      row.action = action.key;
      row.creative = action.creatives[draft.chosenCreative[k] as number] ?? null;
      row.channel = catalog.channels[draft.chosenChannel[k] as number]?.key ?? null;
      row.score = draft.chosenScore[k] as number;
      row.responseProbability = draft.chosenProbability[k] as number;
      row.value = action.valueMinor;
      row.propensity = draft.chosenPropensity[k] as number;
      row.explored = draft.isExplored;
      row.leaseExpiresAtEpochMillis = request.isDryRun ? null : leaseExpiresAt;
      out.actions[k] = row;
    }
    out.price = undefined;
    if (draft.price !== null) {
      const product = this.#query.product as Product; // a price is only made for a product
      const price = this.#price;
      price.sku = product.sku;
      price.currency = product.currency;
      price.listMinor = product.listMinor;
      price.priceMinor = priceMinor;
      price.maskedPriceMinor = this.#maskedPrice(priceMinor);
      const isHeld = priceMinor < draft.price.priceMinor;
      price.personalised = this.#isPersonal(priceMinor);
      price.propensity = this.#pricePropensity(priceMinor);
      price.promotion = draft.price.promotion;
      if (price.personalised) price.disclosure = isHeld ? DISCLOSURE_PERSONAL_HELD : DISCLOSURE_PERSONAL;
      else price.disclosure = isHeld ? DISCLOSURE_HELD : this.#query.isHeldOut ? DISCLOSURE_LIST : DISCLOSURE;
      price.expiresAtEpochMillis = quoteExpiresAt;
      // Without a unit to promise, the price is information and no quote.
      const isQuote = !request.isDryRun && (product.stock === null || holdsStock);
      price.quoteId = isQuote ? out.decisionId : null;
      price.signature = isQuote ? this.#sign(price) : null;
      out.price = price;
    }
    out.sendTime = undefined;
    if (draft.hasSendTime) {
      const time = this.#sendTime;
      const { sendTime } = draft;
      time.channel = catalog.channels[draft.sendChannel]?.key ?? '';
      time.atEpochMillis = sendTime.atEpochMillis;
      time.local = this.#localText(scope.zone, sendTime.atEpochMillis);
      time.timeZone = options.zones.zoneName(scope.zone);
      time.windowMinutes = sendTime.windowMinutes;
      time.probability = sendTime.probability;
      time.nowProbability = sendTime.nowProbability;
      out.sendTime = time;
    }
    out.explain = request.isExplain ? this.#explain(now, holdsStock) : undefined;
  }

  /** Most people of a zone are given one of few full hours: the last text is often the next one's too. */
  #localText(zone: number, atEpochMillis: number): string {
    if (zone !== this.#localZone || atEpochMillis !== this.#localAt) {
      this.#localZone = zone;
      this.#localAt = atEpochMillis;
      this.#local = this.#runtime.options.zones.formatLocal(zone, atEpochMillis);
    }
    return this.#local;
  }
  #localZone = -1;
  #localAt = Number.NaN;
  #local = '';

  #actionRow(k: number): Mutable<DecidedAction> {
    let row = this.#actionPool[k];
    if (row === undefined) {
      row = {
        action: '',
        creative: null,
        channel: null,
        score: 0,
        responseProbability: 0,
        value: 0,
        propensity: 0,
        explored: false,
        leaseExpiresAtEpochMillis: null,
      };
      this.#actionPool[k] = row;
    }
    return row;
  }

  #sign(price: Mutable<DecidedPrice>): string | null {
    const length = quoteBytes(
      {
        quoteId: price.quoteId ?? '',
        sku: price.sku,
        currency: price.currency,
        priceMinor: price.priceMinor,
        expiresAtEpochMillis: price.expiresAtEpochMillis,
      },
      this.#quoteBytes,
    );
    return length < 0 ? null : this.#runtime.options.signer.sign(this.#quoteBytes, length);
  }

  #explain(now: number, holdsStock: boolean): Explanation {
    const draft = this.#draft;
    const { product } = this.#query;
    const explanation: Mutable<Explanation> = {
      counts: { candidates: draft.candidates, eligible: draft.eligible, allowed: draft.allowed, scored: draft.scored },
      chosen: draft.contributions,
      rejected: draft.rejected,
    };
    if (draft.price !== null && product !== null) {
      explanation.price = {
        ...draft.price.explain,
        listMinor: product.listMinor,
        floorMinor: product.floorMinor,
        ceilingMinor: product.ceilingMinor,
        stockLeft: product.stock === null ? null : this.#runtime.options.ledger.freeAmount(stockSubject(product.hash)),
        stockHeld: holdsStock,
      };
    }
    if (draft.hasSendTime) {
      const { sendTime } = draft;
      explanation.sendTime = {
        policy: sendTime.explored ? 'explored' : 'worth most',
        propensity: sendTime.propensity,
        worth: sendTime.worth,
        nowWorth: sendTime.nowWorth,
        allowedInstants: sendTime.allowedCount,
        hourOfWeek: sendTime.hourOfWeek,
        delayMillis: sendTime.atEpochMillis - now,
      };
    }
    return explanation;
  }
}
