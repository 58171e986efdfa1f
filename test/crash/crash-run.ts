/**
 * What the crash tests have in common: how often and from which seed, random moments that the seed repeats, and
 * the row each adds to the report. `npm run crash` sets the first (see run.mjs) and prints the rows as a table;
 * within `npm test` the numbers are small and the row is a line on the console.
 */
import { appendFileSync } from 'node:fs';
import { verifyFolder } from '../../workers/backup/verify-folder.ts';
import type { Finding } from '../../workers/backup/verify-store.ts';
import { auditViews, type EventWriter } from '../server/event-writer.ts';
import type { WirePeer } from '../server/wire-peer.ts';

/** Printed with every row, so that a failure can be repeated. */
export const SEED = Number(process.env.CRASH_SEED ?? 20_261_122);

/** How often a mode breaks the server: what was asked for on the command line, or the short number of `npm test`. */
export function roundsOf(short: number): number {
  return Number(process.env.CRASH_ROUNDS ?? short);
}

/** Numbers from 0 to 1 that a seed repeats (Lehmer, Park and Miller 1988). */
export function fractions(seed: number): () => number {
  let state = Math.max(1, seed % 2_147_483_647);
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** What `opportune verify` says of the folder of a stopped or killed server. */
export async function findingsIn(path: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  const folder = new URL('../../dist/workers/backup/', import.meta.url);
  await verifyFolder({ path, folder, onFinding: (finding) => findings.push(finding), onProgress: () => undefined });
  return findings;
}

/** The most that was ever missing or too many, over all looks at all profiles: what the report says and the test judges. */
export class Audit {
  lost = 0;
  duplicated = 0;

  async look(peer: WirePeer, writer: EventWriter): Promise<void> {
    const { missing, surplus } = await auditViews(peer, writer);
    this.lost = Math.max(this.lost, missing);
    this.duplicated = Math.max(this.duplicated, surplus);
  }
}

export interface CrashRow {
  readonly mode: string;
  readonly rounds: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
  /** From breaking it, or starting it again, until it serves; empty where nothing had to recover. */
  readonly recoveryMillis: readonly number[];
  readonly note: string;
}

export function report(row: CrashRow): void {
  const { mode, rounds, acknowledged, lost, duplicated, recoveryMillis, note } = row;
  const sorted = [...recoveryMillis].sort((a, b) => a - b);
  const median = Math.round(sorted[sorted.length >> 1] ?? 0);
  const most = Math.round(sorted.at(-1) ?? 0);
  const recovery = sorted.length === 0 ? '' : `; recovery ${median} ms in the median, ${most} ms at most`;
  console.log(
    `MEASURED ${mode}: seed ${SEED}, ${rounds} rounds, ${acknowledged} acknowledged, ${lost} lost, ${duplicated} duplicated${recovery}; ${note}`,
  );
  const file = process.env.CRASH_REPORT;
  if (file !== undefined)
    appendFileSync(file, `${JSON.stringify({ mode, rounds, acknowledged, lost, duplicated, median, most, note })}\n`);
}
