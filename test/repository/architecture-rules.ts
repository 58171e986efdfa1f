/**
 * The architecture as tables, and the function that holds a tree of sources against them. Who may import
 * whom, which file speaks to which library, where time and chance come from, and what a pure folder may
 * not know. It takes any tree of files, so that its own test can show it small wrong ones.
 */
import { posix } from 'node:path';
import { lineOf, type ScannedSource, scanSource } from './source-scan.ts';

/** Path relative to the repository, with forward slashes → text of the file. */
export type SourceTree = ReadonlyMap<string, string>;

/** For each folder the folders it may import besides itself; `test` may import all and is not listed. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  // The command line speaks to a server through the SDK, as any application does.
  server: ['workers', 'actors', 'decision', 'proto', 'client'],
  workers: ['actors', 'decision', 'proto'],
  actors: ['decision', 'proto'],
  decision: ['proto'],
  proto: [],
  client: ['proto'],
  bench: ['workers', 'actors', 'decision', 'proto', 'client'],
};

/** Edges against the arrows, each with the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'bench/echo-server.ts → server/': 'a yardstick is worth something only on the very adapters that are measured',
};

/**
 * The code of the jobs, and who may load it: the thread of the pool that runs it, so that no job can come to run
 * on a shard's loop. The keeper of models reads at a start, before any shard is there, what one job has written.
 */
const JOBS: Readonly<Record<string, readonly string[]>> = {
  'workers/jobs/collect-people.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/evaluate-policy.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/export-log.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/fit-purchases.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/fit-churn.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/fit-related.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/fit-segments.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/read-facts.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/size-segments.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/write-facts.ts': ['workers/jobs/job-thread.ts'],
  'workers/jobs/model-snapshot-file.ts': [
    'workers/jobs/job-thread.ts',
    'server/model-keeper.ts',
    'server/evaluate/current-policy.ts', // this and the next two run in a process of the command line, where no shard is
    'workers/recompute/start-models.ts',
    'workers/backup/verify-folder.ts',
  ],
};

/** Folders without Node and without waiting: they run in browsers, in workers and in a simulation alike. */
const WITHOUT_NODE = ['decision', 'proto', 'client'];
const WITHOUT_WAITING = ['decision', 'proto'];

/** Each library, and the one file or folder (ending in `/`) that may name it. Tests may name any. */
export const FENCES: Readonly<Record<string, readonly string[]>> = {
  '@iabgpp/cmpapi': ['workers/privacy/consent-strings.ts'],
  '@marcbachmann/cel-js': ['workers/catalog/rule-parser.ts'],
  '@opentelemetry/api': ['server/metrics.ts', 'server/telemetry.ts'],
  '@opentelemetry/exporter-metrics-otlp-proto': ['server/metrics.ts'],
  '@opentelemetry/exporter-prometheus': ['server/metrics.ts'],
  '@opentelemetry/exporter-trace-otlp-proto': ['server/telemetry.ts'],
  '@opentelemetry/resources': ['server/metrics.ts', 'server/telemetry.ts'],
  '@opentelemetry/sdk-metrics': ['server/metrics.ts'],
  '@opentelemetry/sdk-trace-base': ['server/telemetry.ts'],
  '@trufflesuite/uws-js-unofficial': ['server/uws-native.ts'],
  commander: ['server/cli.ts'],
  'hdr-histogram-js': ['bench/latency-histogram.ts'],
  jose: ['server/access/jwt-verifier.ts'],
  'libphonenumber-js': ['workers/catalog/phone-number.ts'],
  lmdb: ['workers/store/environment.ts'],
  msgpackr: ['workers/cold-codec.ts'],
  pino: ['server/log.ts'],
  piscina: ['workers/jobs/job-pool.ts'],
  'temporal-polyfill': ['workers/zone-table.ts'],
  tinybench: ['bench/micro/micro-bench.ts'],
  'uWebSockets.js': ['server/uws-native.ts'],
  vitest: ['vitest.config.ts'],
  ws: ['server/ws-transport.ts'],
  // Two small jobs: the catalog, and the server's own options.
  yaml: ['workers/catalog/', 'server/config.ts'],
  zod: ['workers/catalog/', 'server/import/import-mapping.ts'],
};

interface PortRule {
  readonly what: string;
  readonly pattern: RegExp;
  readonly allowed: readonly string[];
}

/** Time and chance are inputs and the end of the process is the edge's: each has these files only. */
const PORTS: readonly PortRule[] = [
  {
    what: 'the clock',
    pattern:
      /\bDate\s*(?:\.\s*now\b|\[)|(?<!\bnew\s+)(?<![\w.$])\bDate\s*\(|\bnew\s+Date\s*(?:\(\s*\)|(?![\s(\w.]))|[=(,:]\s*Date\s*[;,)\n]/g,
    allowed: ['workers/clock.ts', 'client/clock.ts'],
  },
  {
    what: 'the clock',
    // Not the histogram or the utilisation of the event loop, which measure the process and decide nothing.
    pattern: /\bperformance\b(?!\s*(?:\.\s*eventLoopUtilization\b|\}\s*from\b))|\bhrtime\b|\bTemporal\s*\.\s*Now\b/g,
    allowed: ['workers/clock.ts', 'client/clock.ts'],
  },
  {
    what: 'the event loop',
    pattern: /\beventLoopUtilization\b/g,
    allowed: ['workers/clock.ts', 'bench/generator-watch.ts'],
  },
  { what: 'chance', pattern: /\bMath\s*(?:\.\s*random\b|\[)/g, allowed: [] },
  {
    what: 'chance',
    pattern: /\b(?:getRandomValues|randomUUID|randomBytes|randomInt|randomFill(?:Sync)?)\b/g,
    allowed: [
      'client/random.ts', // message ids, jitter
      'workers/store/data-folder.ts', // the node's secret, once
      'workers/vault/master-key.ts', // the master key, once
      'workers/vault/data-keys.ts', // keys of persons, and nonces
      'workers/vault/trait-vault.ts', // nonces
      'workers/store/folder-lock.ts', // tells two lock files apart
      'workers/store/store-opening.ts', // tells two readers' files apart
      'server/access/api-keys.ts', // keys, once each
      'server/doctor-checks.ts', // name of a file that is tried out
      'bench/load-socket.ts', // WebSocket's handshake key
    ],
  },
  {
    what: 'the process to end',
    pattern: /\bprocess\s*\.\s*(?:exit|abort)\s*\(/g,
    allowed: ['server/cli.ts', 'server/commands/start.ts', 'server/shard-thread.ts'],
  },
];

const WAITING = /\b(?:async|await|Promise|setTimeout|setInterval|setImmediate|queueMicrotask|console|process|fetch)\b/g;

/** Every breach of the architecture in the tree, a sentence each, in order of files. */
export function findBreaches(tree: SourceTree): readonly string[] {
  const sources = new Map<string, ScannedSource>();
  for (const [path, text] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) sources.set(path, scanSource(text));
  const breaches: string[] = [];
  for (const [path, source] of sources) {
    breaches.push(...referenceBreaches(path, source, sources));
    if (!path.startsWith('test/')) breaches.push(...codeBreaches(path, source.code));
  }
  return [...breaches, ...cycles(sources)];
}

function referenceBreaches(path: string, source: ScannedSource, sources: ReadonlyMap<string, unknown>): string[] {
  const breaches: string[] = [];
  const folder = folderOf(path);
  for (const { specifier, line, isTypeOnly } of source.references) {
    const at = `${path}:${line}`;
    if (specifier === null) {
      if (!COMPUTED_IMPORTS.includes(path) && folder !== 'test') breaches.push(`${at} imports a name made at run time`);
    } else if (specifier.startsWith('.')) {
      const target = posix.join(posix.dirname(path), specifier);
      if (!sources.has(target)) breaches.push(`${at} imports ${specifier}, which is not a source here`);
      else if (!mayImport(path, target))
        breaches.push(`${at} imports ${target}: ${folder}/ must not know ${folderOf(target)}/`);
      else if (!isTypeOnly && folder !== 'test' && JOBS[target]?.includes(path) === false)
        breaches.push(`${at} loads ${target}: a job runs in a thread of the pool, which alone loads it`);
    } else if (specifier.startsWith('node:')) {
      if (WITHOUT_NODE.includes(folder)) breaches.push(`${at} imports ${specifier}: ${folder}/ has no Node`);
    } else if (folder !== 'test') {
      const library = libraryOf(specifier);
      const fence = FENCES[library];
      if (fence === undefined) breaches.push(`${at} imports ${library}, which no fence of architecture-rules.ts names`);
      else if (!isInside(path, fence)) breaches.push(`${at} imports ${library}: only ${fence.join(' and ')} may`);
    }
  }
  return breaches;
}

/** `ws` for the SDK on Node 20, by a name that bundlers leave alone. */
const COMPUTED_IMPORTS = ['client/web-socket.ts'];

function mayImport(path: string, target: string): boolean {
  const from = folderOf(path);
  const to = folderOf(target);
  if (from === to || from === 'test') return true;
  return (ARROWS[from]?.includes(to) ?? false) || EXCEPTIONS[`${path} → ${to}/`] !== undefined;
}

function codeBreaches(path: string, code: string): string[] {
  const breaches: string[] = [];
  for (const { what, pattern, allowed } of PORTS) {
    if (allowed.includes(path)) continue;
    for (const { index, 0: found } of code.matchAll(pattern)) {
      const where = allowed.length === 0 ? 'nothing may' : `only ${allowed.join(' and ')} may`;
      breaches.push(`${path}:${lineOf(code, index)} asks ${what} itself (${found.trim()}): ${where}`);
    }
  }
  if (WITHOUT_WAITING.includes(folderOf(path))) {
    for (const { index, 0: found } of code.matchAll(WAITING))
      breaches.push(`${path}:${lineOf(code, index)} has ${found}: ${folderOf(path)}/ is pure and never waits`);
  }
  return breaches;
}

/** Cycles of files, by their values and by their types alike; each once. */
function cycles(sources: ReadonlyMap<string, ScannedSource>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const since = trail.indexOf(path);
    if (since >= 0) found.push(`cycle: ${[...trail.slice(since), path].join(' → ')}`);
    if (since >= 0 || done.has(path)) return;
    trail.push(path);
    for (const { specifier } of sources.get(path)?.references ?? []) {
      const target = specifier?.startsWith('.') === true ? posix.join(posix.dirname(path), specifier) : null;
      if (target !== null && sources.has(target)) visit(target);
    }
    trail.pop();
    done.add(path);
  };
  for (const path of sources.keys()) visit(path);
  return found;
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

function libraryOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}

function isInside(path: string, fence: readonly string[]): boolean {
  return fence.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));
}
