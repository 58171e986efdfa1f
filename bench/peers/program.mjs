/**
 * Programs the bench starts: each with its own output kept for the reason it may give, a way to tell that it
 * serves, and a stop by its own process id.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const READY_MILLIS_MAX = 60_000;
const STOP_MILLIS_MAX = 5_000;
const SAID_LENGTH_MAX = 2_000;
const SETTINGS = /^(?:OPPORTUNE|OTEL|RESTATE)_/;

/** @typedef {{ready: RegExpMatchArray, pid: number, stop: () => Promise<void>}} Program */

/**
 * Starts a program and waits until what it printed matches `ready`.
 * @param {string} command @param {readonly string[]} words
 * @param {{ready: RegExp, environment?: Record<string, string>, hint?: string}} options hint: how to come by the program
 * @returns {Promise<Program>} rejects with what the program said when it ends or is silent for too long
 */
export function startProgram(command, words, { ready, environment = {}, hint = '' }) {
  // A setting in the caller's shell would make this another program than the report says.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !SETTINGS.test(name)));
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...inherited, ...environment } });
  // However this process ends, nothing it started outlives it.
  const killNow = () => child.kill('SIGKILL');
  process.prependOnceListener('exit', killNow);
  child.once('close', () => process.off('exit', killNow));
  let said = '';
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => child.once('close', () => resolve()));
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MILLIS_MAX);
    await ended;
    clearTimeout(timer);
  };
  return new Promise((resolve, reject) => {
    const fail = (/** @type {string} */ reason) => {
      clearTimeout(timer);
      reject(new Error(`${reason}${said.trim() === '' ? '' : `: ${said.trim().slice(-300)}`}`));
    };
    const timer = setTimeout(() => {
      void stop();
      fail(`${command} did not serve within ${READY_MILLIS_MAX / 1000} s`);
    }, READY_MILLIS_MAX);
    const hear = (/** @type {Buffer} */ chunk) => {
      said = (said + chunk.toString()).slice(-SAID_LENGTH_MAX);
      const match = ready.exec(said);
      if (match === null) return;
      clearTimeout(timer);
      resolve({ ready: match, pid: child.pid ?? 0, stop });
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) =>
      fail(`${command} cannot be started (${error.message})${hint === '' ? '' : `; ${hint}`}`),
    );
    child.once('close', (code, signal) => fail(`${command} ended with ${signal ?? code}`));
  });
}

/** A port that was free a moment ago. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

const TICK_MICROS = 10_000;

/**
 * Processor time the programs have used so far, of all their threads, to 10 ms; null where /proc does not tell.
 * @param {readonly number[]} pids
 */
export function processorMicros(pids) {
  if (process.platform !== 'linux') return null;
  let ticks = 0;
  for (const pid of pids) {
    // Fields 14 and 15, user and system; the name, field 2, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MICROS;
}
