/** `opportune replay-decision` on the data folder of a real server: two workers that learn, a restart, a reload. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../server/commands/command.ts';
import { run } from '../../server/commands/replay-decision.ts';
import { OperatorError } from '../../server/operator-error.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const RETAIL = readFileSync('catalogs/retail.yaml', 'utf8');
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

const replay = (words: string[], options: Record<string, string | boolean>) => runCommand(run, words, options);

/** Decisions and what comes of them; returns the ids. */
async function shop(url: string, people: number, from: number): Promise<string[]> {
  const peer = await WirePeer.connect(url);
  const ids: string[] = [];
  for (let n = from; n < from + people * 3; n++) {
    const profile = `person-${n % people}`;
    const loyalty = n % 2 === 0 ? 'gold' : 'silver';
    if (n % 3 === 0) await peer.must({ op: 'identify', profile, traits: { age: 20 + (n % 50), loyalty } });
    const request = {
      op: 'decide',
      profile,
      slot: n % 2 === 0 ? 'home' : 'product-page',
      context: { page: 'machine' },
    };
    const decided: WireReply = await peer.must(n % 4 === 0 ? { ...request, sku: 'cup-set' } : request);
    ids.push(decided.decisionId as string);
    const event = ['impression', 'click', 'purchase'][n % 3];
    await peer.must({ op: 'track', profile, event, decisionId: decided.decisionId });
  }
  peer.close();
  return ids;
}

describe('replay-decision', () => {
  it('a server with two workers, restarted and its catalog reloaded: every decision is the same in every bit', async () => {
    const catalog = writeCatalog(RETAIL);
    node = await RunningNode.start({ catalog });
    const { data, url } = node;
    const ids = await shop(url, 8, 0);
    // More than the time between two exchanges.
    await new Promise((wake) => setTimeout(wake, 300));
    ids.push(...(await shop(url, 8, 1000)));
    expect(await node.stop()).toBe(0);
    node = await RunningNode.start({ catalog, data, workers: 3 });
    ids.push(...(await shop(node.url, 8, 2000)));
    writeCatalog(RETAIL.replace('explorationProbability: 0.02', 'explorationProbability: 0.2'), catalog);
    const { url: reloaded } = node;
    const peer = await WirePeer.connect(reloaded);
    const { catalogVersion } = await peer.must({ op: 'decide', profile: 'watch', dryRun: true });
    for (let now = catalogVersion; now === catalogVersion; ) {
      await new Promise((wake) => setTimeout(wake, 20));
      now = (await peer.must({ op: 'decide', profile: 'watch', dryRun: true })).catalogVersion;
    }
    peer.close();
    ids.push(...(await shop(node.url, 8, 3000)));
    expect(await node.stop()).toBe(0);

    const all = await replay([], { all: true, data, json: true });
    const result = JSON.parse(all.out);
    expect(result.differences).toEqual([]);
    expect(result.unreplayable).toEqual([]);
    expect([all.code, result.recomputed, result.different]).toEqual([EXIT.ok, ids.length, 0]);

    const [id = ''] = ids.slice(-3);
    const one = await replay([id], { data });
    expect(one.code).toBe(EXIT.ok);
    expect(one.out).toContain(`"decisionId": "${id}"`);
    expect(one.out).toContain('1 decision recomputed, 0 different');
  }, 60_000);

  it.each([
    ['neither id nor --all', [], {}, 'which decision?'],
    ['both', ['x'], { all: true }, 'which decision?'],
    ['no id of ours', ['abc'], {}, 'is not a decision'],
    ['a folder without a log', [], { all: true, data: temporaryFolder('empty') }, 'there is no log'],
  ])('%s: refused, with what to do', async (_, words, options, text) => {
    await expect(replay(words, options)).rejects.toThrow(OperatorError);
    await expect(replay(words, options)).rejects.toThrow(text);
  });
});
