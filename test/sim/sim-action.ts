/**
 * What is done to the node from outside, drawn from the seed: calls of clients, and faults. Action n is a function of
 * the seed and n alone, so a run with some of its actions left out is still a run of that seed: that is what makes
 * shrinking possible.
 */
import { SimRandom } from './sim-time.ts';

/** Kinds of actions with their weights; the rare ones are faults. */
const WEIGHTS = {
  decide: 300,
  event: 210,
  note: 120,
  confirm: 90,
  release: 60,
  identify: 30,
  profile: 12,
  consent: 30,
  lab: 25,
  pipeline: 40,
  repeat: 40,
  alias: 4,
  cutConnection: 5,
  reconnectStorm: 0.4,
  garbage: 0.6,
  crashWorker: 0.8,
  powerLoss: 0.35,
  restart: 0.25,
  holdWorker: 1.2,
  slowMachine: 0.6,
  slowDisk: 0.8,
  fullDisk: 0.3,
  failedWrite: 0.3,
  unconfirmedWrite: 0.12,
  slowNetwork: 0.5,
  clockForward: 0.4,
  clockBack: 0.4,
  leapSecond: 0.3,
  snapshot: 0.6,
  trim: 0.4,
  tornValue: 0.5,
} as const;
export type ActionKind = keyof typeof WEIGHTS;
const KINDS = Object.keys(WEIGHTS) as ActionKind[];
const TOTAL = KINDS.reduce((sum, kind) => sum + WEIGHTS[kind], 0);

/** The calls; everything else is a fault or the operator's. */
export const CALLS: ReadonlySet<ActionKind> = new Set(KINDS.slice(0, KINDS.indexOf('cutConnection')));

export interface SimAction {
  readonly index: number;
  readonly kind: ActionKind;
  /** Micros after the action before. */
  readonly afterMicros: number;
  /** Its own chance. */
  readonly random: SimRandom;
}

const MEAN_GAP_MICROS = 1_300;
/** Now and then nothing happens for a while, and profiles fall asleep and leases end. */
const PAUSE_CHANCE = 0.0015;

export function actionAt(seed: number, index: number): SimAction {
  const random = new SimRandom(seed, 1_000_003 + index);
  const afterMicros = random.chance(PAUSE_CHANCE)
    ? random.between(1_000_000, 8_000_000)
    : -MEAN_GAP_MICROS * Math.log(1 - random.fraction());
  let at = random.fraction() * TOTAL;
  let kind: ActionKind = 'decide';
  for (const candidate of KINDS) {
    kind = candidate;
    at -= WEIGHTS[candidate];
    if (at < 0) break;
  }
  return { index, kind, afterMicros, random };
}
