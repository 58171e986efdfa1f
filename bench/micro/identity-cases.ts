/**
 * What it costs the shards that two profiles turn out to be one person: the three turns of a joining, and those of taking
 * them apart again, so that the next operation finds two profiles as before. Both have every trait, an event of each kind
 * and an offer. The figure of issue 6 is a joining within a millisecond; of a sample of 50 of both together the median is
 * reported, and writes to disk, two a joining, are not in it.
 */
import { IdentityTurn } from '../../actors/identity-turn.ts';
import type { Fault } from '../../proto/statuses.ts';
import type { MicroCase } from './micro-case.ts';
import { TurnBench } from './turn-cases.ts';

const SILENT = { mark(): void {} };
const PAIRS = 128;

function fine(isDone: boolean | Fault | null): void {
  if (isDone !== true && isDone !== null) throw new Error('identity: a turn failed');
}

function joining(): () => number {
  const bench = new TurnBench();
  const { runtime } = bench;
  const turn = new IdentityTurn(runtime);
  const rules = runtime.index.catalog.identity;
  for (let n = 0; n < 2 * PAIRS; n++) fine(bench.decideTurn.run(bench.step(), bench.now, SILENT));
  let next = 0;
  return () => {
    next = (next + 1) % PAIRS;
    bench.step();
    const from = runtime.hashOf(`bench-${2 * next}`);
    const to = runtime.hashOf(`bench-${2 * next + 1}`);
    const open = ({ partition, hashLow, hashHigh }: typeof from): void =>
      fine(runtime.openKnown(partition, hashLow, hashHigh));
    open(from);
    fine(turn.depart(to, null, bench.now));
    const profile = turn.pack();
    open(to);
    fine(turn.arrive(profile, rules, bench.now));
    open(from);
    fine(turn.settle(to, bench.now));
    open(to);
    fine(turn.unjoin(profile, bench.now));
    open(from);
    fine(turn.restore(bench.now));
    return runtime.record.stateSeq;
  };
}

export const IDENTITY_CASES: readonly MicroCase[] = [
  { name: 'identity: join two profiles, and take them apart again', prepare: joining },
];
