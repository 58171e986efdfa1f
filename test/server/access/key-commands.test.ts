import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../../../server/cli.ts';
import type { CommandIo } from '../../../server/commands/command.ts';
import { tokenOf } from '../../../server/commands/token.ts';
import { temporaryFolder } from '../running-node.ts';

const folder = temporaryFolder('key-commands');
const file = join(folder, 'keys.json');

async function cli(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  const code = await runCli([...words], ioOf(environment, said));
  return { code, ...said };
}
function ioOf(environment: Readonly<Record<string, string>>, said = { out: '', err: '' }): CommandIo {
  return {
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
    hasColour: false,
    columns: 100,
    environment,
  };
}

describe('key', () => {
  it('key: made, listed, revoked; the key itself is on stdout once and nowhere else', async () => {
    const made = await cli([
      'key',
      'create',
      '--key-file',
      file,
      '--roles',
      'app,ingest',
      '--tenant',
      'acme',
      '--note',
      'web',
    ]);
    expect(made.code).toBe(0);
    expect(made.out).toMatch(/^opk_[0-9a-f]{16}_[\w-]{43}\n$/);
    const [, id = '', secret = ''] = /opk_(.{16})_(.{43})/.exec(made.out) ?? [];
    expect(made.err).not.toContain(secret);
    const listed = await cli(['key', 'list'], { OPPORTUNE_API_KEY_FILE: file });
    expect(listed.out).toMatch(new RegExp(`${id} +acme +app,ingest +no end +web`));
    const { out } = await cli(['key', 'list', '--key-file', file, '--json']);
    expect(JSON.parse(out)).toMatchObject([{ id, tenant: 'acme' }]);
    expect(out + listed.out + readFileSync(file, 'utf8')).not.toContain(secret);
    expect(out).not.toContain('sha256');
    expect((await cli(['key', 'revoke', id, '--key-file', file])).code).toBe(0);
    expect((await cli(['key', 'list', '--key-file', file])).out).toBe('no keys\n');
    const again = await cli(['key', 'revoke', id, '--key-file', file]);
    expect([again.code, again.err.includes('has no key')]).toEqual([1, true]);
  });
  it('key: an end in days is kept and shown', async () => {
    await cli(['key', 'create', '--key-file', file, '--roles', 'auditor', '--expires-days', '30']);
    expect((await cli(['key', 'list', '--key-file', file])).out).toMatch(/auditor +until \d{4}-/);
  });
  it.each([
    ['no roles', ['--key-file', file]],
    ['an unknown role', ['--key-file', file, '--roles', 'app,root']],
    ['a path as tenant', ['--key-file', file, '--roles', 'app', '--tenant', '../x']],
    ['an end of no days', ['--key-file', file, '--roles', 'app', '--expires-days', '0']],
    ['no file', ['--roles', 'app']],
  ])('key: %s is a wrong command line', async (_what, words) => {
    const { code, out } = await cli(['key', 'create', ...words]);
    expect([code, out]).toEqual([2, '']);
  });
});

describe('token of the client commands', () => {
  const path = join(folder, 'token');
  writeFileSync(path, 'from-file\n');
  it('token: from the variable or the file, never both, never a flag', async () => {
    expect(tokenOf(ioOf({}))).toBe('');
    expect(tokenOf(ioOf({ OPPORTUNE_TOKEN: 'x' }))).toBe('x');
    expect(tokenOf(ioOf({ OPPORTUNE_TOKEN_FILE: path }))).toBe('from-file');
    expect(() => tokenOf(ioOf({ OPPORTUNE_TOKEN: 'x', OPPORTUNE_TOKEN_FILE: path }))).toThrow('both');
    expect(() => tokenOf(ioOf({ OPPORTUNE_TOKEN_FILE: `${path}.absent` }))).toThrow('cannot read');
    const { code } = await cli(['decide', 'c-1', '--token', 'x']);
    expect(code).toBe(2);
  });
});
