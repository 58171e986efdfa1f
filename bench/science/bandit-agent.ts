/**
 * The response model, the choice and the learning of the product, joined as the pipeline joins them, for checks
 * that play games instead of serving people: one channel, one category an action or none, features as given.
 */
import { allPropensities, ChoiceInput, ChoiceResult, chooseActions } from '../../decision/choice.ts';
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { ModelDelta } from '../../decision/model-delta.ts';
import { learnResponse, learnTrial, TOUCHES_MAX } from '../../decision/response-learning.ts';
import {
  predictAll,
  RESPONSE_PRIORS,
  ResponseModel,
  type ResponsePriors,
  responseMoments,
} from '../../decision/response-model.ts';

/** Numbers of parts: everybody 0, the channel 1, categories behind it, then actions. */
const CHANNEL_PART = 1;
const CATEGORY_PARTS = 2;

export interface AgentAction {
  /** Minor units of a response, and what offering it costs. */
  readonly worth: number;
  readonly cost: number;
  /** 1 and up; 0 for none. */
  readonly category: number;
}

export class BanditAgent {
  readonly model: ResponseModel;
  readonly features = new FeatureVector();
  readonly input: ChoiceInput;
  readonly result: ChoiceResult;
  readonly #count: number;
  readonly #categoryMax: number;
  readonly #actionParts: Int32Array;
  readonly #categoryParts: Int32Array;
  readonly #channelParts: Int32Array;
  readonly #means: Float64Array;
  readonly #variances: Float64Array;
  readonly #propensities: Float64Array;
  readonly #added = new ModelDelta(TOUCHES_MAX);
  #nextPart: number;

  constructor(actions: readonly AgentAction[], epsilon: number, priors: Partial<ResponsePriors> = {}) {
    const count = actions.length;
    this.#count = count;
    this.model = new ResponseModel(undefined, { ...RESPONSE_PRIORS, ...priors });
    this.input = new ChoiceInput(count);
    this.result = new ChoiceResult(count);
    this.#categoryMax = CATEGORY_PARTS + Math.max(...actions.map(({ category }) => category));
    this.#nextPart = this.#categoryMax + 1;
    this.#actionParts = new Int32Array(count);
    this.#categoryParts = Int32Array.from(actions, ({ category }) => (category === 0 ? 0 : CATEGORY_PARTS + category));
    this.#channelParts = new Int32Array(count).fill(CHANNEL_PART);
    this.#means = new Float64Array(count);
    this.#variances = new Float64Array(count);
    this.#propensities = new Float64Array(count);
    this.input.count = count;
    this.input.explorationProbability = epsilon;
    actions.forEach(({ worth, cost }, a) => {
      this.input.worth[a] = worth;
      this.input.cost[a] = cost;
      this.replace(a);
    });
  }

  /** Another action in the place of `a`, of which nothing is known. */
  replace(a: number): void {
    const part = this.#nextPart++;
    this.#actionParts[a] = part;
    this.input.actionHash[a] = mixHash(part, 1);
  }

  /** Response probabilities for the person in `features`: means and deviations into `input`. */
  predict(): void {
    const { model, features, input } = this;
    predictAll(
      model,
      features,
      this.#count,
      this.#actionParts,
      this.#categoryParts,
      this.#channelParts,
      this.#categoryMax,
      this.#means,
      this.#variances,
    );
    responseMoments(this.#count, this.#means, this.#variances, input.probabilityMean, input.probabilityDeviation);
  }

  /** One action, after `predict`. */
  choose(seed0: number, seed1: number): number {
    this.input.seed0 = seed0;
    this.input.seed1 = seed1;
    chooseActions(this.input, this.result);
    return this.result.chosen[0] ?? 0;
  }

  /** Of each action, after `predict`; valid until the next call. */
  propensities(): Float64Array {
    allPropensities(this.input, this.result, this.#propensities);
    return this.#propensities;
  }

  /** The action with the best expected score, after `predict`; the first of equals. */
  greedy(): number {
    const { probabilityMean, worth, cost } = this.input;
    let best = 0;
    for (let a = 1; a < this.#count; a++) if (score(a) > score(best)) best = a;
    return best;
    function score(a: number): number {
      return (probabilityMean[a] ?? 0) * (worth[a] ?? 0) - (cost[a] ?? 0);
    }
  }

  /** A trial for the person in `features`. Returns what it added to the model, valid until the next call. */
  learn(a: number, response: 0 | 1, weight = 1): ModelDelta {
    const { model, features } = this;
    this.#added.clear();
    const [action = 0, category = 0] = [this.#actionParts[a], this.#categoryParts[a]];
    learnTrial(model, features, action, category, CHANNEL_PART, response, weight, this.#added);
    return this.#added;
  }

  /** A late response to a trial of that weight that was learnt as a negative. */
  respond(a: number, weight: number): void {
    const [action = 0, category = 0] = [this.#actionParts[a], this.#categoryParts[a]];
    learnResponse(this.model, this.features, action, category, CHANNEL_PART, weight, null);
  }
}
