import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadPinnedBinary } from '../../server/uws-native.ts';
import { REPOSITORY, readRepositoryFile } from '../repository/repository-files.ts';
import { temporaryFolder } from '../workers/store/temporary-folder.ts';
import { judgeAudit } from './audit-report.ts';
import { type LockFile, licencesPage, lockProblems, type Manifest, shippedPackages } from './lock-file.ts';
import { componentName, makeSbom } from './sbom.ts';

const lock = JSON.parse(readRepositoryFile('package-lock.json')) as LockFile; // looked at member by member
const manifest = JSON.parse(readRepositoryFile('package.json')) as Manifest; // as above

describe('lock file', () => {
  it('lock file: exact versions, one registry, a hash and an allowed licence for all that is shipped', () => {
    expect(lockProblems(manifest, lock)).toEqual([]);
  });

  const good = { version: '1.0.0', integrity: 'sha512-a', license: 'MIT' };
  it.each([
    ['a range', { a: '^1.0.0' }, good, 'not exactly'],
    ['a tag', { a: 'latest' }, good, 'not exactly'],
    ['another version than the lock', { a: '1.0.1' }, good, 'is locked as 1.0.0'],
    ['no entry in the lock', { a: '1.0.0', b: '1.0.0' }, good, 'locked as nothing'],
    ['no hash', { a: '1.0.0' }, { version: '1.0.0', license: 'MIT' }, 'has no hash'],
    ['a weak hash', { a: '1.0.0' }, { ...good, integrity: 'sha1-a' }, 'weaker'],
    ['another registry', { a: '1.0.0' }, { ...good, resolved: 'https://evil.example/a.tgz' }, 'comes from'],
    ['a git address', { a: '1.0.0' }, { ...good, resolved: 'git+ssh://git@github.com/a/b.git' }, 'comes from'],
    ['a licence that asks for more', { a: '1.0.0' }, { ...good, license: 'AGPL-3.0' }, 'licence AGPL-3.0'],
    ['no licence', { a: '1.0.0' }, { version: '1.0.0', integrity: 'sha512-a' }, 'none stated'],
    ['one licence of two not allowed', { a: '1.0.0' }, { ...good, license: '(MIT AND GPL-3.0)' }, 'GPL-3.0'],
  ])('lockProblems: one when a dependency has %s', (_, dependencies, entry, words) => {
    const problems = lockProblems({ dependencies }, { lockfileVersion: 3, packages: { 'node_modules/a': entry } });
    expect(problems).toEqual([expect.stringContaining(words)]);
  });

  it('lockProblems: none when a dependency is as it should be', () => {
    const packages = { '': { version: '0' }, 'node_modules/a': good };
    expect(lockProblems({ dependencies: { a: '1.0.0' } }, { lockfileVersion: 3, packages })).toEqual([]);
  });

  it('docs/LICENCES.md: names every shipped package of the lock file', () => {
    expect(readRepositoryFile('docs/LICENCES.md')).toBe(licencesPage(lock));
  });
});

describe('SBOM', () => {
  it('SBOM: is CycloneDX and names every shipped package that is installed, and no tool', () => {
    const sbom = makeSbom(REPOSITORY, shippedPackages(lock));
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'opportune' } } });
    const hidden = readFileSync(`${REPOSITORY}/node_modules/.package-lock.json`, 'utf8'); // what npm installed
    const installed = shippedPackages(JSON.parse(hidden) as LockFile).map(({ name, version }) => `${name}@${version}`);
    const listed = sbom.components.map(componentName);
    expect(installed.length).toBeGreaterThan(50);
    expect([...new Set(listed)].sort()).toEqual(installed.sort());
    expect(listed.some((name) => name.startsWith('vitest@'))).toBe(false);
  });
});

describe('judgeAudit', () => {
  const advisory = { url: 'https://github.com/advisories/GHSA-1', title: 'bad', severity: 'high' };
  const report = JSON.stringify({ vulnerabilities: { a: { via: [advisory] }, b: { via: ['a'] } } });

  it.each([
    ['no finding and no answer', '{"vulnerabilities":{}}', {}, 0, []],
    ['a finding that is answered', report, { [advisory.url]: 'the function is never called' }, 1, []],
    ['a finding without an answer', report, {}, 1, [expect.stringContaining('has no answer')]],
    ['a finding with an empty answer', report, { [advisory.url]: ' ' }, 1, [expect.stringContaining('has no answer')]],
    ['an answer to nothing', '{"vulnerabilities":{}}', { x: 'y' }, 0, [expect.stringContaining('answers no finding')]],
  ])('judgeAudit: as it should when there is %s', (_, output, answers, findings, problems) => {
    expect(judgeAudit(output, answers)).toEqual({ kind: 'judged', findings, problems });
  });

  it.each([
    ['nothing', ''],
    ['an error of the registry', '{"message":"405 Method Not Allowed"}'],
    ['a web page', '<html></html>'],
  ])('judgeAudit: is not taken for clean when npm gave %s', (_, output) => {
    expect(judgeAudit(output, {}).kind).toBe('unreachable');
  });
});

it('native transport: a file with another SHA-256 than the pinned one is refused', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'uws_linux_x64_115.node'), 'not the build');
  const reason = expect.stringContaining('is not the pinned build');
  expect(loadPinnedBinary(folder, 'linux_x64_115')).toMatchObject({ library: undefined, reason });
});

describe('SECURITY.md', () => {
  const rows = readRepositoryFile('SECURITY.md')
    .split('\n')
    .filter((line) => /^\| B\d/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );

  it('threat model: each row has its six cells, and each boundary has a row', () => {
    for (const cells of rows) expect(cells, cells.join()).toHaveLength(6);
    const boundaries = new Set(rows.flatMap(([boundary = '']) => boundary.split(' ')));
    expect([...boundaries].sort()).toEqual(['B1', 'B2', 'B3', 'B4', 'B5']);
  });

  it('threat model: names a test that exists, or says that nothing stops it', () => {
    for (const [, , tries, , defence = '', test = ''] of rows) {
      const path = /^`(test\/[\w./-]+\.test\.ts)`$/.exec(test)?.[1];
      if (path === undefined) expect([test, defence], tries).toEqual(['none', expect.stringMatching(/\bnot\b/)]);
      else expect(existsSync(join(REPOSITORY, path)), path).toBe(true);
    }
  });
});
