/**
 * What a pool thread loads: one function a job, each of which loads its own file when it is first called,
 * so that a thread that writes snapshots never loads the store. Nothing imports this file; the pool names it.
 */
import type { JobInput, JobName, JobResult } from './job-table.ts';

type Job<Name extends JobName> = (input: JobInput<Name>) => Promise<JobResult<Name>>;

export const evaluatePolicy: Job<'evaluatePolicy'> = async (input) =>
  (await import('./evaluate-policy.ts')).evaluatePolicy(input);

export const exportLog: Job<'exportLog'> = async (input) => (await import('./export-log.ts')).exportLog(input);

export const writeModelSnapshot: Job<'writeModelSnapshot'> = async (input) =>
  (await import('./model-snapshot-file.ts')).writeModelSnapshot(input);
