import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { shrinkFailure } from './shrink.ts';
import { replayCommand, runSimulation } from './sim-run.ts';
import { SimWorld } from './sim-world.ts';

/** A fresh seed gets this long; the rest of the time is the replays'. */
const FRESH_MILLIS = 10_000;

describe('simulation', () => {
  it('replay: one seed is one run, byte for byte, and another seed another', async () => {
    const first = await new SimWorld({ seed: 7, steps: 6_000 }).run();
    const again = await new SimWorld({ seed: 7, steps: 6_000 }).run();
    const other = await new SimWorld({ seed: 8, steps: 6_000 }).run();
    expect(first.violation).toBeNull();
    expect(again).toEqual(first);
    expect(other.hash).not.toBe(first.hash);
    expect(first.answers).toBeGreaterThan(100);
  });

  it('a disk that lies: writes confirmed before they are there are caught, and the failure shrinks to a few actions', async () => {
    const lies = { seed: 3, steps: 4_000, isDiskLying: true };
    const failed = await new SimWorld(lies).run();
    expect(failed.violation?.invariant).toBe('an acknowledged write is on disk');
    const shrunk = await shrinkFailure(failed, (trials) => trials < 60, lies);
    expect(shrunk.result.violation?.invariant).toBe('an acknowledged write is on disk');
    expect(shrunk.actions.length).toBeLessThan(6);
  });

  it('a fresh seed: no promise is broken in ten seconds', { timeout: 90_000 }, async () => {
    const seed = randomInt(0x1_0000_0000);
    console.log(`simulation: seed ${seed}`);
    const until = performance.now() + FRESH_MILLIS;
    const summary = await runSimulation(seed, Number.POSITIVE_INFINITY, {
      worldSteps: 10_000,
      goesOn: () => performance.now() < until,
    });
    const { failed } = summary;
    console.log(`simulation: ${summary.steps} steps, ${summary.answers} answers checked; hash ${summary.hash}`);
    const told = failed === null ? '' : `${failed.violation?.message}\nreplay: ${replayCommand(failed)}`;
    expect(told, told).toBe('');
    expect(summary.answers).toBeGreaterThan(0);
  });
});
