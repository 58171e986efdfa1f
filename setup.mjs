/**
 * Makes a fresh clone runnable: installs what is missing, then builds what has changed. Run before
 * `npm start` and `npm test`, it needs Node and npm only, uses nothing but Node's own modules, and
 * does nothing (in a few milliseconds) when all is in place.
 *
 *   node setup.mjs [--quiet] [SCRIPT words…]
 *
 * With a script, that is run afterwards in this same process, so that a signal to it needs nobody to
 * pass it on: `node setup.mjs dist/server/cli.js start --port 0`.
 *
 * Installed means: node_modules/.opportune-install holds the hash of package-lock.json (or of
 * package.json where there is no lock) and the Node major version. Built means: no source is newer than dist/.tsbuildinfo.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const isQuiet = process.argv[2] === '--quiet';
const [script, ...words] = process.argv.slice(isQuiet ? 3 : 2);
const [nodeMajor, nodeMinor] = process.versions.node.split('.').map(Number);
const marker = join(root, 'node_modules', '.opportune-install');
const buildInfo = join(root, 'dist', '.tsbuildinfo');
const program = join(root, 'dist', 'server', 'cli.js');
const bundle = join(root, 'dist', 'server', 'shard-thread.bundle.js');
const sourceFolders = [
  'proto',
  'decision',
  'actors',
  'workers',
  'server',
  'client',
  'bench',
  'test/fuzz',
  'test/sim',
  'test/supply-chain',
];

if (nodeMajor < 20 || (nodeMajor === 20 && nodeMinor < 19)) {
  fail(
    `Opportune needs Node 20.19 or newer; this is ${process.versions.node}.`,
    'Install a newer Node: https://nodejs.org',
  );
}
install();
build();
if (script !== undefined) {
  const path = join(root, script);
  process.argv = [process.argv[0], path, ...words];
  await import(pathToFileURL(path).href);
}

function install() {
  const hasLock = existsSync(join(root, 'package-lock.json'));
  const wanted = fingerprint(hasLock ? 'package-lock.json' : 'package.json');
  if (existsSync(marker) && readFileSync(marker, 'utf8').trim() === wanted) return;
  say(hasLock ? 'Installing dependencies (npm ci) …' : 'Installing dependencies (npm install) …');
  // npm itself where npm started us, so that the version and its settings are the caller's own.
  const npm = process.env.npm_execpath;
  const npmWords = [hasLock ? 'ci' : 'install', '--no-audit', '--no-fund', '--loglevel=error'];
  const done =
    npm !== undefined && /\.c?js$/.test(npm)
      ? run(process.execPath, [npm, ...npmWords])
      : run(process.platform === 'win32' ? 'npm.cmd' : 'npm', npmWords, { shell: process.platform === 'win32' });
  if (!done) {
    fail(
      'The dependencies could not be installed; npm says why above.',
      'Check the network or the npm registry setting, then try again.',
    );
  }
  writeFileSync(marker, `${wanted}\n`);
}

function build() {
  const builtAt = modifiedAt(buildInfo);
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'rolldown.config.mjs', 'package-lock.json'];
  const sources = settings.map((name) => join(root, name));
  const newest = Math.max(...sources.map(modifiedAt), ...sourceFolders.map((folder) => newestIn(join(root, folder))));
  const isThere = existsSync(program) && existsSync(bundle);
  if (builtAt > 0 && builtAt >= newest && isThere) return;
  say('Building (tsc, rolldown) …');
  // Without its output the incremental record would make tsc believe that all is there.
  if (!isThere) rmSync(buildInfo, { force: true });
  const compiler = ['tsc', 'tsc.js']
    .map((name) => join(root, 'node_modules', 'typescript', 'bin', name))
    .find(existsSync);
  if (compiler === undefined) fail('The TypeScript compiler is not installed.', 'Delete node_modules and try again.');
  if (!run(process.execPath, [compiler, '-p', 'tsconfig.build.json'])) {
    fail('The build failed; the compiler says why above.', 'Mend the sources, or restore them with: git checkout .');
  }
  // Gone until there is a new one: an old one beside a new record would count as built.
  rmSync(bundle, { force: true });
  const bundler = join(root, 'node_modules', 'rolldown', 'bin', 'cli.mjs');
  if (!run(process.execPath, [bundler, '--config', 'rolldown.config.mjs'], { isSilent: true })) {
    fail('The bundler failed; it says why above.', 'Delete node_modules and dist, then try again.');
  }
  // As new as the newest source seen before compiling: tsc leaves the record alone when nothing that matters
  // changed, a source may carry a time in the future, and one saved during the build must be built again.
  utimesSync(buildInfo, new Date(), new Date(Math.ceil(newest) + 1));
}

function fingerprint(file) {
  const hash = createHash('sha256').update(readFileSync(join(root, file)));
  return `${hash.digest('hex')} node${nodeMajor} ${process.platform}-${process.arch}`;
}

function newestIn(folder) {
  let newest = 0;
  if (!existsSync(folder)) return newest;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    // A folder's own time changes when a file is removed from it.
    if (entry.isDirectory()) newest = Math.max(newest, modifiedAt(path), newestIn(path));
    else if (entry.name.endsWith('.ts')) newest = Math.max(newest, modifiedAt(path));
  }
  return newest;
}

function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function run(command, commandWords, { shell = false, isSilent = isQuiet } = {}) {
  // Their output goes to stderr: stdout belongs to the program that is started next. Silent: shown only on failure.
  const stdio = isSilent ? 'pipe' : ['ignore', 2, 2];
  const { status, error, stdout, stderr } = spawnSync(command, commandWords, { cwd: root, stdio, shell });
  if (error !== undefined) process.stderr.write(`${command}: ${error.message}\n`);
  if (isSilent && status !== 0) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  return status === 0;
}

function say(line) {
  if (!isQuiet) process.stderr.write(`${line}\n`);
}

function fail(what, advice) {
  process.stderr.write(`${what}\n${advice}\n`);
  process.exit(1);
}
