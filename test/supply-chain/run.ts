/**
 * `npm run supply-chain`: lock file, licences, audit and the list of what is shipped. `--write` renews
 * docs/LICENCES.md, `--sbom FILE` writes the CycloneDX list, `--offline` leaves the audit out. Exit 1: a problem;
 * exit 3: all else is in order but the audit could not be asked for.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { judgeAudit } from './audit-report.ts';
import {
  type LockFile,
  licencesPage,
  lockProblems,
  type Manifest,
  shippedPackages,
  unhashedTools,
} from './lock-file.ts';
import { makeSbom } from './sbom.ts';

const ROOT = resolve('.');
const ANSWERS = 'test/supply-chain/audit-answers.json';
const LICENCES = 'docs/LICENCES.md';

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

const { values } = parseArgs({
  options: { write: { type: 'boolean' }, sbom: { type: 'string' }, offline: { type: 'boolean' } },
  strict: true,
});
const lock = JSON.parse(read('package-lock.json')) as LockFile; // npm's own format; members are checked one by one
const problems = lockProblems(JSON.parse(read('package.json')) as Manifest, lock); // as above
const say = (line: string): unknown => process.stdout.write(`${line}\n`);
say(`lock file  ${shippedPackages(lock).length} packages shipped, exact versions, hashes`);
say(`           ${unhashedTools(lock)} development tools of other platforms have no hash`);
const page = licencesPage(lock);
if (values.write === true) writeFileSync(join(ROOT, LICENCES), page);
else if (read(LICENCES) !== page) problems.push(`${LICENCES} is not up to date: npm run supply-chain -- --write`);
say(`licences   ${LICENCES}`);
const sbom = makeSbom(ROOT, shippedPackages(lock));
if (values.sbom !== undefined) writeFileSync(values.sbom, `${JSON.stringify(sbom, null, 2)}\n`);
say(
  `SBOM       CycloneDX ${sbom.specVersion}, ${sbom.components.length} components${values.sbom === undefined ? '' : ` in ${values.sbom}`}`,
);
if (values.offline === true) say('audit      left out');
else {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { cwd: ROOT, encoding: 'utf8' });
  const verdict = judgeAudit(stdout, JSON.parse(read(ANSWERS)) as Record<string, string>); // texts by address
  if (verdict.kind === 'judged') {
    say(`audit      ${verdict.findings} findings, each answered in ${ANSWERS}`);
    problems.push(...verdict.problems);
  } else {
    say(`audit      NOT DONE: ${verdict.reason}`);
    process.exitCode = 3;
  }
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
if (problems.length > 0) process.exitCode = 1;
