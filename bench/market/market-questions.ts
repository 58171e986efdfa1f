/**
 * The market's questions: which policies answer each, in what kind of market, and what a share is a share of. One
 * world a seed and question; every policy meets the same people.
 */
import { type Ledger, runActions, runPlans, runPrices, runTimes, total } from './market-run.ts';
import { estimate, type MarketRow, regret } from './market-table.ts';
import { ourActions, ourPlans, ourPrices, ourTimes } from './our-policies.ts';
import type { ActionPolicy } from './policy.ts';
import {
  clairvoyantPrices,
  costPlusPrices,
  fixedBestAction,
  globalHourTimes,
  greedyActions,
  greedyModelActions,
  leastSquaresPrices,
  listPrices,
  nowTimes,
  oracleActions,
  oracleTimes,
  randomActions,
} from './rival-policies.ts';
import { Showings } from './showings.ts';
import { type MarketOptions, World } from './world.ts';

export const QUESTIONS = ['action', 'price', 'shock', 'time', 'joint'] as const;
export type Question = (typeof QUESTIONS)[number];

type ActionPolicyMaker = (world: World, showings: Showings) => ActionPolicy;
const ACTION_POLICIES: readonly ActionPolicyMaker[] = [
  randomActions,
  fixedBestAction,
  greedyActions,
  greedyModelActions,
  ourActions,
  oracleActions,
];
const PRICE_POLICIES = [listPrices, costPlusPrices, leastSquaresPrices, ourPrices, clairvoyantPrices];
const TIME_POLICIES = [nowTimes, globalHourTimes, ourTimes, oracleTimes];

/** Prices are judged where demand stands still, and where it breaks halfway; the rest in the market as it moves. */
export function worldOf(question: Question, options: MarketOptions): World {
  if (question === 'price') return new World({ ...options, isStationary: true, shockDay: null });
  if (question === 'shock') {
    return new World({ ...options, isStationary: true, shockDay: Math.floor(options.days / 2) });
  }
  return new World(options);
}

/** A ledger a policy, in the order of the table. */
export function runQuestion(question: Question, options: MarketOptions): readonly Ledger[] {
  const world = worldOf(question, options);
  if (question === 'action') {
    return ACTION_POLICIES.map((make) => {
      const showings = new Showings(world);
      return runActions(world, make(world, showings), showings);
    });
  }
  if (question === 'time') {
    const oracle = oracleTimes(world);
    return TIME_POLICIES.map((make) => runTimes(world, make(world), oracle));
  }
  if (question === 'joint') return [false, true].map((isJoint) => runPlans(world, ourPlans(world, isJoint)));
  return PRICE_POLICIES.map((make) => runPrices(world, make(world)));
}

const UNITS: Readonly<Record<Question, string>> = {
  action: 'value, minor units',
  price: 'margin, minor units',
  shock: 'margin, minor units',
  time: 'responses in 100',
  joint: 'value + margin, minor units',
};

/** @param runs a list of ledgers a seed, as `runQuestion` gives them; at least one */
export function rowsOf(question: Question, runs: readonly (readonly Ledger[])[]): readonly MarketRow[] {
  return (runs[0] ?? []).map(({ policy }, at) => {
    const mine = runs.map((ledgers) => ledgers[at] as Ledger); // every seed ran the same policies
    const share = (ledgers: readonly Ledger[], ledger: Ledger, from: number, until: number): number => {
      if (question === 'action') return regret(ledger, from, until) / regret(ledgers[0] as Ledger, from, until); // random is first
      const reference = question === 'joint' ? (ledgers[0] as Ledger).earned : ledger.best; // separate is first
      return total(ledger.earned, from, until) / total(reference, from, until);
    };
    const shares = (from: number, until: number): readonly number[] =>
      runs.map((ledgers, seed) => share(ledgers, mine[seed] as Ledger, from, until)); // a ledger a seed
    const days = mine[0]?.earned.length ?? 0;
    return {
      question,
      policy,
      decisions: estimate(mine.map(({ decisions }) => decisions)),
      earned: estimate(
        mine.map(({ earned, decisions }) => (total(earned) / decisions) * (question === 'time' ? 100 : 1)),
      ),
      unit: UNITS[question],
      share: estimate(shares(0, days)),
      shareOf: question === 'action' ? "random's regret" : question === 'joint' ? 'separate' : 'the best known',
      lateShare: estimate(shares(Math.floor((days * 3) / 4), days)),
    };
  });
}
