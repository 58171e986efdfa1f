/**
 * The tiny parent of `opportune start --supervise`. It runs the same command again as a child, loads no
 * native code and holds no data, so what kills the server cannot kill it. An unexpected end is followed
 * by a restart at once, and by growing pauses only when the child keeps dying young. A planned stop (a
 * signal to us, or the child ending with 0) and a command line that can never work end the parent too,
 * with the child's code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { monotonicMillis } from '../workers/clock.ts';
import { StuckWatch } from './stuck-watch.ts';

export const SUPERVISE = {
  /** A child that lived at least this long was well; the next restart has no pause again. */
  wellAfterMillis: 10_000,
  firstPauseMillis: 100,
  pauseMillisMax: 5000,
  /** Between two looks at whether the child's main thread still beats; it does so once a second from its start on. */
  lookMillis: 1_000,
} as const;

export interface SuperviseOptions {
  readonly command: string;
  readonly words: readonly string[];
  /** Exit codes after which trying again is useless. */
  readonly finalCodes: readonly number[];
  /** A child whose main thread has not beaten for this long is killed. */
  readonly stuckSeconds: number;
  readonly write: (line: string) => void;
}

/** Pause before restart number `youngDeaths` in a row (0: the child had been well, or this is the first). */
export function pauseMillis(youngDeaths: number): number {
  if (youngDeaths <= 1) return 0;
  return Math.min(SUPERVISE.pauseMillisMax, SUPERVISE.firstPauseMillis * 2 ** Math.min(youngDeaths - 2, 16));
}

/** Runs until a planned end. Resolves to the exit code to end with. */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const state: { child: ChildProcess | undefined; signals: number; wake: (() => void) | undefined } = {
    child: undefined,
    signals: 0,
    wake: undefined,
  };
  const forward = (signal: NodeJS.Signals): void => {
    state.signals++;
    state.child?.kill(signal);
    state.wake?.();
  };
  process.on('SIGTERM', forward);
  process.on('SIGINT', forward);
  try {
    let youngDeaths = 0;
    while (true) {
      const startMillis = monotonicMillis();
      const end = await runOnce(options, (child) => {
        state.child = child;
      });
      state.child = undefined;
      const livedMillis = monotonicMillis() - startMillis;
      if (end.code === 0 || state.signals > 0 || (end.code !== null && options.finalCodes.includes(end.code))) {
        return end.code ?? 1;
      }
      youngDeaths = livedMillis >= SUPERVISE.wellAfterMillis ? 1 : youngDeaths + 1;
      const pause = pauseMillis(youngDeaths);
      const after = pause === 0 ? 'restarting at once' : `restarting in ${pause} ms`;
      options.write(`supervisor: the server ended (${end.text}) after ${(livedMillis / 1000).toFixed(1)} s; ${after}`);
      if (pause > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pause);
          state.wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        state.wake = undefined;
      }
      if (state.signals > 0) return end.code ?? 1;
    }
  } finally {
    process.off('SIGTERM', forward);
    process.off('SIGINT', forward);
  }
}

interface ChildEnd {
  readonly code: number | null;
  readonly text: string;
}

function runOnce(options: SuperviseOptions, started: (child: ChildProcess) => void): Promise<ChildEnd> {
  return new Promise((resolve) => {
    const child = spawn(options.command, [...options.words], {
      // The channel carries nothing: its closing tells the child that its parent is gone, so that a killed
      // supervisor leaves no server behind that nobody restarts.
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      // A group of its own: Ctrl-C in a terminal reaches the whole group, and with our forwarding the child
      // would take it for the second signal, which ends it at once.
      detached: true,
    });
    started(child);
    const watch = new StuckWatch(Math.max(2, Math.ceil((options.stuckSeconds * 1000) / SUPERVISE.lookMillis)));
    let beats = 0;
    child.on('message', () => beats++);
    const looking = setInterval(() => {
      // A start takes as long as it takes: only who has beaten can have stopped.
      if (beats === 0 || !watch.isStuck(0, beats)) return;
      options.write(`supervisor: the server's main thread stood still for ${options.stuckSeconds} s; killing it`);
      child.kill('SIGKILL');
    }, SUPERVISE.lookMillis);
    child.once('error', (error) => {
      clearInterval(looking);
      resolve({ code: null, text: error.message });
    });
    child.once('exit', (code, signal) => {
      clearInterval(looking);
      resolve({ code, text: signal === null ? `exit code ${code}` : `signal ${signal}` });
    });
  });
}
