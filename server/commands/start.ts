/**
 * `opportune start`: resolves the options, starts the node, says where it is, and waits. The first
 * SIGTERM or SIGINT drains and stops it (exit 0), a second one ends the process at once, as an unhandled
 * SIGTERM would. With `--supervise` this process only watches: it runs the same command as a child and
 * never loads the server.
 */
import { monotonicMillis } from '../../workers/clock.ts';
import { isAuthenticated, transportNeeds } from '../access/access-options.ts';
import { bannerLines } from '../banner.ts';
import type { RunningNode } from '../node-status.ts';
import { OperatorError } from '../operator-error.ts';
import { ShardCrew } from '../shard-crew.ts';
import { supervise } from '../supervise.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOf } from './node-options.ts';

const ECHO_MILLIS = 300;
const THREADPOOL_MIN = 4;
const BEAT_MILLIS = 1_000;

export async function run(call: CommandCall): Promise<number> {
  const config = configOf(call); // before supervising, so that a wrong option is said once
  if (call.options.supervise === true) {
    const script = process.argv.slice(1).filter((word) => word !== '--supervise');
    return supervise({
      command: process.execPath,
      words: [...process.execArgv, ...script],
      finalCodes: [EXIT.usage],
      stuckSeconds: config.stuckSeconds,
      write: (line) => call.io.err(`${line}\n`),
    });
  }
  const stop = listenForStop(call);
  // Each worker's commit occupies one thread of libuv's pool; it is sized before its first use.
  process.env.UV_THREADPOOL_SIZE ??= String(Math.max(THREADPOOL_MIN, config.workers + 2));
  const crew = new ShardCrew({ transport: config.transport, needs: transportNeeds(config) }, config.workers);
  const { startNode } = await import('../node.ts');
  const node = await startNode(config, crew);
  // Only where there are files to read again: elsewhere a terminal that is closed should take its server with it.
  if (isAuthenticated(config) || config.tlsCertFile !== null) process.on('SIGHUP', () => void node.reload());
  const lines = bannerLines({
    config,
    addresses: node.addresses,
    transport: node.transport,
    status: node.status(),
    isFirstStart: node.isFirstStart,
    readyAfterMillis: process.uptime() * 1000,
    program: programOf(call),
  });
  call.io.out(`${lines.join('\n')}\n`);
  // A supervisor hears that this thread's event loop turns.
  if (process.send !== undefined) setInterval(() => process.send?.('beat'), BEAT_MILLIS).unref();
  return untilStopped(node, stop, call);
}

async function untilStopped(node: RunningNode, stop: Promise<string>, call: CommandCall): Promise<number> {
  const ending = await Promise.race([stop, node.failed]);
  if (ending instanceof Error) {
    call.io.err(`opportune: the node cannot go on: ${ending.message}\n`);
    // A worker that hangs would only be waited for; what was acknowledged is on disk.
    if (ending instanceof OperatorError && ending.code === 'WORKER_STUCK') process.kill(process.pid, 'SIGKILL');
    await node.stop();
    return EXIT.failed;
  }
  call.io.err(`${ending}: draining, then stopping; a second signal stops at once\n`);
  await node.drain();
  await node.stop();
  return EXIT.ok;
}

/** Resolves at the first signal, or when a supervisor is gone. From then on a second signal ends the process. */
function listenForStop(call: CommandCall): Promise<string> {
  return new Promise((resolve) => {
    let isStopping = false;
    let firstMillis = 0;
    const stop = (reason: string): void => {
      // One Ctrl-C can arrive twice, from the terminal and from npm passing it on.
      if (isStopping && reason === 'SIGINT' && monotonicMillis() - firstMillis < ECHO_MILLIS) return;
      if (isStopping) {
        call.io.err(`${reason} again: stopping at once\n`);
        // Not `process.exit`: it ends the workers first, and one whose native transport is open aborts the process.
        process.removeAllListeners('SIGTERM');
        process.kill(process.pid, 'SIGTERM');
      }
      isStopping = true;
      firstMillis = monotonicMillis();
      resolve(reason);
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
    // `connected` is absent without a supervisor, and false when it was killed before this process came so far.
    if (process.connected === false) stop('the supervisor is gone');
    else if (process.connected) process.once('disconnect', () => stop('the supervisor is gone'));
    process.channel?.unref();
  });
}

/** The words with which this shell can call the program again. */
function programOf(call: CommandCall): string {
  const isNpm = (call.io.environment.npm_lifecycle_event ?? '') !== '';
  return isNpm ? 'npx opportune' : 'opportune';
}
