import { describe, expect, it } from 'vitest';
import { benchFeatures } from '../../../bench/micro/bench-inputs.ts';
import { MICRO_CASES } from '../../../bench/micro/cases.ts';
import { runMicro, SMOKE } from '../../../bench/micro/micro-bench.ts';

describe('micro benchmarks', () => {
  it('micro: every case runs in smoke mode and yields a figure in ns', async () => {
    const result = await runMicro(MICRO_CASES, SMOKE);
    expect(Object.keys(result.figures)).toEqual(MICRO_CASES.map((one) => one.name));
    for (const figure of Object.values(result.figures)) {
      expect(figure.values).toHaveLength(1);
      expect(figure.median).toBeGreaterThanOrEqual(0);
    }
    expect(result.checksum).toBeGreaterThan(0);
  });

  it('micro: names are unique and say their area', () => {
    const names = MICRO_CASES.map((one) => one.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z-]+: ./);
  });

  it('micro: the profile has about the 30 features that figures speak of', () => {
    expect(benchFeatures().count).toBeGreaterThanOrEqual(30);
  });

  it('micro: the eligibility case finds all 20 actions eligible', () => {
    const operation = MICRO_CASES.find((one) => one.name === 'eligibility: 20 rules')?.prepare();
    expect(operation?.()).toBe(20);
  });

  it('micro: a case that throws fails the run with its own error', async () => {
    const broken = {
      name: 'broken: always',
      prepare: () => () => {
        throw new Error('no such table');
      },
    };
    await expect(runMicro([broken], SMOKE)).rejects.toThrow('no such table');
  });
});
