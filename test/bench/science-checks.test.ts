/** The fast checks of `npm run verify:science`, and its table. */
import { describe, expect, it } from 'vitest';
import { SCIENCE_CHECKS } from '../../bench/science/checks.ts';
import { runCheck, tableText } from '../../bench/science/run.ts';
import { atLeast, atMost, near, type ScienceCheck, ScienceData } from '../../bench/science/science-check.ts';

const data = new ScienceData('../shared/data');

describe('science checks', () => {
  it('names: each its own', () => {
    expect(new Set(SCIENCE_CHECKS.map(({ name }) => name)).size).toBe(SCIENCE_CHECKS.length);
  });

  for (const check of SCIENCE_CHECKS.filter(({ isFast }) => isFast)) {
    const missing = data.missing(check);
    if (missing.length > 0) console.warn(`${check.name}: skipped, there is no ${missing.join(', ')}`);
    it.skipIf(missing.length > 0)(`${check.name}: each figure is met`, async () => {
      const { findings } = await runCheck(check, data);
      expect(findings.length).toBeGreaterThan(0);
      expect(findings.filter(({ isMet }) => !isMet)).toEqual([]);
    });
  }
});

describe('science table', () => {
  const check: ScienceCheck = { name: 'a: b', source: 'a book', needs: [], isFast: true, run: () => [] };

  it('findings: NaN meets nothing, a bound is met when equal', () => {
    expect(near('x', 1, Number.NaN, 10).isMet).toBe(false);
    expect(atMost('x', 1, Number.NaN).isMet).toBe(false);
    expect(atLeast('x', 1, Number.NaN).isMet).toBe(false);
    expect([near('x', 1, 1.5, 0.5).isMet, atMost('x', 1, 1).isMet, atLeast('x', 1, 1).isMet]).toEqual([
      true,
      true,
      true,
    ]);
    expect([near('x', 1, 1.6, 0.5).isMet, atMost('x', 1, 1.1).isMet, atLeast('x', 1, 0.9).isMet]).not.toContain(true);
  });

  it('table: says loudly what was skipped and what is not met', async () => {
    const absent = await runCheck({ ...check, name: 'c: d', needs: ['no/such.csv'] }, data);
    const missed = await runCheck({ ...check, run: () => [atMost('figure e', 1, 2, 'because')] }, data);
    const text = tableText([absent, missed]);
    expect(text).toMatch(/c: d .*SKIPPED/);
    expect(text).toContain('c: d: skipped, there is no no/such.csv');
    expect(text).toMatch(/figure e +<= 1 +2 +- +NOT MET +0\.0/);
    expect(text).toContain('figure e: because');
    expect(text).toContain('0 of 1 figures met; 1 of 2 checks SKIPPED');
  });
});
