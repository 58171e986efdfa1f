/** `opportune evaluate --policy current`: the models of a snapshot judged on the journal, where the truth is known. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { JournalMarks } from '../../actors/journal-marks.ts';
import { WANT } from '../../decision/pipeline.ts';
import { drawUniform } from '../../decision/random.ts';
import { EXIT } from '../../server/commands/command.ts';
import { run } from '../../server/commands/evaluate.ts';
import { OperatorError } from '../../server/operator-error.ts';
import { snapshotInput, writeModelSnapshot } from '../../workers/jobs/model-snapshot-file.ts';
import { writeCatalogText } from '../../workers/recovery.ts';
import { OneShard } from '../actors/one-shard.ts';
import { writeDataFolder } from '../workers/recompute/written-folder.ts';
import { runCommand } from './run-command.ts';
import { temporaryFolder } from './running-node.ts';
import { catalogText } from './test-catalogs.ts';

/** Exploration keeps every weight below 6, and half of the policy is what was learnt. */
const CATALOG = catalogText({
  traits: ['group: { type: enum, values: [x, y] }'],
  actions: ['a', 'b', 'c'].map((key) => `{ key: ${key}, channels: [app], slots: [home], valueMinor: 100 }`),
})
  .replace('explorationProbability: 0', 'explorationProbability: 0.5')
  .replace('fallback: plain', 'fallback: a');
/** Truth: how probable a click is, by group and action. */
const RATES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  x: { a: 0.4, b: 0.1, c: 0.2 },
  y: { a: 0.1, b: 0.4, c: 0.2 },
};
const START = 1_795_000_000_000;
const PEOPLE = 500;
/** Of these decisions the models learn; the rest only has outcomes. */
const LEARNT = 1_200;
const LOGGED = 3_600;
const data = temporaryFolder('evaluate-current');
const log = join(data, 'log.ndjson');
/** Of a node that decided by the learnt models and learnt nothing more. */
const deployedData = temporaryFolder('evaluate-deployed');
const priorModels = join(data, 'models', 'prior');

function groupOf(person: number): 'x' | 'y' {
  return person % 2 === 0 ? 'x' : 'y';
}

/** One decision of somebody, what comes of it by the truth; returns the expected reward of what was chosen. */
function live(shard: OneShard, n: number, tells: boolean): number {
  const person = Math.floor(drawUniform(4, 5, n, 1) * PEOPLE);
  const profile = `p${person}`;
  const now = START + n * 60_000;
  if (tells) shard.identify(profile, { group: groupOf(person) }, now);
  const { actions, decisionId } = shard.decide({ profile, slot: 'home', wantMask: WANT.action }, now);
  const rate = RATES[groupOf(person)]?.[actions[0]?.action ?? ''] ?? Number.NaN;
  const event = drawUniform(4, 6, n, 1) < rate ? 'click' : 'impression';
  shard.track({ profile, event, decisionId: decisionId ?? '' }, now + 1_000);
  return rate;
}

let truth = 0;

beforeAll(async () => {
  mkdirSync(join(data, 'models'));
  const shard = new OneShard({ catalog: CATALOG });
  const { catalog } = shard.runtime.index;
  new JournalMarks(shard.store).start(catalog.versionHash, 1, 0, START);
  writeCatalogText(shard.store, catalog.version, CATALOG);
  const prior = shard.models.snapshot();
  const write = (path: string, state: typeof prior, batch: number): void => {
    const positions = [{ epoch: 1, stream: 0, batch }];
    writeModelSnapshot(snapshotInput(path, { state, positions, modelEpoch: 1, round: 0 }));
  };
  for (let n = 0; n < LEARNT; n++) live(shard, n, true);
  shard.store.commitNow();
  const learnt = shard.models.snapshot();
  write(join(data, 'models', 'model'), learnt, shard.store.openBatch);
  write(priorModels, prior, 1);
  // From here on the node goes on learning; what is judged are the models of before.
  for (let n = LEARNT; n < LOGGED; n++) {
    live(shard, n, true);
    if (n % 500 === 0) shard.store.commitNow();
  }
  shard.store.commitNow();

  await writeDataFolder(data, shard.disk);

  // The truth, by another way than propensities: those models are left to choose, and learn nothing more.
  const deployed = new OneShard({
    catalog: CATALOG,
    wrapModels: (models) => Object.assign(models, { learn: () => {} }),
  });
  new JournalMarks(deployed.store).start(catalog.versionHash, 1, 0, START);
  writeCatalogText(deployed.store, catalog.version, CATALOG);
  deployed.models.load(learnt);
  deployed.decideTurn.useCatalog();
  for (let n = 0; n < LOGGED; n++) truth += live(deployed, n, true);
  truth /= LOGGED;
  deployed.store.commitNow();
  await writeDataFolder(deployedData, deployed.disk);
}, 30_000);

const evaluate = (path: string, options: Record<string, string | boolean>) => runCommand(run, [path], options);
async function report(options: Record<string, string | boolean>): Promise<ReturnType<typeof JSON.parse>> {
  return JSON.parse((await evaluate(log, { policy: 'current', data, json: true, ...options })).out);
}

describe('evaluate --policy current', () => {
  it('estimates: each is within four standard errors of what the models earn when deployed', async () => {
    const { evaluation, rowsEvaluated, refusals, flags, weightMean, skipped } = await report({ unseen: true });
    expect([rowsEvaluated, refusals, flags]).toEqual([LOGGED - LEARNT, [], []]);
    expect(Object.values(skipped)).toEqual([LEARNT]);
    // Random earns .23: what was learnt must be worth something, or the test shows nothing.
    expect(truth).toBeGreaterThan(0.28);
    const truthError = Math.sqrt(0.02 / LOGGED);
    for (const name of ['ips', 'snips', 'doublyRobust']) {
      const { value, standardError } = evaluation[name];
      expect(standardError).toBeLessThan(0.02);
      expect(Math.abs(value - truth)).toBeLessThan(4 * Math.hypot(standardError, truthError));
    }
    expect(Math.abs(evaluation.direct.value - truth)).toBeLessThan(0.04);
    expect(Math.abs(weightMean.value - 1)).toBeLessThan(4 * weightMean.standardError);
    expect(evaluation.effectiveSampleSize).toBeGreaterThan(400);
  });

  it('the very models that made the log: every weight is 1, bit for bit', async () => {
    const models = join(data, 'models', 'model');
    const { out } = await evaluate(join(deployedData, 'log.ndjson'), {
      policy: 'current',
      data: deployedData,
      models,
      json: true,
    });
    const { evaluation, rowsEvaluated, weightMean } = JSON.parse(out);
    expect(rowsEvaluated).toBe(LOGGED);
    expect([evaluation.weightMax, weightMean]).toEqual([1, { value: 1, standardError: 0 }]);
    expect(evaluation.ips).toEqual(evaluation.logging);
  });

  it('models that may have learnt from the log: judged all the same, and said', async () => {
    const { rowsEvaluated, flags } = await report({});
    expect(rowsEvaluated).toBe(LOGGED);
    expect(flags.join()).toMatch(/33.3 % of the decisions were made before .* --unseen/);
  });

  it('models that have learnt nothing: chosen at random, for the record says nothing to them', async () => {
    const { evaluation } = await report({ models: priorModels });
    const { value, standardError } = evaluation.snips;
    expect(Math.abs(value - 0.7 / 3)).toBeLessThan(4 * standardError);
  });

  it('a terminal: the same table as for other policies', async () => {
    const { out, code } = await evaluate(log, { policy: 'current', data, unseen: true });
    expect(code).toBe(EXIT.ok);
    expect(out).toMatch(/^current on 2,400 decisions of/);
    for (const word of ['SNIPS', 'DR', 'effective sample', 'left out 1200: made before the models']) {
      expect(out).toContain(word);
    }
  });

  it.each([
    ['a plain log', {}, '--data FOLDER'],
    ['a CSV log', { data, mapping: 'mapping.yaml' }, 'opportune replay'],
    ['a folder that no node has used', { data: join(data, 'nowhere') }, 'OPPORTUNE_DATA'],
    ['no snapshot', { data, models: join(data, 'models', 'none') }, 'every 30 s'],
    ['--data for another policy', { data, policy: 'random' }, 'judge the current policy'],
  ])('%s: refused, with what to pass', async (_, options, advice) => {
    const failure = await evaluate(log, { policy: 'current', ...options }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OperatorError);
    expect((failure as OperatorError).advice).toContain(advice); // just seen to be one
  });

  it('a log of another node: refused, for its decisions are not in the journal', async () => {
    const other = join(data, 'other.ndjson');
    const line = {
      type: 'decision',
      profile: 'p',
      decisionId: 'd',
      allowed: ['a'],
      chosen: [{ action: 'a', propensity: 1 }],
    };
    writeFileSync(other, `${JSON.stringify(line)}\n`);
    await expect(evaluate(other, { policy: 'current', data })).rejects.toThrow('says nothing of the decisions');
  });
});
