/** Who asked for which decision: on a running server with tokens, over both workers and every door, for the person; replayed. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { createApiKey } from '../../server/access/api-keys.ts';
import type { Role } from '../../server/access/roles.ts';
import { run as showDataUse } from '../../server/commands/data-use.ts';
import { run as showLog } from '../../server/commands/log.ts';
import { run as replay } from '../../server/commands/replay-decision.ts';
import { epochMillis } from '../../workers/clock.ts';
import { withToken } from './access/upgrade-answer.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const folder = temporaryFolder('asked-by');
const apiKeyFile = join(folder, 'keys.json');
const keyOf = (roles: readonly Role[]) =>
  createApiKey(apiKeyFile, { roles, tenant: 'default', expiresAtEpochMillis: null, note: '' }, epochMillis());
/** A person of each worker of two: one connection's requests about the other go over the link. */
const [ann, bob] = [0, 1].map((worker) => {
  for (let n = 0; ; n++) if (partitionOfKey(`person-${n}`) >> 7 === worker) return `person-${n}`;
}) as [string, string];

it('each token is named beside the decisions it asked for, and no other', async () => {
  const [shop, mailer, privacy] = [keyOf(['app']), keyOf(['app', 'ingest']), keyOf(['privacy'])];
  const catalog = writeCatalog(catalogText());
  const node = await RunningNode.start({ catalog, workers: 2, words: ['--api-key-file', apiKeyFile] });
  const peers = await Promise.all(
    [shop, mailer].map(({ key }) => WirePeer.connect(node.url, 'msgpack', withToken(key))),
  );
  const decide = (profile: string) => ({ op: 'decide', profile, slot: 'home', durability: 'committed' });
  // At once, so that both are in one batch of a worker, and of the link.
  await Promise.all(peers.map((peer) => peer.askBatch([decide(ann), decide(bob)])));
  for (const profile of [ann, bob]) {
    const { status } = await fetch(`${node.admin}/v1/decide`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${mailer.key}` },
      body: JSON.stringify({ profile, slot: 'home', durability: 'committed' }),
    });
    expect(status).toBe(200);
  }
  const [asShop, asMailer] = [`key:${shop.record.id}`, `key:${mailer.record.id}`];
  for (const profile of [ann, bob]) {
    const { out } = await runCommand(showDataUse, [profile], { url: node.url }, { OPPORTUNE_TOKEN: privacy.key });
    const uses = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { askedBy: string; ruleGroups: object });
    expect(uses.map(({ askedBy }) => askedBy).sort()).toEqual([asShop, asMailer, asMailer].sort());
    expect(uses[0]?.ruleGroups).toEqual({});
  }
  for (const peer of peers) peer.close();
  const { data } = node;
  expect(await node.stop()).toBe(0);
  const log = await runCommand(showLog, [], { data, catalog, type: 'decision' });
  expect(log.out.match(/"askedBy":"key:/g)).toHaveLength(6);
  expect(log.out).not.toContain(shop.key);
  const again = await runCommand(replay, [], { all: true, data, json: true });
  expect(JSON.parse(again.out)).toMatchObject({ decisions: 6, different: 0, differences: [] });
}, 60_000);
