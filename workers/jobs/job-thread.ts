/**
 * What a pool thread loads: one function a job, each of which loads its own file when it is first called,
 * so that a thread that writes snapshots never loads the store. Nothing imports this file; the pool names it,
 * and loading it lowers the thread's priority before any job begins.
 */
import type { JobInput, JobName, JobOutcome, JobResult } from './job-table.ts';
import { lowerThreadPriority } from './thread-priority.ts';

lowerThreadPriority();

type Job<Name extends JobName> = (input: JobInput<Name>) => Promise<JobOutcome<Name>>;

export const collectPeople: Job<'collectPeople'> = (input) =>
  outcomeOf(async () => (await import('./collect-people.ts')).collectPeople(input));

export const countQuality: Job<'countQuality'> = (input) =>
  outcomeOf(async () => (await import('./count-quality.ts')).countQuality(input));

export const evaluatePolicy: Job<'evaluatePolicy'> = (input) =>
  outcomeOf(async () => (await import('./evaluate-policy.ts')).evaluatePolicy(input));

export const exportLog: Job<'exportLog'> = (input) =>
  outcomeOf(async () => (await import('./export-log.ts')).exportLog(input));

export const fitPurchases: Job<'fitPurchases'> = (input) =>
  outcomeOf(async () => (await import('./fit-purchases.ts')).fitPurchases(input));
export const fitChurn: Job<'fitChurn'> = (input) =>
  outcomeOf(async () => (await import('./fit-churn.ts')).fitChurn(input));

export const fitRelated: Job<'fitRelated'> = (input) =>
  outcomeOf(async () => (await import('./fit-related.ts')).fitRelated(input));

export const fitSegments: Job<'fitSegments'> = (input) =>
  outcomeOf(async () => (await import('./fit-segments.ts')).fitSegments(input));

export const listSuspects: Job<'listSuspects'> = (input) =>
  outcomeOf(async () => (await import('../segments/list-suspects.ts')).listSuspects({ ...input }));

export const listUnusual: Job<'listUnusual'> = (input) =>
  outcomeOf(async () => (await import('../segments/list-unusual.ts')).listUnusual({ ...input }));

export const measureUsual: Job<'measureUsual'> = (input) =>
  outcomeOf(async () => (await import('../segments/measure-usual.ts')).measureUsual(input));

export const readFacts: Job<'readFacts'> = (input) =>
  outcomeOf(async () => (await import('./read-facts.ts')).readFacts(input));

export const sizeSegments: Job<'sizeSegments'> = (input) =>
  outcomeOf(async () => (await import('./size-segments.ts')).sizeSegments(input));

export const writeFacts: Job<'writeFacts'> = (input) =>
  outcomeOf(async () => (await import('./write-facts.ts')).writeFacts(input));

export const writeModelSnapshot: Job<'writeModelSnapshot'> = (input) =>
  outcomeOf(async () => (await import('./model-snapshot-file.ts')).writeModelSnapshot(input));

async function outcomeOf<Name extends JobName>(work: () => Promise<JobResult<Name>>): Promise<JobOutcome<Name>> {
  try {
    return { isOk: true, result: await work() };
  } catch (error) {
    if (!(error instanceof Error))
      return { isOk: false, name: 'Error', message: String(error), code: undefined, stack: '' };
    const { name, message, stack = '' } = error;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    return { isOk: false, name, message, code, stack };
  }
}
