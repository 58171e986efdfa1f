/** What an operator gets wrong at the start, by table: what happened, what to do about it, and the exit code. */
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunningNode, StartedProgram, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';

const catalog = writeCatalog(catalogText());
const taken = createServer();
let takenPort = 0;
let running: RunningNode;
beforeAll(async () => {
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  takenPort = (taken.address() as AddressInfo).port; // listening on TCP
  running = await RunningNode.start({ catalog });
});
afterAll(async () => {
  taken.close();
  expect((await running.get('/readyz')).status).toBe(200);
  expect(await running.stop()).toBe(0);
});

interface Refusal {
  readonly code: number;
  readonly stderr: string;
}
/** Starts what must not start. */
async function refused(words: Readonly<Record<string, string>>, user?: number): Promise<Refusal> {
  const all = {
    '--port': '0',
    '--admin-port': '0',
    '--shard-port': '0',
    '--catalog': catalog,
    '--workers': '2',
    ...words,
  };
  const program = new StartedProgram(['start', ...Object.entries(all).flat()], {}, user);
  const { code } = await program.ended;
  expect(program.stdout).toBe('');
  return { code: code ?? -1, stderr: program.stderr };
}

describe('a start that cannot work', () => {
  it('data folder in use: names the process that has it, exit 1, and the running server does not notice', async () => {
    const { code, stderr } = await refused({ '--data': running.data });
    expect(stderr).toContain(`${running.data} is in use by process ${running.pid}`);
    expect(stderr).toContain('--data');
    expect(code).toBe(1);
  });

  it('data folder is a file: says so, exit 1', async () => {
    const file = join(temporaryFolder('file'), 'data');
    writeFileSync(file, 'not a folder');
    const { code, stderr } = await refused({ '--data': file });
    expect(stderr).toMatch(/is a file.*Name a folder with --data/);
    expect(code).toBe(1);
  });

  it('data folder of another program: refused before anything is written, exit 1', async () => {
    const folder = temporaryFolder('foreign');
    writeFileSync(join(folder, 'thesis.tex'), '');
    const { code, stderr } = await refused({ '--data': folder });
    expect(stderr).toContain('thesis.tex');
    expect(code).toBe(1);
  });

  it('data folder not writable: says so and what to do, exit 1', async () => {
    const folder = temporaryFolder('unwritable');
    const data = join(folder, 'data');
    mkdirSync(data);
    chmodSync(data, 0o500);
    chmodSync(folder, 0o755);
    // Root may write anywhere, so that the server is started as nobody.
    const isRoot = process.getuid?.() === 0;
    const own = temporaryFolder('readable');
    cpSync(catalog, join(own, 'catalog.yaml'));
    chmodSync(own, 0o755);
    const user = isRoot ? 65_534 : undefined;
    const { code, stderr } = await refused({ '--data': data, '--catalog': join(own, 'catalog.yaml') }, user);
    expect(stderr).toMatch(/may not write in .*data\. Change its owner or mode, or name another folder with --data/);
    expect(code).toBe(1);
  });

  it.each([
    ['--port', 'the WebSocket port'],
    ['--admin-port', 'the admin port'],
    ['--shard-port', "a worker's own port"],
  ])('%s in use: names it and the option, exit 1', async (option) => {
    for (const transport of ['uws', 'ws']) {
      const data = temporaryFolder('port');
      const { code, stderr } = await refused({ '--data': data, '--transport': transport, [option]: String(takenPort) });
      expect(stderr).toMatch(new RegExp(`opportune: .*port ${takenPort} .*in use`));
      expect(stderr).toContain(option);
      expect(stderr).not.toContain('    at ');
      expect(code).toBe(1);
    }
  });

  it('port of a running server: refused too, though the native transport could share it', async () => {
    const port = new URL(running.url).port;
    const { code, stderr } = await refused({ '--data': temporaryFolder('port'), '--port': port });
    expect(stderr).toContain(`port ${port}`);
    expect(code).toBe(1);
  });

  it('catalog broken: line, reason and nearest name, exit 1', async () => {
    const broken = writeCatalog(catalogText().replace('valueMinor: 900', 'valuMinor: 900'));
    const { code, stderr } = await refused({ '--data': temporaryFolder('catalog'), '--catalog': broken });
    expect(stderr).toMatch(/catalog\.yaml:\d+/);
    expect(stderr).toContain('valuMinor');
    expect(stderr).toContain('valueMinor');
    expect(stderr).not.toContain('bug');
    expect(code).toBe(1);
  });

  it('catalog missing: names the file, exit 1', async () => {
    const missing = join(temporaryFolder('nothing'), 'catalog.yaml');
    const { code, stderr } = await refused({ '--data': temporaryFolder('catalog'), '--catalog': missing });
    expect(stderr).toContain(missing);
    expect(stderr).not.toContain('bug');
    expect(code).toBe(1);
  });

  it('after every refusal: the same folder starts once what was wrong is mended', async () => {
    const data = temporaryFolder('mended');
    expect((await refused({ '--data': data, '--port': String(takenPort) })).code).toBe(1);
    expect((await refused({ '--data': data, '--admin-port': String(takenPort) })).code).toBe(1);
    expect((await refused({ '--data': data, '--shard-port': String(takenPort) })).code).toBe(1);
    const node = await RunningNode.start({ data, catalog });
    expect(await node.stop()).toBe(0);
  });
});
