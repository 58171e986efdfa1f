import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCrashFile, writeCrashFile } from './crash-file.ts';
import { type FuzzOptions, fuzzTarget } from './fuzz-run.ts';
import { DEEP, forgetKept, LEAKING, SLOW, STATEFUL } from './planted-bugs.ts';
import { replayInputs } from './shrink-crash.ts';
import { FUZZ_TARGETS } from './target-table.ts';

const SHORT: FuzzOptions = {
  seed: Math.floor(performance.timeOrigin) % 0x1_0000_0000,
  inputs: 1_000_000,
  learnInputsMax: 0,
  secondsMax: 0.25,
  memoryGrowthBytesMax: 24 * 1024 * 1024,
};
const PLANTED: FuzzOptions = { ...SHORT, seed: 1, inputs: 200_000, secondsMax: 20 };

beforeAll(() => console.info(`fuzz: seed ${SHORT.seed}; npm run fuzz -- --seed ${SHORT.seed} goes on with it`));
afterAll(forgetKept);

describe('fuzz', () => {
  it.each(FUZZ_TARGETS)('$name: $about', async (target) => {
    const report = await fuzzTarget(target, SHORT);
    // The hex and the seed are in the message of a failure.
    const crashes = report.crashes.map(({ message, inputs }) =>
      writeCrashFile(target.name, SHORT.seed, message, inputs),
    );
    expect(crashes).toEqual([]);
    expect(report.hangs.map(({ millis, input }) => `${millis} ms: ${Buffer.from(input).toString('hex')}`)).toEqual([]);
    expect(report.inputs).toBeGreaterThan(0);
  });
});

describe('fuzz engine', () => {
  it('finds a bug four blocks deep by coverage and not without, shrinks it, and a file of it replays', async () => {
    const blind = await fuzzTarget(DEEP, { ...PLANTED, inputs: 120_000 });
    expect(blind.crashes).toEqual([]);
    const report = await fuzzTarget(DEEP, { ...PLANTED, learnInputsMax: 24_000, inputs: 120_000 });
    expect(report.crashes).toHaveLength(1);
    const [crash] = report.crashes;
    expect(crash?.inputs[0]).toHaveLength(11);
    const text = writeCrashFile(DEEP.name, 1, crash?.message ?? '', crash?.inputs ?? []);
    const { targetName, inputs } = readCrashFile(text);
    expect(targetName).toBe(DEEP.name);
    expect(String(await replayInputs(DEEP, inputs))).toContain('four bytes deep');
  });

  it('makes the same inputs from the same seed and others from another', async () => {
    const seen = async (seed: number): Promise<string> => {
      const inputs = new Set<string>();
      const run = (input: Uint8Array): number => {
        inputs.add(Buffer.from(input).toString('hex'));
        return input[0] ?? 0;
      };
      await fuzzTarget({ ...SLOW, create: () => ({ run }) }, { ...PLANTED, seed, inputs: 300 });
      return createHash('sha256')
        .update([...inputs].join())
        .digest('hex');
    };
    expect(await seen(5)).toBe(await seen(5));
    expect(await seen(5)).not.toBe(await seen(6));
  });

  it('keeps what came before when an input alone breaks nothing', async () => {
    const report = await fuzzTarget(STATEFUL, PLANTED);
    const inputs = report.crashes[0]?.inputs ?? [];
    expect(inputs.length).toBeGreaterThan(1);
    expect(String(await replayInputs(STATEFUL, inputs))).toContain('in this order');
  });

  it('reports an input that takes over 10 ms each time', async () => {
    const report = await fuzzTarget(SLOW, { ...PLANTED, inputs: 1000 });
    expect(report.hangs[0]?.input[0]).toBe(0xff);
    expect(report.slowestMillis).toBeGreaterThan(10);
  });

  it('reports memory that only grows', async () => {
    const report = await fuzzTarget(LEAKING, { ...PLANTED, inputs: 40_000 });
    expect(report.isLeaking).toBe(true);
    expect(report.memoryGrowthBytes).toBeGreaterThan(28_000 * 1024);
  });

  it.each([
    ['no target', '00ff\n'],
    ['a line that is no hex', '# target codec-json\nxyz\n'],
    ['half a byte', '# target codec-json\n0\n'],
  ])('readCrashFile: throws when there is %s', (_, text) => {
    expect(() => readCrashFile(text)).toThrow(RangeError);
  });
});
