/** An import whose server refuses it, goes away, or ends its token: it stops with what to do, and goes on afterwards. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createApiKey, revokeApiKey } from '../../../server/access/api-keys.ts';
import type { Role } from '../../../server/access/roles.ts';
import { EXIT } from '../../../server/commands/command.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { withToken } from '../access/upgrade-answer.ts';
import { RunningNode, StartedProgram, temporaryFolder, until } from '../running-node.ts';
import { sampleOfEventsOnly, writeCatalog } from '../test-catalogs.ts';
import { WirePeer } from '../wire-peer.ts';

const folder = temporaryFolder('import-node');
const apiKeyFile = join(folder, 'keys.json');
const ROWS = 60_000;
const PEOPLE = 60;

function keyOf(role: Role): { key: string; id: string } {
  const made = createApiKey(
    apiKeyFile,
    { roles: [role], tenant: 'default', expiresAtEpochMillis: null, note: '' },
    epochMillis(),
  );
  return { key: made.key, id: made.record.id };
}

it('an import stops at once for a role or token, after its bound for a server that is gone, and loses nothing', async () => {
  const [auditor, doomed, app] = [keyOf('auditor'), keyOf('ingest'), keyOf('app')];
  const data = join(folder, 'data');
  const catalog = writeCatalog(sampleOfEventsOnly());
  const start = (): Promise<RunningNode> => RunningNode.start({ data, catalog, words: ['--api-key-file', apiKeyFile] });
  const path = join(folder, 'long.ndjson');
  const rows = Array.from(
    { length: ROWS },
    (_, i) => `{"user":{"id":"imp-${i % PEOPLE}"},"at":1764000000000,"page":"/"}`,
  );
  writeFileSync(path, rows.join('\n'));
  const note = `${path}.import.json`;
  const lineOf = (): number =>
    existsSync(note) ? (JSON.parse(readFileSync(note, 'utf8')) as { line: number }).line : 0;
  const importing = (node: RunningNode, token: string): StartedProgram => {
    const words = ['import', path, '--mapping', 'mappings/import/web-log.yaml', '--url', node.url, '--timeout', '1000'];
    return new StartedProgram(words, { OPPORTUNE_TOKEN: token });
  };

  let node = await start();
  const refused = importing(node, auditor.key);
  expect((await refused.ended).code).toBe(EXIT.refused);
  expect(refused.stderr).toMatch(/PERMISSION_DENIED 1201.*\n.*role `ingest`/);
  expect(lineOf()).toBe(0);

  const left = importing(node, app.key);
  await until(() => lineOf() > 0);
  await node.kill();
  expect((await left.ended).code).toBe(EXIT.failed);
  expect(left.stderr).toMatch(/waiting for .*: not connected to/);
  expect(left.stderr).toMatch(/no row was taken for \d+ s.*imported up to line \d+/);
  const reached = lineOf();

  node = await start();
  const revoked = importing(node, doomed.key);
  await until(() => lineOf() > reached);
  revokeApiKey(apiKeyFile, doomed.id);
  node.child.kill('SIGHUP');
  expect((await revoked.ended).code).toBe(EXIT.refused);
  expect(revoked.stderr).toMatch(/UNAUTHENTICATED 1101: the token has ended/);
  expect(lineOf()).toBeLessThan(ROWS);

  const last = importing(node, app.key);
  expect((await last.ended).code, last.stderr).toBe(EXIT.ok);
  const peer = await WirePeer.connect(node.url, 'msgpack', withToken(app.key));
  let total = 0;
  for (let i = 0; i < PEOPLE; i++) total += (await peer.must({ op: 'profile', profile: `imp-${i}` })).stateSeq;
  expect(total).toBe(ROWS);
  peer.close();
  await node.stop();
});

it('traits told at an instant do not replace what was told since, in whatever order the exports come', async () => {
  const folder = temporaryFolder('import-told');
  const mapping = join(folder, 'mapping.yaml');
  writeFileSync(
    mapping,
    `version: 1
name: told
profile: { column: key }
traits: { age: { column: age, type: integer }, loyalty: { column: tier } }
told: { column: updated }
`,
  );
  const node = await RunningNode.start();
  const peer = await WirePeer.connect(node.url);
  const ageOf = async (profile: string): Promise<unknown> =>
    (await peer.must({ op: 'profile', profile })).record.traits;
  const importRows = async (name: string, ...rows: string[]): Promise<void> => {
    const path = join(folder, `${name}.csv`);
    writeFileSync(path, `key,age,tier,updated\n${rows.join('\n')}\n`);
    const done = new StartedProgram(['import', path, '--mapping', mapping, '--url', node.url]);
    expect((await done.ended).code, done.stderr).toBe(EXIT.ok);
  };
  await importRows('new', 'ann,41,gold,2026-03-01T00:00:00Z', 'ann,40,,2026-02-01T00:00:00Z');
  expect(await ageOf('ann')).toEqual({ age: 41, loyalty: 'gold' });
  await importRows('old', 'ann,39,silver,2025-01-01T00:00:00Z', 'bob,20,silver,2025-01-01T00:00:00Z');
  expect(await ageOf('ann')).toEqual({ age: 41, loyalty: 'gold' });
  expect(await ageOf('bob')).toEqual({ age: 20, loyalty: 'silver' });
  await importRows('newest', 'ann,42,,2026-11-01T00:00:00Z');
  expect(await ageOf('ann')).toEqual({ age: 42, loyalty: 'gold' });
  peer.close();
  expect(await node.stop()).toBe(0);
});
