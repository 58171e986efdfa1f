/** The response model: features of one profile, 20 actions scored, one chosen with its exact propensity. */
import { ChoiceInput, ChoiceResult, chooseActions } from '../../decision/choice.ts';
import { buildFeatures, FeatureVector } from '../../decision/features.ts';
import { dealParts, PART_KIND, PartRegister } from '../../decision/part-register.ts';
import { predictAll, ResponseModel, responseMoments } from '../../decision/response-model.ts';
import { defaultContext } from '../load-requests.ts';
import { benchCatalog, benchFeatures, FilledProfile } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';

interface Candidates {
  readonly count: number;
  readonly actionPart: Int32Array;
  readonly categoryPart: Int32Array;
  readonly channelPart: Int32Array;
  readonly categoryPartMax: number;
  readonly means: Float64Array;
  readonly variances: Float64Array;
}

function candidates(): Candidates {
  const catalog = benchCatalog();
  const count = catalog.actions.length;
  const keys = dealParts(new Uint32Array(0), catalog);
  const parts = new PartRegister(keys);
  return {
    count,
    actionPart: Int32Array.from(catalog.actions, ({ hash }) => parts.numberOf(PART_KIND.action, hash)),
    categoryPart: Int32Array.from(catalog.actions, ({ categoryHash }) =>
      parts.numberOf(PART_KIND.category, categoryHash),
    ),
    channelPart: new Int32Array(count).fill(parts.numberOf(PART_KIND.channel, catalog.channels[0]?.hash ?? 0)),
    categoryPartMax: keys.length,
    means: new Float64Array(count),
    variances: new Float64Array(count),
  };
}

function score(model: ResponseModel, features: FeatureVector, c: Candidates): void {
  const { count, actionPart, categoryPart, channelPart, categoryPartMax, means, variances } = c;
  predictAll(model, features, count, actionPart, categoryPart, channelPart, categoryPartMax, means, variances);
}

export const SCORE_CASES: readonly MicroCase[] = [
  {
    name: 'score: features of a profile',
    prepare() {
      const catalog = benchCatalog();
      const scope = new FilledProfile(catalog);
      const context = defaultContext(3);
      const features = new FeatureVector();
      return () => {
        buildFeatures(catalog, scope, 1, 2, context, features, null);
        return features.count;
      };
    },
  },
  {
    name: 'score: 20 actions',
    prepare() {
      const model = new ResponseModel();
      const features = benchFeatures();
      const c = candidates();
      return () => {
        score(model, features, c);
        return c.means[0] ?? 0;
      };
    },
  },
  {
    name: 'propensity: choose 1 of 20',
    prepare() {
      const catalog = benchCatalog();
      const c = candidates();
      score(new ResponseModel(), benchFeatures(), c);
      const input = new ChoiceInput(c.count);
      responseMoments(c.count, c.means, c.variances, input.probabilityMean, input.probabilityDeviation);
      catalog.actions.forEach((action, i) => {
        input.worth[i] = action.valueMinor;
        input.cost[i] = action.costMinor;
        input.actionHash[i] = action.hash;
      });
      input.count = c.count;
      input.explorationProbability = 0.02;
      const result = new ChoiceResult(c.count);
      let seed = 0;
      return () => {
        // Another decision each time: another order of the draws.
        seed = (seed + 1) >>> 0;
        input.seed0 = seed;
        input.seed1 = 7;
        chooseActions(input, result);
        return result.propensity[0] ?? 0;
      };
    },
  },
];
