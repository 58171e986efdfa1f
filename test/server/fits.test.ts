/**
 * Fits on a real server, end to end: people buy, `opportune fit` finds who leaves and who is worth much, and the same
 * request is answered differently because of it, also after a restart, and computed again bit for bit.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../server/commands/command.ts';
import { run as runFit } from '../../server/commands/fit.ts';
import { run as related } from '../../server/commands/related.ts';
import { run as replay } from '../../server/commands/replay-decision.ts';
import { epochMillis } from '../../workers/clock.ts';
import { JobPool } from '../../workers/jobs/job-pool.ts';
import { FolderLock } from '../../workers/store/folder-lock.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const DAY_MILLIS = 86_400_000;
const FACTS = 'facts: [segment, churnProbability, lifetimeValueMinor, nextPurchaseAtEpochMillis]';
const ACTIONS = [
  `{ key: hello, channels: [app], slots: [home], valueMinor: 1, eligibility: '!has(profile.churnProbability)' }`,
  '{ key: plain, channels: [app], slots: [capped], valueMinor: 1 }',
  `{ key: win-back, channels: [app], slots: [home], valueMinor: 900, eligibility: 'profile.churnProbability > 0.8' }`,
  `{ key: stay, channels: [app], slots: [home], valueMinor: 900,
      eligibility: 'profile.churnProbability < 0.2 && profile.lifetimeValueMinor > 10000 && profile.segment in ["s1", "s2"]' }`,
];

function factCatalog(): string {
  return catalogText({ actions: ACTIONS }).replace(
    '  additionalTraits: refuse\n',
    `  additionalTraits: refuse\n  ${FACTS}\n`,
  );
}

/** The command in this process, its pool threads of the built program. */
const fitNow = (words: string[], options: Record<string, string | boolean>, signal?: AbortSignal) => {
  const jobs = new JobPool({ folder: new URL('../../dist/workers/jobs/', import.meta.url) });
  return runCommand((call) => runFit(call, { jobs, ...(signal === undefined ? {} : { signal }) }), words, options);
};

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** 40 who buy a camera and a tripod every five days, for much; 40 who did so for little, until 45 days ago. */
async function shop(url: string): Promise<void> {
  const peer = await WirePeer.connect(url);
  const now = epochMillis();
  for (let n = 0; n < 80; n++) {
    const hasLeft = n % 2 === 1;
    const requests = [];
    for (let days = 100 - (n % 5); days > (hasLeft ? 45 : 0); days -= 5) {
      const other = days % 2 === 0 ? 'tripod' : 'memory-card';
      requests.push({
        op: 'track',
        profile: `person-${n}`,
        event: 'purchase',
        atEpochMillis: now - days * DAY_MILLIS,
        properties: {
          revenueMinor: (hasLeft ? 1_000 : 40_000) + n,
          currency: 'CNY',
          items: n % 4 < 2 ? [{ sku: 'camera' }, { sku: other }] : [{ sku: 'tea' }, { sku: 'cup' }],
        },
      });
    }
    for (const reply of await peer.askBatch(requests)) expect(reply).toMatchObject({ ok: true });
  }
  peer.close();
}

async function chosenFor(url: string, profile: string): Promise<string> {
  const peer = await WirePeer.connect(url);
  const { actions } = await peer.must({ op: 'decide', profile, slot: 'home', durability: 'committed' });
  peer.close();
  return actions[0].action;
}

describe('fits', () => {
  it('fits: the same request is answered by who leaves and who is worth much, kept over a restart, replayed alike', async () => {
    const catalog = writeCatalog(
      catalogText({
        actions: ACTIONS.slice(0, 2).map((action) =>
          action.replace('has(profile.churnProbability)', 'has(profile.age)'),
        ),
      }),
    );
    node = await RunningNode.start({ catalog });
    const { data } = node;
    const [nobody] = [await fitNow([], { data, json: true })];
    expect([nobody.code, JSON.parse(nobody.out).collected.people]).toEqual([EXIT.failed, 0]);
    await shop(node.url);
    expect(await chosenFor(node.url, 'person-0')).toBe('hello');
    expect(await chosenFor(node.url, 'person-1')).toBe('hello');

    const fitted = await fitNow([], { data, json: true });
    const { written, reports } = JSON.parse(fitted.out);
    const { info } = written;
    expect(fitted.code).toBe(EXIT.ok);
    expect(Object.entries(reports).filter(([, report]) => !(report as { isUsed: boolean }).isUsed)).toEqual([]);
    expect(info.people).toBe(80);
    // Nobody has them before a catalog declares them: then they come from the results that are there.
    writeCatalog(factCatalog(), catalog);
    await until(() => node?.stderr.includes('everybody has the facts') === true);
    expect(await chosenFor(node.url, 'person-0')).toBe('stay');
    expect(await chosenFor(node.url, 'person-1')).toBe('win-back');
    expect(await chosenFor(node.url, 'somebody-new')).toBe('hello');
    expect(await node.metric('opportune_fit_people')).toBe(80);
    expect(await node.metric('opportune_fit_good')).toBe(1);
    expect(await node.metric('opportune_fit_shards_pending')).toBe(0);
    expect(await node.metric('opportune_fit_time_seconds')).toBeGreaterThan(info.fit - 2);

    const peer = await WirePeer.connect(node.url);
    const { record } = await peer.must({ op: 'profile', profile: 'person-1' });
    expect(record.facts.churnProbability).toBeGreaterThan(0.8);
    expect(record.facts.segment).toMatch(/^s[1-8]$/);
    expect(Number.isSafeInteger(record.facts.lifetimeValueMinor)).toBe(true);
    expect(record.traits).toEqual({});
    expect(record.timeline.find(({ type }: { type: string }) => type === 'identify')).toMatchObject({ fit: info.fit });
    const refused = await peer.ask({ op: 'identify', profile: 'person-1', traits: { segment: 's1' } });
    expect(refused).toMatchObject({ ok: false, status: 'INVALID_ARGUMENT' });
    expect(refused.message).toContain('identify.traits.segment: a fact');
    peer.close();

    const answer = await node.json<{ related: { sku: string }[] }>('/v1/related?sku=camera');
    expect(answer.related.map(({ sku }) => sku).sort()).toEqual(['memory-card', 'tripod']);
    expect(await node.json('/v1/related?sku=nothing')).toMatchObject({ related: [] });
    expect((await node.get('/v1/related')).status).toBe(400);
    expect((await node.get('/v1/related?sku=camera&limit=0')).status).toBe(400);
    expect((await runCommand(related, ['tea'], { data })).out).toContain('cup');

    const folder = join(data, 'fits');
    const before = readFileSync(join(folder, 'results'));
    const lock = await FolderLock.acquire(folder);
    await expect(fitNow([], { data })).rejects.toThrow(`a fit is running already in process ${process.pid}`);
    await lock.release();
    const abort = new AbortController();
    const ended = fitNow([], { data }, abort.signal);
    abort.abort();
    await expect(ended).rejects.toThrow('the fit was ended');
    expect(readFileSync(join(folder, 'results'))).toEqual(before);
    expect(existsSync(join(folder, 'lock'))).toBe(false);

    // Fitted again with hardly anything new: nobody's record is written for it.
    const entries = await node.metric('opportune_journal_entries_total');
    await fitNow(['segments', 'purchases'], { data, json: true });
    await until(() => node?.stderr.split('everybody has the facts').length === 3);
    expect(await node.metric('opportune_journal_entries_total')).toBe(entries);
    expect(await node.stop()).toBe(0);

    node = await RunningNode.start({ catalog: writeCatalog(factCatalog()), data, workers: 3 });
    expect(await chosenFor(node.url, 'person-2')).toBe('stay');
    expect(await chosenFor(node.url, 'person-3')).toBe('win-back');
    await node.kill();
    node = await RunningNode.start({ catalog: writeCatalog(factCatalog()), data });
    expect(await chosenFor(node.url, 'person-5')).toBe('win-back');
    expect(node.stderr).not.toContain('facts taken');
    expect(await node.stop()).toBe(0);

    const all = JSON.parse((await runCommand(replay, [], { all: true, data, json: true })).out);
    expect(all.differences).toEqual([]);
    expect([all.different, all.recomputed, all.unreplayable]).toEqual([0, 8, []]);
  }, 60_000);

  it('fits: a server fits when one is due, and says so while its results are damaged and everybody keeps their facts', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(factCatalog()), words: ['--fit-every-hours', '0.0008'] });
    await shop(node.url);
    await until(
      () => /"msg":"fitted"/.test(node?.stderr ?? '') && node?.stderr.includes('everybody has the facts') === true,
    );
    expect(await node.stop()).toBe(0);
    const { data } = node;
    const path = join(data, 'fits', 'results');
    const bytes = readFileSync(path);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 1;
    writeFileSync(path, bytes);
    node = await RunningNode.start({ catalog: writeCatalog(factCatalog()), data, words: ['--fit-every-hours', '0'] });
    await until(() => node?.stderr.includes('have a damaged body') === true);
    expect(await node.metric('opportune_fit_good')).toBe(0);
    expect(await chosenFor(node.url, 'person-1')).toBe('win-back');
    await expect(runCommand(related, ['camera'], { data })).rejects.toThrow('damaged body');
    const again = JSON.parse((await fitNow([], { data, json: true })).out);
    expect(again.written.damage).toContain('damaged body');
    await until(async () => (await node?.metric('opportune_fit_good')) === 1);
  }, 60_000);

  it.each([
    ['a folder without a log', [], {}, 'there is no log'],
    ['a model that is none', ['segmnts'], {}, 'Did you mean segments?'],
    ['days that are none', [], { churnDays: '0' }, 'churn-days'],
  ])('fits: %s is refused, with what to do', async (_, words, options, text) => {
    const refused = fitNow(words, { data: temporaryFolder('empty'), ...options });
    await expect(
      refused.catch((error) => Promise.reject(new Error(`${error.message} ${error.advice}`))),
    ).rejects.toThrow(text);
  });
});
