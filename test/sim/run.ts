/**
 * `npm run sim -- --seed N --steps M`: runs the simulation, prints the seed first and the hash of the run last. The
 * same seed and steps give the same hash. `--forever` goes on with seed after seed. A failure is shrunk and printed
 * with the command that replays it, and ends the process with 1.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { shrinkFailure } from './shrink.ts';
import { type ActionKind, CALLS } from './sim-action.ts';
import { type RunSummary, replayCommand, runSimulation } from './sim-run.ts';

const STEPS_DEFAULT = 400_000;
const SHRINK_TRIALS_MAX = 150;
const SHRINK_SECONDS_MAX = 120;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    steps: { type: 'string' },
    forever: { type: 'boolean', default: false },
    'no-shrink': { type: 'boolean', default: false },
  },
});

function integerOf(text: string | undefined, name: string, max: number, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  process.stderr.write(`--${name}: expected an integer from 0 to ${max}, got "${text}"\n`);
  process.exit(2);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function seconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

function countOf(summary: RunSummary, isCall: boolean): number {
  let count = 0;
  for (const [kind, made] of summary.actions) if (CALLS.has(kind as ActionKind) === isCall) count += made; // keys are kinds
  return count;
}

async function tellFailure(summary: RunSummary): Promise<void> {
  const { failed } = summary;
  if (failed?.violation == null) return;
  say(`FAILED at step ${failed.violation.step}: ${failed.violation.invariant}`);
  say(`  ${failed.violation.message}`);
  say(`replay: ${replayCommand(failed)}`);
  if (values['no-shrink']) return;
  const until = seconds() + SHRINK_SECONDS_MAX;
  const shrunk = await shrinkFailure(failed, (trials) => trials < SHRINK_TRIALS_MAX && seconds() < until);
  say(`shrunk to ${shrunk.actions.length} actions in ${shrunk.trials} trials, failing at step ${shrunk.result.steps}:`);
  for (const { atMillis, index, kind } of shrunk.actions)
    say(`  ${atMillis.toFixed(3).padStart(12)} ms  action ${index}  ${kind}`);
  say(`  ${shrunk.result.violation?.message}`);
}

const steps = integerOf(values.steps, 'steps', Number.MAX_SAFE_INTEGER, STEPS_DEFAULT);
let seed = integerOf(values.seed, 'seed', 0xffff_ffff, randomInt(0x1_0000_0000));
const start = seconds();
let total = 0;
for (;;) {
  say(`seed ${seed}`);
  const summary = await runSimulation(seed, steps);
  total += summary.steps;
  const minutes = (seconds() - start) / 60;
  const { user, system } = process.cpuUsage();
  say(
    `${summary.steps} steps in ${summary.worlds} worlds, ${(summary.simulatedMillis / 1000).toFixed(0)} s simulated: ` +
      `${countOf(summary, true)} calls, ${countOf(summary, false)} faults, ${summary.entries} entries and ${summary.answers} answers checked, ` +
      `${summary.propensitySums} sums of propensities; hash ${summary.hash}`,
  );
  const ofProcessor = Math.round(total / ((user + system) / 60e6));
  say(`${total} steps in all, ${Math.round(total / minutes)} a minute, ${ofProcessor} a minute of processor time`);
  if (summary.failed !== null) {
    await tellFailure(summary);
    process.exit(1);
  }
  if (!values.forever) break;
  seed = (seed + 1) >>> 0;
}
