/** `opportune evaluate` on logs of known truth, and what it says where a log cannot carry the claim. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawUniform } from '../../decision/random.ts';
import { EXIT } from '../../server/commands/command.ts';
import { run } from '../../server/commands/evaluate.ts';
import { OperatorError } from '../../server/operator-error.ts';
import { runCommand } from './run-command.ts';
import { temporaryFolder } from './running-node.ts';

const folder = temporaryFolder('evaluate');
const RATES: Readonly<Record<string, number>> = { a: 0.1, b: 0.3, c: 0.2 };
const PROPENSITIES: Readonly<Record<string, number>> = { a: 0.5, b: 0.2, c: 0.3 };
const KEYS = Object.keys(RATES);

function drawnAction(n: number): string {
  let left = drawUniform(1, 2, n, 1);
  for (const key of KEYS) {
    left -= PROPENSITIES[key] ?? 0;
    if (left < 0) return key;
  }
  return 'c';
}
function isResponse(n: number, action: string): boolean {
  return drawUniform(1, 3, n, 1) < (RATES[action] ?? 0);
}

function decision(n: number, action: string, changes: object = {}): object {
  return {
    type: 'decision',
    atEpochMillis: 1_795_000_000_000 + n * 60_000,
    profile: `p${n}`,
    decisionId: `d${n}`,
    slot: 'home',
    allowed: KEYS,
    chosen: [{ action, propensity: PROPENSITIES[action] }],
    heldOut: false,
    ...changes,
  };
}
/** A decision log whose every action has its known rate. */
function logLines(rows: number): object[] {
  return Array.from({ length: rows }, (_, n) => {
    const action = drawnAction(n);
    const event = {
      type: 'event',
      event: 'click',
      decisionId: `d${n}`,
      learnt: ['response'],
      properties: { revenueMinor: 700 },
    };
    return isResponse(n, action) ? [decision(n, action), event] : [decision(n, action)];
  }).flat();
}
function write(name: string, lines: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
}
const LOG = write('log.ndjson', logLines(3_000));

const evaluate = (path: string, options: Record<string, string | boolean>) => runCommand(run, [path], options);
async function report(path: string, options: Record<string, string | boolean>): Promise<ReturnType<typeof JSON.parse>> {
  return JSON.parse((await evaluate(path, { ...options, json: true })).out);
}

describe('evaluate a decision log', () => {
  it.each([
    ['random', 0.2],
    ['action:a', 0.1],
    ['action:b', 0.3],
    ['greedy', 0.3],
    ['logged', 0.5 * 0.1 + 0.2 * 0.3 + 0.3 * 0.2],
  ])('%s: every estimator is within four standard errors of the truth', async (policy, truth) => {
    const { evaluation, rowsEvaluated, flags, refusals } = await report(LOG, { policy });
    expect([rowsEvaluated, flags, refusals]).toEqual([3_000, [], []]);
    for (const name of ['ips', 'snips', 'doublyRobust']) {
      const { value, standardError } = evaluation[name];
      expect(Math.abs(value - truth)).toBeLessThan(4 * standardError);
      expect(standardError).toBeLessThan(0.03);
    }
    expect(Math.abs(evaluation.direct.value - truth)).toBeLessThan(0.05);
  });

  it('rewards: revenue is summed, an event counts once', async () => {
    const twice = logLines(3_000).flatMap((line) => ('event' in line ? [line, line] : [line]));
    const path = write('twice.ndjson', twice);
    const clicks = await report(path, { policy: 'logged', reward: 'click' });
    const revenue = await report(path, { policy: 'logged', reward: 'revenue' });
    expect(revenue.evaluation.logging.value).toBeCloseTo(clicks.evaluation.logging.value * 1400, 6);
  });

  it('the text: table, sample and weights', async () => {
    const { out, code } = await evaluate(LOG, { policy: 'action:b' });
    expect(code).toBe(EXIT.ok);
    for (const word of ['IPS', 'SNIPS', 'DM', 'DR', 'effective sample', 'largest weight 5', 'mean weight']) {
      expect(out).toContain(word);
    }
  });

  it('clip: larger weights are cut, and the share is said', async () => {
    const { evaluation, flags } = await report(LOG, { policy: 'action:b', clip: '3' });
    expect(evaluation.weightMax).toBe(5);
    expect(evaluation.clippedShare).toBeCloseTo(0.2, 1);
    expect(flags.join()).toContain('were cut');
  });

  it('too little: refused with the bound, printed when forced', async () => {
    await expect(evaluate(LOG, { policy: 'action:b', limit: '100' })).rejects.toThrow('of at least 200');
    const { refusals } = await report(LOG, { policy: 'action:b', limit: '100', force: true });
    expect(refusals).not.toEqual([]);
  });

  it('what cannot be a row is left out and counted by its reason', async () => {
    const bad = [
      decision(90_000, 'a', { chosen: [] }),
      decision(90_001, 'a', { chosen: [{ action: 'a', propensity: 0 }] }),
      decision(90_002, 'a', {
        chosen: [
          { action: 'a', propensity: 0.5 },
          { action: 'b', propensity: 0.5 },
        ],
      }),
      decision(90_003, 'a', { heldOut: true }),
      decision(90_004, 'a', { profile: undefined }),
    ];
    const { skipped, rowsEvaluated } = await report(write('bad.ndjson', [...logLines(3_000), ...bad]), {
      policy: 'random',
    });
    expect(rowsEvaluated).toBe(3_000);
    expect(Object.values(skipped)).toEqual([1, 1, 1, 1, 1]);
    expect(Object.keys(skipped).join()).toMatch(
      /nothing was chosen.*propensity.*several actions.*held out.*fields are missing/,
    );
  });

  it('support: an action never logged is refused; one that is allowed and never logged is flagged', async () => {
    await expect(evaluate(LOG, { policy: 'action:z' })).rejects.toThrow('the log never chose "z"');
    const wider = logLines(3_000).map((line) => ('allowed' in line ? { ...line, allowed: [...KEYS, 'z'] } : line));
    const { flags } = await report(write('wider.ndjson', wider), { policy: 'random' });
    expect(flags.join()).toContain('the policy wants z, which the log never chose');
    expect(flags.join()).toContain('weights average 0.7');
  });

  it('allowed: decisions in which the action was not allowed are no evidence about it', async () => {
    const half = logLines(3_000).map((line, n) =>
      'allowed' in line && n % 2 === 0 ? { ...line, allowed: ['a', 'c'] } : line,
    );
    const { rowsEvaluated, skipped } = await report(write('half.ndjson', half), { policy: 'action:b' });
    expect(rowsEvaluated + skipped['b was not allowed']).toBe(3_000);
  });

  it.each([
    ['no policy', LOG, {}, '--policy is missing'],
    ['an unknown policy', LOG, { policy: 'best' }, 'knows no "best"'],
    ["the server's own", LOG, { policy: 'current' }, 'does not say'],
    ['a clip of no size', LOG, { policy: 'random', clip: '0' }, 'above 0'],
    ['no file', join(folder, 'none.ndjson'), { policy: 'random' }, 'cannot be read'],
    ['no log', write('empty.ndjson', []), { policy: 'random' }, 'no decision that can be used'],
  ])('%s: refused, with what to do', async (_, path, options, text) => {
    await expect(evaluate(path, options)).rejects.toThrow(OperatorError);
    await expect(evaluate(path, options)).rejects.toThrow(text);
  });

  it('no NDJSON: the line is named', async () => {
    const path = join(folder, 'csv.ndjson');
    writeFileSync(path, 'a,b\n1,2\n');
    await expect(evaluate(path, { policy: 'random' })).rejects.toThrow('csv.ndjson:1: not a line');
  });
});

describe('evaluate a mapped CSV log', () => {
  it('columns: action, propensity, reward and context by the mapping', async () => {
    const mapping = join(folder, 'mapping.yaml');
    writeFileSync(
      mapping,
      `version: 1
name: shop
traits: { age: { column: age, as: integer }, city: { column: city } }
action: { column: offer }
propensity: { column: p }
rewards: [{ name: click, column: click }, { name: spend, column: spend }]
`,
    );
    const rows = Array.from({ length: 4_000 }, (_, n) => {
      const action = drawnAction(n);
      const click = isResponse(n, action) ? 1 : 0;
      return `${20 + (n % 50)},${n % 3 === 0 ? 'Rome' : 'Oslo'},${action},${PROPENSITIES[action]},${click},${click * 7}`;
    });
    const csv = join(folder, 'log.csv');
    writeFileSync(csv, `age,city,offer,p,click,spend\n${rows.join('\n')}\n20,Rome,a,0,1,7\n`);
    const { evaluation, skipped } = await report(csv, { policy: 'action:b', mapping, reward: 'spend' });
    expect(Math.abs(evaluation.doublyRobust.value - 2.1)).toBeLessThan(4 * evaluation.doublyRobust.standardError);
    expect(Object.keys(skipped).join()).toContain('p is not in (0, 1]');
    await expect(evaluate(csv, { policy: 'random', mapping, reward: 'x' })).rejects.toThrow('no reward "x"');
  });
});
