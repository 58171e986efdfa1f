/**
 * Power losses: a store is written to by several threads while every write and sync of its file is recorded, and
 * then opened in hundreds of states its disk may be in if the power had failed, with unsynced writes lost, torn or
 * there. Each state must hold every batch acknowledged by then, whole. The same check must fail on a store opened
 * with `noSync`.
 */
import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../server/running-node.ts';
import { builtStore } from '../workers/store/built-store.ts';
import { fractions, report, roundsOf, SEED } from './crash-run.ts';
import { DiskRecord, LOSSES, SECTOR_BYTES } from './disk-images.ts';

const ROUNDS = roundsOf(60);
const IMAGES_A_RECORD = 250;
const STREAMS = 2;
const BATCHES = 120;
const folder = temporaryFolder('power-loss');

/** The compiled recorder, or undefined with the reason on the console. */
function compileRecorder(): string | undefined {
  const library = join(folder, 'record-writes.so');
  const words = ['-O1', '-shared', '-fPIC', '-o', library, resolve('test/crash/record-writes.c'), '-ldl', '-lpthread'];
  const { status, error, stderr } = spawnSync('cc', words, { encoding: 'utf8' });
  if (process.platform === 'linux' && status === 0) return library;
  console.warn(`SKIPPED power loss: writes are recorded on Linux with a C compiler (${error?.message ?? stderr})`);
  return undefined;
}

const recorder = compileRecorder();

/** Runs the writer to its end under the recorder. */
function recordWrites(name: string, nodeWords: readonly string[] = []): Buffer {
  const log = join(folder, `${name}.log`);
  const path = join(folder, name, 'store');
  const script = resolve('test/crash/write-streams.mjs');
  execFileSync(process.execPath, [...nodeWords, script, builtStore(), path, String(STREAMS), String(BATCHES)], {
    env: {
      ...process.env,
      LD_PRELOAD: recorder,
      OPPORTUNE_RECORD_FILE: `/${name}/store/data.mdb`,
      OPPORTUNE_RECORD_LOG: log,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const bytes = readFileSync(log);
  rmSync(log);
  rmSync(join(folder, name), { recursive: true });
  return bytes;
}

/** Opens images in a process that may die of one; then the next has a new one. */
class ImageChecker {
  #child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #lines: Interface | undefined;

  async check(bytes: Buffer): Promise<{ last?: number[]; problem?: string }> {
    const path = join(folder, 'image');
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
    writeFileSync(join(path, 'data.mdb'), bytes);
    const { child, lines } = this.#running();
    return new Promise((done) => {
      const end = (code: number | null, signal: string | null): void => {
        this.#child = undefined;
        done({ problem: `ended its reader: ${signal ?? `exit code ${code}`}` });
      };
      child.once('close', end);
      lines.once('line', (line) => {
        child.off('close', end);
        done(JSON.parse(line) as { last?: number[]; problem?: string }); // what check-images.mjs prints
      });
      child.stdin.write(`${path}\n`);
    });
  }

  #running(): { child: ChildProcessByStdio<Writable, Readable, null>; lines: Interface } {
    if (this.#child === undefined || this.#lines === undefined) {
      const words = [resolve('test/crash/check-images.mjs'), builtStore(), String(STREAMS)];
      this.#child = spawn(process.execPath, words, {
        stdio: ['pipe', 'pipe', 'ignore'],
        env: { ...process.env, LMDB_RESTORE: 'safe' },
      });
      this.#child.stdin.on('error', () => {}); // its end is told by 'close'
      this.#lines = createInterface({ input: this.#child.stdout });
    }
    return { child: this.#child, lines: this.#lines };
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
  }
}

interface Verdict {
  images: number;
  acknowledged: number;
  /** Acknowledged batches that an image does not have, over all images. */
  lost: number;
  /** Images with unsure writes, in which something can be lost at all. */
  risky: number;
  readonly problems: string[];
}

const checker = new ImageChecker();
afterAll(() => checker.stop());

async function judge(log: Buffer, images: number, fraction: () => number): Promise<Verdict> {
  const record = new DiskRecord(log);
  const verdict: Verdict = { images: 0, acknowledged: 0, lost: 0, risky: 0, problems: [] };
  const moments = Array.from({ length: images }, () => 20 + Math.floor(fraction() * (record.entryCount - 20)));
  for (const [index, moment] of moments.sort((a, b) => a - b).entries()) {
    record.advance(moment);
    const loss = LOSSES[index % LOSSES.length] ?? LOSSES[0];
    const { bytes, acknowledged, unsure } = record.image(loss, fraction);
    const acked = Array.from({ length: STREAMS }, () => 0);
    for (const line of acknowledged) {
      const [, stream, batch] = line.split(' ').map(Number);
      if (stream !== undefined && batch !== undefined) acked[stream] = Math.max(acked[stream] ?? 0, batch);
    }
    const { last, problem } = await checker.check(bytes);
    verdict.images++;
    if (unsure > 0) verdict.risky++;
    verdict.acknowledged = Math.max(
      verdict.acknowledged,
      acked.reduce((sum, batch) => sum + batch, 0),
    );
    if (problem !== undefined) verdict.problems.push(`image at ${moment} with ${loss}: ${problem}`);
    for (const [stream, batch] of acked.entries()) verdict.lost += Math.max(0, batch - (last?.[stream] ?? batch));
  }
  return verdict;
}

describe.skipIf(recorder === undefined)('power loss', () => {
  it(`${ROUNDS} images of the disk: each opens, and has every acknowledged batch whole`, {
    timeout: 60_000 + ROUNDS * 1000,
  }, async () => {
    const fraction = fractions(SEED);
    let acknowledged = 0;
    let risky = 0;
    let lost = 0;
    const problems: string[] = [];
    for (let left = ROUNDS; left > 0; left -= IMAGES_A_RECORD) {
      const log = recordWrites('synced');
      const verdict = await judge(log, Math.min(left, IMAGES_A_RECORD), fraction);
      lost += verdict.lost;
      problems.push(...verdict.problems);
      expect(verdict.acknowledged).toBeGreaterThan(BATCHES / 2);
      acknowledged += verdict.acknowledged;
      risky += verdict.risky;
    }
    expect(risky).toBeGreaterThan(ROUNDS / 4);
    report({
      mode: 'power loss',
      rounds: ROUNDS,
      acknowledged,
      lost,
      duplicated: 0, // each batch is read under its own number: there is no second one
      recoveryMillis: [],
      note: `images with lost, random and torn (${SECTOR_BYTES} bytes) writes, ${risky} of them with writes not yet synced; ${problems.length} did not open whole`,
    });
    expect({ lost, problems }).toEqual({ lost: 0, problems: [] });
  });

  it('the check fails on a store that is opened with noSync', { timeout: 120_000 }, async () => {
    const log = recordWrites('unsynced', ['--import', resolve('test/crash/force-no-sync.mjs')]);
    const { lost, problems, acknowledged } = await judge(log, 20, fractions(SEED));
    expect(acknowledged).toBeGreaterThan(BATCHES / 2);
    expect(lost + problems.length).toBeGreaterThan(5);
    expect(lost).toBeGreaterThan(0);
  });
});
