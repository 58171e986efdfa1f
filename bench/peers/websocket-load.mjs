/**
 * The load for WebSocket peers: the bench's own generator in a process of its own, MessagePack frames. Latency of
 * the open loop counts from when a request was due, of the closed loop from when it was sent.
 */

import { launchProcess, runFleet } from '../../dist/bench/generator-fleet.js';
import { probeServer } from '../../dist/bench/probe.js';
import { epochMillis } from '../../dist/workers/clock.js';
import { traitsOf } from './decision.mjs';

const POPULATE_BATCH = 32;
const POPULATE_MILLIS_MAX = 120_000;
const DRAIN_MILLIS = 2_000;
const OPEN_IN_FLIGHT_MAX = 1024;

export const WEBSOCKET_GENERATOR = "Opportune's own generator, WebSocket and MessagePack, a process of its own";

/** @typedef {import('./http-load.mjs').Load} Load */
/** @typedef {import('./http-load.mjs').Loaded} Loaded */

let phases = 0;

/** @typedef {import('../../dist/bench/load-plan.js').ShardTarget} ShardTarget */

/** @param {string} url @param {Load} load @param {readonly ShardTarget[] | null} shards */
function planOf(url, load, shards) {
  phases += 1;
  return {
    url,
    shards,
    token: null,
    connections: load.connections,
    loop: load.ratePerSecond === null ? 'closed' : 'open',
    ratePerSecond: load.ratePerSecond ?? 1,
    inFlight: load.ratePerSecond === null ? 1 : OPEN_IN_FLIGHT_MAX,
    warmupMillis: load.warmupMillis,
    measureMillis: load.measureMillis,
    drainMillis: DRAIN_MILLIS,
    requestCount: null,
    keys: { kind: 'random', profiles: load.profiles, exponent: load.exponent, seed: load.seed, first: 0, stride: 1 },
    request: {
      scenario: 'action',
      slot: 'home',
      sku: null,
      actions: [],
      context: null,
      traits: null,
      durability: null,
      batchSize: 1,
      decisionIdBytes: 0,
      runTag: `${epochMillis().toString(36)}${phases.toString(36)}`,
    },
    processIndex: 0,
    processCount: 1,
    isLive: false,
  };
}

/**
 * Tells Opportune the traits that the other peers make up from the key, and asks it for its shards, which its
 * clients then ask directly. @param {string} url @param {number} profiles
 */
export async function prepareOpportune(url, profiles) {
  const load = { connections: 4, ratePerSecond: null, warmupMillis: 0, measureMillis: POPULATE_MILLIS_MAX };
  const plan = planOf(url, { ...load, profiles, exponent: 0, seed: 1 }, null);
  const result = await runFleet(
    {
      ...plan,
      inFlight: 4,
      drainMillis: POPULATE_MILLIS_MAX,
      requestCount: Math.ceil(profiles / POPULATE_BATCH) * POPULATE_BATCH,
      keys: { ...plan.keys, kind: 'sequential' },
      request: { ...plan.request, scenario: 'populate', traits: traitsOf(1), batchSize: POPULATE_BATCH },
    },
    1,
    launchProcess,
    () => {},
  );
  const error = result.errors[0];
  if (error !== undefined) throw new Error(`profiles were not populated: ${error.status} ${error.message}`);
  return (await probeServer({ url, token: null }, plan.request)).shards;
}

/** @param {string} url @param {Load} load @param {readonly ShardTarget[] | null} shards @returns {Promise<Loaded>} */
export async function loadWebSocket(url, load, shards) {
  const result = await runFleet(planOf(url, load, shards), 1, launchProcess, () => {});
  return {
    perSecond: (result.succeeded * 1000) / result.measuredMillis,
    failed: result.failed + result.unanswered + result.unsent,
    latency: result.latency,
    // A generator that is always busy is measured in the peer's place.
    generatorCpuShare: result.generator.cpuShare,
  };
}
