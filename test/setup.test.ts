import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../server/package-version.ts';

// A clone with an npm, a compiler and a bundler of our own, so that the test needs no network and no minutes.
const NPM = `const fs = require('node:fs');
fs.appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
if (fs.existsSync('npm-fails')) { console.error('no network'); process.exit(1); }
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.copyFileSync('fake-tsc.js', 'node_modules/typescript/bin/tsc');
fs.mkdirSync('node_modules/rolldown/bin', { recursive: true });
fs.copyFileSync('fake-rolldown.mjs', 'node_modules/rolldown/bin/cli.mjs');`;
const TSC = `const fs = require('node:fs');
fs.appendFileSync('tsc-calls', 'x');
if (fs.existsSync('tsc-fails')) { console.log('a.ts(1,1): error TS1'); process.exit(2); }
fs.mkdirSync('dist/server', { recursive: true });
if (!fs.existsSync('dist/.tsbuildinfo')) fs.writeFileSync('dist/.tsbuildinfo', '{}');
fs.writeFileSync('dist/server/cli.js', 'console.log(JSON.stringify(process.argv.slice(2)))');`;
const ROLLDOWN = `import fs from 'node:fs';
if (fs.existsSync('rolldown-fails')) { console.error('cannot resolve ./x.js'); process.exit(1); }
fs.writeFileSync('dist/server/shard-thread.bundle.js', '');
console.log('a table of sizes');`;

let clone = '';
beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'opportune-setup-'));
  cpSync(join(packageRoot(), 'setup.mjs'), join(clone, 'setup.mjs'));
  put('package.json', '{"type":"commonjs"}');
  put('package-lock.json', '{}');
  put('tsconfig.json', '{}');
  put('server/cli.ts', '');
  put('fake-npm.js', NPM);
  put('fake-tsc.js', TSC);
  put('fake-rolldown.mjs', ROLLDOWN);
  put('rolldown.config.mjs', '');
});
afterEach(() => rmSync(clone, { recursive: true }));

function put(name: string, content: string): void {
  mkdirSync(dirname(join(clone, name)), { recursive: true });
  writeFileSync(join(clone, name), content);
}

function setup(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, npm_execpath: join(clone, 'fake-npm.js') };
  return spawnSync(process.execPath, [join(clone, 'setup.mjs'), ...words], { cwd: tmpdir(), encoding: 'utf8', env });
}

const calls = (name: string): string => (existsSync(join(clone, name)) ? readFileSync(join(clone, name), 'utf8') : '');

/** Makes a file newer than anything written before, without waiting. */
function touch(name: string): void {
  const later = new Date(Date.UTC(2100, 0, 1));
  utimesSync(join(clone, name), later, later);
}

describe('setup', () => {
  it('setup: installs and builds a fresh clone, then does nothing', () => {
    const first = setup();
    expect(first).toMatchObject({ status: 0, stdout: '' });
    expect(first.stderr).toContain('Installing');
    expect(first.stderr).toContain('Building');
    expect(first.stderr).not.toContain('sizes');
    expect(calls('npm-calls')).toMatch(/^ci /);
    expect(setup()).toEqual(expect.objectContaining({ status: 0, stdout: '', stderr: '' }));
    expect(calls('npm-calls').split('\n')).toHaveLength(2);
    expect(calls('tsc-calls')).toBe('x');
  });
  it('setup: installs again when the lock file has changed, and with npm install where there is none', () => {
    setup();
    put('package-lock.json', '{"changed":true}');
    setup();
    rmSync(join(clone, 'package-lock.json'));
    setup();
    expect(
      calls('npm-calls')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(['ci', 'ci', 'install']);
  });
  it('setup: builds again when a source is newer, and only then', () => {
    setup();
    touch('server/cli.ts');
    setup();
    setup();
    expect(calls('tsc-calls')).toBe('xx');
    for (const name of ['cli.js', 'shard-thread.bundle.js']) {
      rmSync(join(clone, 'dist', 'server', name));
      expect(setup().status).toBe(0);
      expect(existsSync(join(clone, 'dist', 'server', name))).toBe(true);
    }
  });
  it('setup: a failed bundle says why, and is made again next time', () => {
    setup();
    put('rolldown-fails', '');
    touch('server/cli.ts');
    for (let n = 0; n < 2; n++) {
      const failed = setup();
      expect(failed.status).toBe(1);
      expect(failed.stderr).toContain('cannot resolve ./x.js');
      expect(failed.stderr).toContain('The bundler failed');
    }
    rmSync(join(clone, 'rolldown-fails'));
    expect(setup().status).toBe(0);
  });
  it('setup: --quiet says nothing when all goes well and everything when it does not', () => {
    expect(setup('--quiet').stderr).toBe('');
    put('tsc-fails', '');
    put('server/new.ts', '');
    touch('server/new.ts');
    const failed = setup('--quiet');
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain('error TS1');
    expect(failed.stderr).toContain('The build failed');
  });
  it('setup: a failed install ends it before the build and is tried again next time', () => {
    put('npm-fails', '');
    const failed = setup();
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain('no network');
    expect(failed.stderr).toContain('try again');
    expect(calls('tsc-calls')).toBe('');
    rmSync(join(clone, 'npm-fails'));
    expect(setup().status).toBe(0);
  });
  it('setup: runs a script afterwards with its words, in the same process', () => {
    const result = setup('--quiet', 'dist/server/cli.js', 'start', '--port', '0');
    expect(result.stdout).toBe('["start","--port","0"]\n');
  });
});
