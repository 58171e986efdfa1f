/**
 * The peers: how each is started, what it promises of a decision it has answered, and which generator asks it.
 * All of them listen on 127.0.0.1 on free ports and keep their data in a folder that is removed afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROFILE_DIGITS } from '../../dist/bench/frame-template.js';
import { freePort, startProgram } from './program.mjs';

/** @typedef {{profiles: number, redisServer: string}} PeerSettings */
/** @typedef {{url: string, pids: readonly number[], stop: () => Promise<void>}} RunningPeer */
/** @typedef {{name: string, title: string, durability: string, protocol: 'websocket' | 'http', isInstalled: boolean, start: (settings: PeerSettings) => Promise<RunningPeer>}} Peer */

const PORT_PRINTED = /\{"port":(\d+)\}/;
const REGISTER_TRIES_MAX = 50;
const REGISTER_PAUSE_MILLIS = 200;

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Starts steps one after the other; stops what was started in reverse, also when a later step fails. */
class Steps {
  /** @type {(() => unknown)[]} */
  #undo = [];
  /** @type {number[]} */
  pids = [];

  folder() {
    const path = mkdtempSync(join(tmpdir(), 'opportune-peer-'));
    const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 });
    // After an end by signal as well, when the programs have been killed.
    process.once('exit', remove);
    this.#undo.push(() => {
      process.off('exit', remove);
      remove();
    });
    return path;
  }

  /** @param {Parameters<typeof startProgram>} words */
  async program(...words) {
    const program = await startProgram(...words);
    this.#undo.push(program.stop);
    this.pids.push(program.pid);
    return program;
  }

  stop = async () => {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  };
}

/** @param {(steps: Steps, settings: PeerSettings) => Promise<string>} begin gives the address */
function startWith(begin) {
  return async (/** @type {PeerSettings} */ settings) => {
    const steps = new Steps();
    try {
      return { url: await begin(steps, settings), pids: steps.pids, stop: steps.stop };
    } catch (error) {
      await steps.stop();
      throw error;
    }
  };
}

/** @type {readonly Peer[]} */
export const PEERS = [
  {
    name: 'opportune',
    title: 'Opportune',
    durability: 'written behind within 10 ms, synced; exact caps; every propensity in the journal',
    protocol: 'websocket',
    isInstalled: false,
    start: startWith(async (steps) => {
      const words = ['start', '--port', '0', '--admin-port', '0', '--shard-port', '0', '--log-level', 'error'];
      const { ready } = await steps.program(
        process.execPath,
        [
          here('../../dist/server/cli.js'),
          ...words,
          '--catalog',
          here('../../catalogs/bench.yaml'),
          '--data',
          join(steps.folder(), 'data'),
        ],
        { ready: /decisions (ws:\S+)[\s\S]*\n {2}try / },
      );
      return ready[1];
    }),
  },
  {
    name: 'plain-ws',
    title: 'ws + Map',
    durability: 'none: gone with the process',
    protocol: 'websocket',
    isInstalled: false,
    start: startWith(async (steps) => {
      const { ready } = await steps.program(process.execPath, [here('servers/plain-ws-server.mjs')], {
        ready: PORT_PRINTED,
      });
      return `ws://127.0.0.1:${ready[1]}`;
    }),
  },
  {
    name: 'fastify-redis',
    title: 'Fastify + Redis',
    durability: 'append-only file synced every second; concurrent counts may be lost',
    protocol: 'http',
    isInstalled: true,
    start: startWith(async (steps, { profiles, redisServer }) => {
      const port = String(await freePort());
      const words = [
        '--port',
        port,
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--appendonly',
        'yes',
        '--appendfsync',
        'everysec',
      ];
      await steps.program(redisServer, [...words, '--dir', steps.folder()], {
        ready: /Ready to accept connections/,
        hint: 'apt-get install redis-server',
      });
      const server = [here('servers/fastify-redis-server.mjs'), port, String(profiles), String(PROFILE_DIGITS)];
      const { ready } = await steps.program(process.execPath, server, { ready: PORT_PRINTED });
      return `http://127.0.0.1:${ready[1]}/decide/{profile}`;
    }),
  },
  {
    name: 'restate',
    title: 'Restate object',
    durability: 'every step in a synced log before the answer; one call a person at a time',
    protocol: 'http',
    isInstalled: true,
    start: startWith(async (steps) => {
      const [ingress, admin, fabric] = [await freePort(), await freePort(), await freePort()];
      const program = here(
        `node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`,
      );
      const words = [
        '--base-dir',
        steps.folder(),
        '--listen-mode',
        'tcp',
        '--bind-ip',
        '127.0.0.1',
        '--no-logo',
        '--node-name',
        'bench',
      ];
      await steps.program(program, words, {
        ready: /Restate node roles .* were started/,
        environment: {
          RESTATE_BIND_PORT: String(fabric),
          RESTATE_INGRESS__BIND_PORT: String(ingress),
          RESTATE_ADMIN__BIND_PORT: String(admin),
          RESTATE_DISABLE_TELEMETRY: 'true',
        },
      });
      const { ready } = await steps.program(process.execPath, [here('servers/restate-service.mjs')], {
        ready: PORT_PRINTED,
        environment: { RESTATE_LOGGING: 'ERROR' },
      });
      await registerService(`http://127.0.0.1:${admin}/deployments`, `http://127.0.0.1:${ready[1]}`);
      return `http://127.0.0.1:${ingress}/person/{profile}/decide`;
    }),
  },
];

/** @param {string} deployments @param {string} uri */
async function registerService(deployments, uri) {
  let reason = '';
  for (let attempt = 0; attempt < REGISTER_TRIES_MAX; attempt += 1) {
    try {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(deployments, { method: 'POST', headers, body: JSON.stringify({ uri }) });
      if (answer.ok) return;
      reason = `${answer.status} ${await answer.text()}`;
    } catch (error) {
      // Its admin port opens a moment after it says that it has started.
      reason = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, REGISTER_PAUSE_MILLIS));
  }
  throw new Error(`Restate did not take the service: ${reason.slice(0, 300)}`);
}
