/**
 * `npm run bench:peers`: the same decision asked of Opportune and of what a user would otherwise build, in one run
 * on one machine, as ratios. Goals: each peer the way its own users write it; the durability beside the speed, for
 * they are not the same promise; a peer that cannot start is a row with its reason. Non-goals: the fastest possible
 * form of a peer, more than one machine, absolute figures.
 *
 *     install ─▶ runs × ( each: start, warm, peak, stop ) ─▶ runs × ( each: start, warm, one rate, stop )
 *
 * Warming and peak are closed loops, the one rate is an open loop: half the slowest peer's peak, 2,000/s at most, where
 * no generator is near its own limit. One peer runs at a time: idle ones still take processor time. Exit code 0, or 1
 * when Opportune or every peer was not measured.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hostFacts, median } from '../../dist/bench/bench-result.js';
import { mergeHistograms, prepareHistograms } from '../../dist/bench/latency-histogram.js';
import { HTTP_GENERATOR, loadHttp } from './http-load.mjs';
import { PEERS } from './peer-list.mjs';
import { peersText } from './peers-report.mjs';
import { processorMicros } from './program.mjs';
import { loadWebSocket, prepareOpportune, WEBSOCKET_GENERATOR } from './websocket-load.mjs';

/** @typedef {import('./http-load.mjs').Loaded & {processorMicros: number | null}} Loaded processor time a decision */
/** @typedef {{peer: import('./peer-list.mjs').Peer, reason: string | null, peaks: Loaded[], opens: Loaded[]}} Contest */

const OPEN_RATE_MAX = 2_000;
/** Connections are there and in step when the measured time begins. */
const LEAD_IN_MILLIS = 500;
const here = fileURLToPath(new URL('.', import.meta.url));

const { values: words } = parseArgs({
  options: {
    only: { type: 'string', default: PEERS.map((peer) => peer.name).join(',') },
    seconds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '8' },
    runs: { type: 'string', default: '1' },
    connections: { type: 'string', default: '16' },
    profiles: { type: 'string', default: '100000' },
    zipf: { type: 'string', default: '0.99' },
    'redis-server': { type: 'string', default: 'redis-server' },
    'no-install': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const only = words.only.split(',');
const unknown = only.filter((name) => PEERS.every((peer) => peer.name !== name));
if (unknown.length > 0) {
  console.error(`bench:peers: no peer ${unknown.join(', ')}; there are ${PEERS.map((peer) => peer.name).join(', ')}`);
  process.exit(2);
}
const settings = {
  seconds: Number(words.seconds),
  warmupSeconds: Number(words.warmup),
  runs: Number(words.runs),
  connections: Number(words.connections),
  profiles: Number(words.profiles),
  zipf: Number(words.zipf),
};
for (const [name, value] of Object.entries(settings)) {
  if (value >= 0 && (value > 0 || name === 'warmupSeconds' || name === 'zipf')) continue;
  console.error(`bench:peers: ${name} is ${value}; it must be a number above 0`);
  process.exit(2);
}

// An end by signal goes through 'exit' as well, where what was started is stopped.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const chosen = PEERS.filter((peer) => only.includes(peer.name));
const host = hostFacts();
await prepareHistograms();
if (!words['no-install'] && chosen.some((peer) => peer.isInstalled)) install();

/** @type {Contest[]} */
const contests = chosen.map((peer) => ({ peer, reason: null, peaks: [], opens: [] }));
for (let run = 0; run < settings.runs; run += 1) {
  for (const contest of contests) await measure(contest, contest.peaks, null, run);
}
const isMeasured = (/** @type {Contest} */ { reason }) => reason === null;
const slowest = Math.min(
  ...contests.filter(isMeasured).map(({ peaks }) => median(peaks.map(({ perSecond }) => perSecond))),
);
const ratePerSecond = Math.max(1, Math.floor(Math.min(OPEN_RATE_MAX, slowest / 2)));
for (let run = 0; run < settings.runs; run += 1) {
  for (const contest of contests) await measure(contest, contest.opens, ratePerSecond, run);
}

const rows = contests.map(({ peer, reason, peaks, opens }) => ({
  name: peer.name,
  title: peer.title,
  durability: peer.durability,
  generator: peer.protocol === 'http' ? HTTP_GENERATOR : WEBSOCKET_GENERATOR,
  reason,
  peak: figuresOf(peaks),
  open: figuresOf(opens),
  runs: { peaks, opens },
}));
process.stdout.write(peersText({ host, settings, ratePerSecond, rows }));
if (words.json !== undefined) {
  const result = { schema: 'opportune-bench-peers/1', host, settings, ratePerSecond, rows };
  writeFileSync(words.json, `${JSON.stringify(result, null, 1)}\n`);
}
const measured = rows.filter((row) => row.reason === null);
process.exitCode = measured.length === 0 || rows.some((row) => row.name === 'opportune' && row.reason !== null) ? 1 : 0;

/**
 * One phase of a peer, freshly started and stopped again; a failure becomes the reason in its row, and it is not
 * asked again. @param {Contest} contest @param {Loaded[]} results @param {number | null} rate @param {number} run
 */
async function measure(contest, results, rate, run) {
  const { peer } = contest;
  if (contest.reason !== null) return;
  process.stderr.write(`${peer.title}: ${rate === null ? 'peak' : `${rate}/s`} …\n`);
  let running = null;
  try {
    running = await peer.start({ profiles: settings.profiles, redisServer: words['redis-server'] });
    const { url } = running;
    const shards = peer.name === 'opportune' ? await prepareOpportune(url, settings.profiles) : null;
    const ask = peer.protocol === 'http' ? loadHttp : loadWebSocket;
    const load = {
      connections: settings.connections,
      ratePerSecond: null,
      warmupMillis: 0,
      measureMillis: settings.warmupSeconds * 1000,
      profiles: settings.profiles,
      exponent: settings.zipf,
      seed: 1 + run * 1000,
    };
    // At full speed also before the open loop: at a low rate a peer would be measured before it is compiled.
    if (settings.warmupSeconds > 0) await ask(url, load, shards);
    const before = processorMicros(running.pids);
    const measuring = {
      ...load,
      ratePerSecond: rate,
      warmupMillis: LEAD_IN_MILLIS,
      measureMillis: settings.seconds * 1000,
    };
    const loaded = await ask(url, measuring, shards);
    if (loaded.latency.count === 0) throw new Error(`answered nothing (${loaded.failed} requests failed)`);
    const used = before === null ? null : (processorMicros(running.pids) ?? 0) - before;
    // In the lead-in as many a second were answered as afterwards, and neither is the idle time around them counted.
    const answered = loaded.perSecond * (LEAD_IN_MILLIS / 1000 + settings.seconds);
    results.push({ ...loaded, processorMicros: used === null ? null : used / answered });
  } catch (error) {
    contest.reason = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ');
  } finally {
    await running?.stop();
  }
}

/** Medians over the runs; null when there was none. */
function figuresOf(all) {
  if (all.length === 0) return null;
  const percentile = (p) => median(all.map((one) => mergeHistograms([one.latency]).percentile(p)));
  return {
    perSecond: median(all.map((one) => one.perSecond)),
    p50Micros: percentile(50),
    p99Micros: percentile(99),
    failed: all.reduce((sum, one) => sum + one.failed, 0),
    processorMicros: all[0]?.processorMicros === null ? null : median(all.map((one) => one.processorMicros)),
    generatorCpuShare: median(all.map((one) => one.generatorCpuShare)),
  };
}

/** Once, into this folder; without it the peers of the package say themselves what they miss. */
function install() {
  if (existsSync(new URL('node_modules/.package-lock.json', import.meta.url))) return;
  process.stderr.write('installing the peers (npm ci in bench/peers) …\n');
  const npmWords = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  spawnSync('npm', npmWords, {
    cwd: here,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  });
}
