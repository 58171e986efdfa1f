/**
 * Off-policy evaluation: exact propensities of Thompson sampling over Beta posteriors, and the estimators on a
 * synthetic log whose truth is known, made as Open Bandit Pipeline makes its own.
 */
import { betaPlaceProbabilities } from '../../decision/batch/beta-propensity.ts';
import { evaluatePolicy } from '../../decision/batch/off-policy.ts';
import { CrossFittedRewards } from '../../decision/batch/reward-model.ts';
import { drawNormal, drawUniform } from '../../decision/random.ts';
import { atLeast, atMost, type Finding, type ScienceCheck, type ScienceData } from './science-check.ts';

const PRIORS = 'obd/prior_bts.yaml';
const EXACT = 'obd/ts_exact_propensities.json';
const PLACES = 3;

/** `campaign:` and under it `alpha:` and `beta:`, each a list of numbers: all there is in this YAML file. */
function readPriors(text: string): Map<string, { alpha: number[]; beta: number[] }> {
  const campaigns = new Map<string, { alpha: number[]; beta: number[] }>();
  let lists: { alpha: number[]; beta: number[] } = { alpha: [], beta: [] };
  let list: number[] = [];
  for (const line of text.split('\n')) {
    const word = line.trim();
    if (/^\w+:$/.test(line)) {
      lists = { alpha: [], beta: [] };
      campaigns.set(word.slice(0, -1), lists);
    } else if (word === 'alpha:' || word === 'beta:') list = lists[word === 'alpha:' ? 'alpha' : 'beta'];
    else if (word.startsWith('- ')) list.push(Number(word.slice(2)));
  }
  return campaigns;
}

function betaPropensities(data: ScienceData): readonly Finding[] {
  const exact = JSON.parse(data.text(EXACT)) as Record<string, Record<string, number[]>>; // the file's own shape
  const findings: Finding[] = [];
  for (const [campaign, { alpha, beta }] of readPriors(data.text(PRIORS))) {
    const ours = betaPlaceProbabilities(Float64Array.from(alpha), Float64Array.from(beta), PLACES);
    let apart = 0;
    for (const [place, row] of ours.entries()) {
      const reference = exact[campaign]?.[`p${place + 1}`] ?? [];
      for (const [item, p] of row.entries()) apart = Math.max(apart, Math.abs(p - (reference[item] ?? Number.NaN)));
    }
    findings.push(atMost(`Bernoulli Thompson, ${campaign}: largest error of P(item at place)`, 1e-5, apart));
  }
  return findings;
}

const ROUNDS = 10_000;
const ACTIONS = 30;
const DIMENSIONS = 5;
const BETA = -3;
const SEEDS = 20;
const NAMES = ['DM', 'IPW', 'SNIPW', 'DR'] as const;
/** With 95 % each, fewer of 20 happen in 0.3 % of all cases. */
const COVERED_MIN = 16;
const NOTE =
  'published is one seed of a policy that is not named; here softmax(+3 x expected reward), our reward model, 20 seeds';
const PUBLISHED = [0.074, 0.0095, 0.0067, 0.0062] as const;

interface SyntheticError {
  readonly relative: number;
  /** Whether the estimate's 95 % interval holds the truth. */
  readonly isCovered: boolean;
}

/**
 * The generator that OBP documents (`SyntheticBanditDataset` with `logistic_reward_function`, no behaviour policy
 * given): contexts N(0, 1); the logit of a reward is bilinear in (1, x) and (1, one-hot action) with coefficients
 * U(-1, 1), less mean / deviation of all logits; the log chooses by a softmax of beta x expected reward. The
 * policy judged is not stated with the published figures; here it is a softmax of the opposite sign of the
 * expected reward, so that it prefers what the log avoids. Returns the relative errors in the order of NAMES.
 */
function syntheticErrors(seed: number): readonly SyntheticError[] {
  const coefficient = (subject: number): number => 2 * drawUniform(seed, 1, subject, 1) - 1;
  const contexts = new Float64Array(ROUNDS * DIMENSIONS);
  for (let i = 0; i < contexts.length; i += 1) contexts[i] = drawNormal(seed, 2, i, 1);
  const ofContext = Array.from({ length: DIMENSIONS + 1 }, (_, d) => coefficient(d));
  const ofAction = Array.from({ length: ACTIONS + 1 }, (_, a) => coefficient(100 + a));
  const ofBoth = Array.from({ length: DIMENSIONS + 1 }, (_, d) =>
    Array.from({ length: ACTIONS + 1 }, (_unused, a) => coefficient(1_000 + d * 100 + a)),
  );
  const logits = new Float64Array(ROUNDS * ACTIONS);
  for (let i = 0; i < ROUNDS; i += 1) {
    const x = (d: number): number => (d === 0 ? 1 : (contexts[i * DIMENSIONS + d - 1] ?? 0));
    for (let a = 0; a < ACTIONS; a += 1) {
      let logit = (ofAction[0] ?? 0) + (ofAction[a + 1] ?? 0);
      for (let d = 0; d <= DIMENSIONS; d += 1) {
        logit += x(d) * ((ofContext[d] ?? 0) + (ofBoth[d]?.[0] ?? 0) + (ofBoth[d]?.[a + 1] ?? 0));
      }
      logits[i * ACTIONS + a] = logit;
    }
  }
  const mean = logits.reduce((sum, z) => sum + z, 0) / logits.length;
  const deviation = Math.sqrt(logits.reduce((sum, z) => sum + (z - mean) ** 2, 0) / logits.length);
  const expected = logits.map((z) => 1 / (1 + Math.exp(-(z - mean / deviation))));

  const actions = new Int32Array(ROUNDS);
  const rewards = new Float64Array(ROUNDS);
  const loggingPropensities = new Float64Array(ROUNDS);
  const targetProbabilities = new Float64Array(ROUNDS);
  const targets: Float64Array[] = [];
  let truth = 0;
  for (let i = 0; i < ROUNDS; i += 1) {
    const q = expected.subarray(i * ACTIONS, (i + 1) * ACTIONS);
    const logging = softmax(q, BETA);
    const target = softmax(q, -BETA);
    targets.push(target);
    truth += q.reduce((sum, value, a) => sum + value * (target[a] ?? 0), 0) / ROUNDS;
    let left = drawUniform(seed, 3, i, 1);
    let action = 0;
    while (action < ACTIONS - 1 && left >= (logging[action] ?? 0)) left -= logging[action++] ?? 0;
    actions[i] = action;
    rewards[i] = drawUniform(seed, 4, i, 1) < (q[action] ?? 0) ? 1 : 0;
    loggingPropensities[i] = logging[action] ?? 0;
    targetProbabilities[i] = target[action] ?? 0;
  }
  const model = new CrossFittedRewards(
    { contexts, dimensions: DIMENSIONS, actions, actionCount: ACTIONS, rewards },
    { folds: 3 },
  );
  const loggedPredictions = rewards.map((_, i) => model.predict(i, actions[i] ?? 0));
  const targetPredictions = rewards.map(
    (_, i) => (targets[i] as Float64Array).reduce((sum, p, a) => sum + p * model.predict(i, a), 0), // a target a row
  );
  const rows = { rewards, loggingPropensities, targetProbabilities, loggedPredictions, targetPredictions };
  const { direct, ips, snips, doublyRobust } = evaluatePolicy(rows);
  return [direct, ips, snips, doublyRobust].map((estimate) => {
    const { value, standardError } = estimate ?? { value: Number.NaN, standardError: Number.NaN };
    return { relative: Math.abs(value / truth - 1), isCovered: Math.abs(value - truth) <= 1.96 * standardError };
  });
}

function softmax(q: Float64Array, beta: number): Float64Array {
  const powers = q.map((value) => Math.exp(beta * value));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function synthetic(): readonly Finding[] {
  const errors = Array.from({ length: SEEDS }, (_, n) => syntheticErrors(n + 1));
  const rows = NAMES.map((name, n): Finding => {
    const own = errors.map((row) => row[n]?.relative ?? Number.NaN).sort((a, b) => a - b);
    const mean = own.reduce((sum, error) => sum + error, 0) / SEEDS;
    const se = Math.sqrt(own.reduce((sum, error) => sum + (error - mean) ** 2, 0) / (SEEDS - 1) / SEEDS);
    const [least = Number.NaN, most = Number.NaN] = [own[0], own.at(-1)];
    const published = PUBLISHED[n] ?? Number.NaN;
    return {
      figure: `synthetic log, 10,000 rounds: relative error of ${name}`,
      reference: `${published} (one seed)`,
      ours: `${mean.toFixed(4)} (se ${se.toFixed(4)}; ${least.toFixed(4)} to ${most.toFixed(4)}, seeds 1-${SEEDS})`,
      tolerance: 'inside our range',
      isMet: least <= published && published <= most,
      ...(n === 0 ? { note: NOTE } : {}),
    };
  });
  const covered = [1, 2, 3].map((n) => errors.filter((row) => row[n]?.isCovered === true).length);
  return [
    ...rows,
    atLeast(
      `synthetic log: of ${SEEDS} intervals of 95 %, those that hold the truth, least of IPW, SNIPW, DR`,
      COVERED_MIN,
      Math.min(...covered),
      `IPW ${covered[0]}, SNIPW ${covered[1]}, DR ${covered[2]}`,
    ),
  ];
}

export const OFF_POLICY_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'off-policy: Bernoulli Thompson propensities',
    source: 'Open Bandit Dataset, prior_bts.yaml; science.md section 2',
    needs: [PRIORS, EXACT],
    isFast: false,
    run: betaPropensities,
  },
  {
    name: 'off-policy: synthetic log with known truth',
    source: 'Open Bandit Pipeline, synthetic check (30 actions, beta -3); science.md section 2',
    needs: [],
    isFast: false,
    run: synthetic,
  },
];
