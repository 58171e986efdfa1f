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
  const start = (): Promise<RunningNode> => RunningNode.start({ data, words: ['--api-key-file', apiKeyFile] });
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
