/** Journeys on the running server: the next answer weighs by the stage, over kill -9, timers, and two keys of one person. */
import { afterEach, describe, expect, it } from 'vitest';
import { epochMillis } from '../../workers/clock.ts';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { ReceivingServer } from './webhooks/receiving-server.ts';
import { WirePeer } from './wire-peer.ts';

const TEXT = `version: 1
name: stages
currency: EUR
timeZone: UTC
channels: { app: {} }
slots: { home: { channels: [app] } }
journeys:
  life:
    stages:
      aware: { when: 'count("view", "7d") > 0' }
      customer: { when: 'count("purchase", "7d") > 0', goal: true, weights: { actions: { welcome: 0 } },
        timer: { after: 3s, to: lapsing } }
      lapsing: { weights: { actions: { welcome: 0, again: 0 } } }
actions:
  - { key: welcome, channels: [app], valueMinor: 100 }
  - { key: again, channels: [app], valueMinor: 100, eligibility: '!stage("life", "aware")' }
`;
const catalog = writeCatalog(TEXT);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

interface Row {
  readonly changes?: readonly { readonly kind: string; readonly subject: string; readonly stage?: string }[];
}

describe('journeys on a node', () => {
  it('move people at once and by time, over a crash and other workers, and say so', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data } = node;
    const peer = await WirePeer.connect(node.url);
    /** Actions worth something. */
    const worthy = async (from: WirePeer, profile: string): Promise<string[]> => {
      const { actions } = await from.must({ op: 'decide', profile, slot: 'home', count: 2, dryRun: true });
      return actions
        .filter(({ score }: { score: number }) => score !== 0)
        .map(({ action }: { action: string }) => action);
    };
    const people = ['ann', 'bob', 'cid', 'dee'];
    for (const profile of people) {
      await peer.must({ op: 'track', profile, event: 'view' });
      expect(await worthy(peer, profile)).toEqual(['welcome']);
      await peer.must({ op: 'track', profile, event: 'purchase' });
      expect(await worthy(peer, profile)).toEqual(['again']);
    }
    const { record: before } = await peer.must({ op: 'profile', profile: 'ann' });
    const { sinceEpochMillis } = before.journeys.life;
    expect(before.journeys.life).toMatchObject({
      stage: 'customer',
      goalReachedAtEpochMillis: sinceEpochMillis,
      next: { stage: 'lapsing', atEpochMillis: sinceEpochMillis + 3_000 },
    });
    // Somebody new turns out to be ann: longest a customer, and no welcome at login.
    await peer.must({ op: 'track', profile: 'cookie-7', event: 'view' });
    await peer.must({ op: 'alias', from: 'cookie-7', to: 'ann' });
    expect(await worthy(peer, 'cookie-7')).toEqual(['again']);
    await node.kill();
    node = await RunningNode.start({ catalog, workers: 1, data });
    const again = await WirePeer.connect(node.url);
    await until(() => epochMillis() > sinceEpochMillis + 6_000);
    for (const profile of [...people, 'cookie-7']) {
      expect(await worthy(again, profile)).toEqual([]);
      const { record } = await again.must({ op: 'profile', profile });
      expect(record.journeys.life).toMatchObject({ stage: 'lapsing', next: null });
      const { sinceEpochMillis: since, goalReachedAtEpochMillis: goalAt } = record.journeys.life;
      expect(since).toBe(goalAt + 3_000);
      const moves = (record.timeline as Row[]).flatMap(({ changes = [] }) => changes); // as PROTOCOL.md has it
      expect(moves).toContainEqual(expect.objectContaining({ kind: 'stage', subject: 'life', stage: 'lapsing' }));
    }
    expect(await node.stop()).toBe(0);
  });

  it('are told of to a webhook, in their order', async () => {
    const endpoint = new ReceivingServer();
    const base = await endpoint.listen();
    const told = writeCatalog(
      `webhooks: { crm: { url: '${base}/life', secret: crm, journeys: [life] } }\n${TEXT.replace(
        'stages:',
        `exit: 'count("leave", "7d") > 0'\n    stages:`,
      )}`,
    );
    const environment = { OPPORTUNE_WEBHOOK_SECRET_CRM: `whsec_${endpoint.secret.toString('base64')}` };
    node = await RunningNode.start({ catalog: told, words: ['--allow-private-webhooks'], environment });
    const peer = await WirePeer.connect(node.url);
    for (const event of ['view', 'purchase', 'leave']) await peer.must({ op: 'track', profile: 'ann', event });
    await until(() => endpoint.taken('/life').length === 3);
    const messages = endpoint.taken('/life').map(({ isSigned, type, data }) => ({ isSigned, type, ...data }));
    expect(messages).toMatchObject([
      { isSigned: true, type: 'stage.entered', journey: 'life', stage: 'aware' },
      { isSigned: true, type: 'stage.entered', journey: 'life', stage: 'customer' },
      { isSigned: true, type: 'journey.left', journey: 'life' },
    ]);
    expect(await node.stop()).toBe(0);
    await endpoint.close();
  });
});
