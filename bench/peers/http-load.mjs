/**
 * The load for HTTP peers. Closed loop: autocannon, one request in flight a connection, as its users run it. Open
 * loop: a pacer over Node's own client, because autocannon's `rate` sends each second's requests in one burst; it
 * counts from when a request was due, as the WebSocket generator does. Both share this process, which does nothing
 * else meanwhile, and both read the latency histogram that the rest of the bench uses.
 */
import { Agent, request as httpRequest } from 'node:http';
import { profileKey } from '../../dist/bench/frame-template.js';
import { KeyChooser } from '../../dist/bench/key-chooser.js';
import { LatencyHistogram } from '../../dist/bench/latency-histogram.js';
import { defaultContext } from '../../dist/bench/load-requests.js';
import { epochMillis, monotonicMicros } from '../../dist/workers/clock.js';

/** @typedef {{connections: number, ratePerSecond: number | null, warmupMillis: number, measureMillis: number, profiles: number, exponent: number, seed: number}} Load no rate: closed loop */
/** @typedef {{perSecond: number, failed: number, latency: import('../../dist/bench/latency-histogram.js').EncodedHistogram, generatorCpuShare: number}} Loaded */

export const HTTP_GENERATOR = 'autocannon 9 (peak), a pacer over Node’s HTTP client (open loop); HTTP/1.1 and JSON';

const CONTEXTS = 8;
const DRAIN_MILLIS = 2_000;
const PROBE_MILLIS_MAX = 10_000;
/** The WebSocket generator's: it naps while the next request is due within 2 ms, a timer is up to a millisecond late. */
const NAP_MICROS = 100;
const NAP_BELOW_MICROS = 2_000;
const NAP = new Int32Array(new SharedArrayBuffer(4));

/** Bodies made beforehand, as the WebSocket generator's frames are. */
function bodies() {
  const atEpochMillis = epochMillis();
  return Array.from({ length: CONTEXTS }, (_, variant) =>
    JSON.stringify({ context: defaultContext(variant), atEpochMillis }),
  );
}

/** @param {Load} load */
function keysOf({ profiles, exponent, seed }) {
  return new KeyChooser({ kind: 'random', profiles, exponent, seed, first: 0, stride: 1 });
}

/**
 * Asks once, in full, then loads. @param {string} address with `{profile}` in it @param {Load} load
 * @returns {Promise<Loaded>}
 */
export async function loadHttp(address, load) {
  const answer = await fetch(address.replace('{profile}', profileKey(0)), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: bodies()[0],
    signal: AbortSignal.timeout(PROBE_MILLIS_MAX),
  });
  const text = await answer.text();
  if (!answer.ok || !/"action":"offer-/.test(text)) throw new Error(`answers ${answer.status} ${text.slice(0, 200)}`);
  return load.ratePerSecond === null ? closedLoop(address, load) : openLoop(address, load, load.ratePerSecond);
}

/** Processor seconds a second of this process since the call. */
function cpuShareSince() {
  const before = process.cpuUsage();
  const start = monotonicMicros();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / (monotonicMicros() - start);
  };
}

/** @param {string} address @param {Load} load @returns {Promise<Loaded>} */
async function closedLoop(address, load) {
  // In the peers' own package; loaded only when a peer of that package runs.
  const { default: autocannon } = await import('autocannon');
  const keys = keysOf(load);
  const texts = bodies();
  const latency = new LatencyHistogram();
  const { origin, pathname } = new URL(address.replace('{profile}', 'PROFILE'));
  let turn = 0;
  let failed = 0;
  const start = monotonicMicros();
  const measureFrom = start + load.warmupMillis * 1000;
  const measureUntil = measureFrom + load.measureMillis * 1000;
  const cpuShare = cpuShareSince();
  const instance = autocannon({
    url: origin,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections: load.connections,
    pipelining: 1,
    // It ends on a whole sample; what comes behind the measured time is not counted.
    duration: Math.ceil((load.warmupMillis + load.measureMillis) / 1000),
    requests: [
      {
        setupRequest: (request) => {
          request.path = pathname.replace('PROFILE', profileKey(keys.next()));
          request.body = texts[turn++ % CONTEXTS];
          return request;
        },
      },
    ],
  });
  instance.on('response', (_client, status, _bytes, millis) => {
    const now = monotonicMicros();
    if (now < measureFrom || now >= measureUntil) return;
    if (status === 200) latency.record(millis * 1000);
    else failed += 1;
  });
  const result = await instance;
  return {
    perSecond: (latency.count * 1000) / load.measureMillis,
    failed: failed + result.errors,
    latency: latency.encode(),
    generatorCpuShare: cpuShare(),
  };
}

/** @param {string} address @param {Load} load @param {number} ratePerSecond @returns {Promise<Loaded>} */
async function openLoop(address, load, ratePerSecond) {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const keys = keysOf(load);
  const texts = bodies();
  const latency = new LatencyHistogram();
  const { hostname, port, pathname } = new URL(address.replace('{profile}', 'PROFILE'));
  const interval = 1_000_000 / ratePerSecond;
  const start = monotonicMicros();
  const measureFrom = start + load.warmupMillis * 1000;
  const measureUntil = measureFrom + load.measureMillis * 1000;
  const cpuShare = cpuShareSince();
  let failed = 0;
  let answered = 0;
  let sent = 0;

  const ask = (/** @type {number} */ due) => {
    const isMeasured = due >= measureFrom;
    const body = texts[sent % CONTEXTS] ?? '';
    sent += 1;
    const done = (/** @type {boolean} */ isOk) => {
      answered += 1;
      if (!isMeasured) return;
      if (isOk) latency.record(monotonicMicros() - due);
      else failed += 1;
    };
    const request = httpRequest(
      {
        agent,
        hostname,
        port,
        method: 'POST',
        path: pathname.replace('PROFILE', profileKey(keys.next())),
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (answer) => {
        answer.resume();
        answer.once('end', () => done(answer.statusCode === 200));
      },
    );
    request.once('error', () => done(false));
    request.end(body);
  };

  for (let due = start; due < measureUntil; ) {
    for (const now = monotonicMicros(); due <= now && due < measureUntil; due += interval) ask(due);
    if (due - monotonicMicros() > NAP_BELOW_MICROS) await new Promise((resolve) => setTimeout(resolve, 1));
    else {
      Atomics.wait(NAP, 0, 0, NAP_MICROS / 1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  for (let waited = 0; answered < sent && waited < DRAIN_MILLIS; waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  agent.destroy();
  return {
    perSecond: (latency.count * 1000) / load.measureMillis,
    failed: failed + (sent - answered),
    latency: latency.encode(),
    generatorCpuShare: cpuShare(),
  };
}
