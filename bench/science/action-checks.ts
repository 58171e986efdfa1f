/**
 * The next best action: the response model, the choice and their propensities as the pipeline joins them
 * (`bandit-agent.ts`), against published games and logs. Every setting that is not the product's default is
 * named in a note. Chance is `decision/random.ts` with the seeds of the row: a run repeats to the bit.
 */
import { applyDelta, type DeltaEntries } from '../../decision/model-delta.ts';
import { exponential, normalCdf } from '../../decision/normal.ts';
import { drawUniform } from '../../decision/random.ts';
import { RESPONSE_PRIORS, ResponseModel } from '../../decision/response-model.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { type AgentAction, BanditAgent } from './bandit-agent.ts';
import { atLeast, atMost, type Finding, type ScienceCheck, type ScienceData } from './science-check.ts';

const MUSHROOM = 'mushroom/mushroom.csv.gz';
const VW_LOG = 'vw-cb/rcv1_raw_cb_small.vw.gz';
/** What `decision/README.md` and `RESPONSE_PRIORS` advise where few features decide all. */
const FEW_FEATURES_PRECISION = 0.1;

/** Purposes of the games' own draws, far from the product's. */
const GAME = { retire: 101, which: 102, rate: 103, response: 104, row: 105 } as const;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function standardError(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length * (values.length - 1)));
}

// ── Chapelle and Li, Table 1 ─────────────────────────────────────────────────────────────────────

const ITEMS = 10;
const STEPS = 1_000_000;
const RETIRED_PROBABILITY = 1e-3;
const SIMULATION_SEEDS = [1, 2, 3, 4, 5, 6] as const;
/** Variance of the logit of Beta(4, 4): 2 trigamma(4). The action's bias scale is .7, so .49 / .5676 is that prior. */
const BETA_4_4_PRECISION = 0.49 / 0.5676;
/** Regret by delay, as published. */
const CHAPELLE_LI = [
  { delay: 1, regret: 9105 },
  { delay: 10, regret: 9049 },
  { delay: 100, regret: 11_550 },
] as const;

/** One draw of Beta(4, 4): the fourth of seven ordered uniforms. */
function drawRate(seed: number, item: number): number {
  const draws = Array.from({ length: 7 }, (_, i) => drawUniform(seed, i, item, GAME.rate));
  return draws.sort((a, b) => a - b)[3] ?? 0.5;
}

/** Regret of one run in which each response is heard `delay` steps after its choice. */
function retiringItems(seed: number, delay: number): number {
  const items = Array.from({ length: ITEMS }, (): AgentAction => ({ worth: 1, cost: 0, category: 0 }));
  const agent = new BanditAgent(items, 0, { probability: 0.5, precision: BETA_4_4_PRECISION, deviationScale: 1 });
  let born = 0;
  const rates = items.map(() => drawRate(seed, born++));
  const births = new Int32Array(ITEMS);
  const waiting = Array.from({ length: delay }, () => ({ item: 0, birth: -1, response: 0 as 0 | 1 }));
  let best = Math.max(...rates);
  let regret = 0;
  for (let step = 0; step < STEPS; step++) {
    if (drawUniform(step, seed, 0, GAME.retire) < RETIRED_PROBABILITY) {
      const item = Math.floor(drawUniform(step, seed, 0, GAME.which) * ITEMS);
      rates[item] = drawRate(seed, born++);
      births[item] = born;
      agent.replace(item);
      best = Math.max(...rates);
    }
    const heard = waiting[step % delay];
    if (heard === undefined) break;
    if (births[heard.item] === heard.birth) agent.learn(heard.item, heard.response);
    agent.predict();
    heard.item = agent.choose(step, seed);
    heard.birth = births[heard.item] ?? 0;
    heard.response = drawUniform(step, seed, 0, GAME.response) < (rates[heard.item] ?? 0) ? 1 : 0;
    regret += best - (rates[heard.item] ?? 0);
  }
  return regret;
}

function chapelleLi(): readonly Finding[] {
  return CHAPELLE_LI.map(({ delay, regret }) => {
    const runs = SIMULATION_SEEDS.map((seed) => retiringItems(seed, delay));
    const ours = mean(runs);
    return {
      figure: `retiring items: regret of Thompson at delay ${delay}`,
      reference: String(regret),
      ours: `${ours.toFixed(0)} (se ${standardError(runs).toFixed(0)}, seeds 1-${runs.length})`,
      tolerance: '5 %',
      isMet: Math.abs(ours / regret - 1) <= 0.05,
      note:
        'a response is heard `delay` steps after its choice; prior matched to Beta(4, 4), posterior not narrowed, no floor; ' +
        'exact Beta sampling in the same simulation, 4 runs each: 9,195, 9,196, 11,046 (se 100 to 240), the last as far below the published figure as ours; with responses heard in batches of `delay`, 6 runs at 100: 10,031 (se 229), further off',
    };
  });
}

// ── mushroom ─────────────────────────────────────────────────────────────────────────────────────

const MUSHROOM_ROUNDS = 20_000;
const MUSHROOM_SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] as const;
/** Eating is worth +5 when it goes well and -35 when not; passing nothing. */
const MUSHROOM_ACTIONS: readonly AgentAction[] = [
  { worth: 40, cost: 35, category: 0 },
  { worth: 0, cost: 0, category: 0 },
];

interface Mushroom {
  readonly isSafe: boolean;
  readonly features: Uint32Array;
}

function mushroomRows(data: ScienceData): readonly Mushroom[] {
  return data
    .text(MUSHROOM)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, label, ...values] = line.split(',');
      return {
        isSafe: label === 'e',
        features: Uint32Array.from(values, (value, i) => murmur3Text(`${i}${value}`, 0)),
      };
    });
}

/** Regret against knowing which are safe, as a share of that of choosing at random. */
function eatMushrooms(rows: readonly Mushroom[], seed: number): number {
  const agent = new BanditAgent(MUSHROOM_ACTIONS, 0.01, { probability: 0.5, precision: FEW_FEATURES_PRECISION });
  let regret = 0;
  let uniform = 0;
  for (let round = 0; round < MUSHROOM_ROUNDS; round++) {
    const row = rows[Math.floor(drawUniform(round, seed, 0, GAME.row) * rows.length)];
    if (row === undefined) break;
    agent.features.reset();
    for (const hash of row.features) agent.features.add(hash, 1);
    agent.predict();
    const isEaten = agent.choose(round, seed) === 0;
    const eating = row.isSafe ? 5 : -15;
    const best = Math.max(eating, 0);
    regret += best - (isEaten ? eating : 0);
    uniform += best - eating / 2;
    if (isEaten) agent.learn(0, row.isSafe || drawUniform(round, seed, 0, GAME.response) < 0.5 ? 1 : 0);
  }
  return regret / uniform;
}

function mushroom(data: ScienceData): readonly Finding[] {
  const rows = mushroomRows(data);
  const shares = MUSHROOM_SEEDS.map((seed) => 100 * eatMushrooms(rows, seed)).sort((a, b) => a - b);
  const median = ((shares[4] ?? Number.NaN) + (shares[5] ?? Number.NaN)) / 2;
  const note = `seeds 1-10: ${shares.map((share) => share.toFixed(1)).join(' ')}; prior probability 0.5, precision 0.1, floor 0.01`;
  return [
    atMost('mushroom: regret at 20,000, % of uniform, median', 8, median, note),
    atMost('mushroom: the worst of 10 seeds, %', 15, shares.at(-1) ?? Number.NaN),
  ];
}

// ── Vowpal Wabbit's log ──────────────────────────────────────────────────────────────────────────

/** Progressive: each row is judged by what was learnt from those before it. */
function vowpalLog(data: ScienceData): readonly Finding[] {
  const lines = data.text(VW_LOG).trimEnd().split('\n');
  const agent = new BanditAgent(
    [1, 2].map(() => ({ worth: 1, cost: 0, category: 0 })),
    0,
    { probability: 0.5, precision: FEW_FEATURES_PRECISION },
  );
  let loss = 0;
  for (const line of lines) {
    const [label = '', text = ''] = line.split('|');
    const [action = 0, cost = 0, probability = 1] = label.trim().split(':').map(Number);
    agent.features.reset();
    for (const token of text.trim().split(/\s+/)) if (!agent.features.add(murmur3Text(token, 0), 1)) break;
    agent.predict();
    if (agent.greedy() === action - 1) loss += cost / probability;
    agent.learn(action - 1, cost === 0 ? 1 : 0, 1 / probability);
  }
  const note = 'the first 63 tokens of a text, which is what a decision can hold; prior probability 0.5, precision 0.1';
  return [atMost('VW log: progressive IPS loss of the greedy policy', 0.168, loss / lines.length, note)];
}

// ── Pega's documented facts ──────────────────────────────────────────────────────────────────────

/** Share of draws below 1.1 times the model's propensity, at so many positives of 100 trials each. */
function shareBelow(positives: number, deviationScale: number): number {
  const agent = new BanditAgent([{ worth: 1, cost: 0, category: 0 }], 0, { probability: 0.01, deviationScale });
  for (let trial = 0; trial < 100 * positives; trial++) agent.learn(0, trial % 100 === 0 ? 1 : 0);
  agent.predict();
  const [propensity = 0] = agent.input.probabilityMean;
  return normalCdf((0.1 * propensity) / (agent.input.probabilityDeviation[0] ?? 0));
}

function pegaSampling(): readonly Finding[] {
  const { deviationScale } = RESPONSE_PRIORS;
  const finding = (positives: number, reference: number, notebook: number): Finding => {
    const ours = 100 * shareBelow(positives, deviationScale);
    const plain = 100 * shareBelow(positives, 1);
    return {
      figure: `Pega: draws within 10 % at ${positives} positives, %`,
      reference: `~${reference}`,
      ours: ours.toFixed(1),
      tolerance: '10',
      isMet: Math.abs(ours - reference) <= 10,
      note: `"within" is less than 10 % above, as its notebook counts; that notebook's Beta draws give ${notebook}${positives === 0 ? ' at 1 to 20' : ''}; our posterior not narrowed ${plain.toFixed(1)}`,
    };
  };
  return [finding(0, 50, 66), finding(200, 90, 92)];
}

// ── delayed feedback ──────────────────────────────────────────────────────────────────────────────

/** Largest difference of precision and of precision x mean over all slots. */
function distance(a: ResponseModel, b: ResponseModel): number {
  let worst = 0;
  for (let at = 0; at < a.weights.length; at += 2) {
    const [meanA, meanB] = [a.weights[at] as number, b.weights[at] as number]; // of one length
    const [precisionA, precisionB] = [a.weights[at + 1] as number, b.weights[at + 1] as number]; // even
    if (meanA === meanB && precisionA === precisionB) continue;
    worst = Math.max(worst, Math.abs(precisionA - precisionB), Math.abs(precisionA * meanA - precisionB * meanB));
  }
  return worst;
}

/** 40 people are learnt as negatives of weight P(delay <= age), and each one's contribution is taken back again. */
function delayedFeedback(): readonly Finding[] {
  const agent = new BanditAgent(
    [1, 1, 2].map((category) => ({ worth: 1, cost: 0, category })),
    0,
  );
  const person = (n: number): void => {
    agent.features.reset();
    for (let i = 0; i < 20; i++) agent.features.add(Math.floor(drawUniform(n, i, 0, GAME.row) * 60), 1);
  };
  const reference = new ResponseModel();
  let neverAdded = 0;
  let atOnce = 0;
  for (let n = 0; n < 40; n++) {
    person(n);
    const action = n % 3;
    reference.weights.set(agent.model.weights);
    // Two days old, of delays that average three.
    const weight = 1 - exponential(-2 / 3);
    const contribution = agent.learn(action, 0, weight);
    applyDelta(agent.model, negated(contribution));
    neverAdded = Math.max(neverAdded, distance(agent.model, reference));
    agent.model.weights.set(reference.weights);
    agent.learn(action, 0, weight);
    agent.respond(action, weight);
    const late = agent.model.weights.slice();
    agent.model.weights.set(reference.weights);
    agent.learn(action, 1, weight);
    reference.weights.set(late);
    atOnce = Math.max(atOnce, distance(agent.model, reference));
  }
  return [
    atMost('delayed feedback: a negative taken back against never added', 1e-6, neverAdded, '40 people'),
    atMost('delayed feedback: a late response against one at once', 1e-6, atOnce),
  ];
}

function negated({ count, indices, precision, natural }: DeltaEntries): DeltaEntries {
  return { count, indices, precision: precision.map((x) => -x), natural: natural.map((x) => -x) };
}

// ── cold start ───────────────────────────────────────────────────────────────────────────────────

/** Two categories; people with a mark respond to the first at .30, others at .06; the second always .12. */
function coldStart(): readonly Finding[] {
  const actions: AgentAction[] = [1, 1, 1, 2, 2, 1].map((category) => ({ worth: 1, cost: 0, category }));
  const newcomer = actions.length - 1;
  const agent = new BanditAgent(actions, 0.02);
  const mark = murmur3Text('mark', 0);
  const plain = murmur3Text('plain', 0);
  const show = (isMarked: boolean | null): void => {
    agent.features.reset();
    if (isMarked !== null) agent.features.add(isMarked ? mark : plain, 1);
  };
  const chance = (a: number, isMarked: boolean): number =>
    (actions[a]?.category ?? 1) === 2 ? 0.12 : isMarked ? 0.3 : 0.06;
  for (let round = 0; round < 20_000; round++) {
    const isMarked = drawUniform(round, 1, 0, GAME.row) < 0.25;
    show(isMarked);
    const a = Math.floor(drawUniform(round, 1, 0, GAME.which) * newcomer);
    agent.learn(a, drawUniform(round, 1, 0, GAME.response) < chance(a, isMarked) ? 1 : 0);
  }
  const probability = (a: number, isMarked: boolean | null): number => {
    show(isMarked);
    agent.predict();
    return agent.input.probabilityMean[a] ?? Number.NaN;
  };
  const ratio = probability(newcomer, true) / probability(newcomer, false);
  return [
    nearTruth('cold start: a new action, marked people', 0.3, probability(newcomer, true)),
    nearTruth('cold start: a new action, other people', 0.06, probability(newcomer, false)),
    atLeast('cold start: a new action, context kept, ratio (true 5)', 2, ratio),
    nearTruth('cold start: a new person, first category', 0.25 * 0.3 + 0.75 * 0.06, probability(0, null)),
    nearTruth('cold start: a new person, second category', 0.12, probability(3, null)),
  ];
}

/** Sensible: within a factor of two of the truth, where the prior says .05 of everything. */
function nearTruth(figure: string, truth: number, ours: number): Finding {
  return {
    figure,
    reference: truth.toFixed(3),
    ours: `${ours.toFixed(3)} (seed 1)`,
    tolerance: 'factor 2',
    isMet: ours >= truth / 2 && ours <= truth * 2,
  };
}

export const ACTION_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'action: Chapelle and Li simulation',
    source: 'Chapelle and Li, "An empirical evaluation of Thompson sampling", NIPS 2011, Table 1',
    needs: [],
    isFast: false,
    run: chapelleLi,
  },
  {
    name: 'action: mushroom',
    source: 'UCI mushroom; bounds of science.md section 1, game of Guez 2015 and Riquelme, Tucker and Snoek, ICLR 2018',
    needs: [MUSHROOM],
    isFast: true,
    run: mushroom,
  },
  {
    name: 'action: VW log',
    source: "Vowpal Wabbit's test log rcv1_raw_cb_small, --cb 2",
    needs: [VW_LOG],
    isFast: true,
    run: vowpalLog,
  },
  {
    name: 'action: Pega sampling',
    source: 'pega-datascientist-tools, "Thompson Sampling"',
    needs: [],
    isFast: true,
    run: pegaSampling,
  },
  {
    name: 'action: delayed feedback',
    source: 'science.md section 1: reversal equals never added',
    needs: [],
    isFast: true,
    run: delayedFeedback,
  },
  { name: 'action: cold start', source: 'science.md section 1', needs: [], isFast: true, run: coldStart },
];
