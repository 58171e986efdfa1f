/**
 * The jobs by name: types only, so that a caller's code loads none of them. The name is that of the
 * function `job-thread.ts` exports; to add a job, write its file, add a line here and one there.
 */
import type { listSuspects } from '../segments/list-suspects.ts';
import type { listUnusual } from '../segments/list-unusual.ts';
import type { measureUsual } from '../segments/measure-usual.ts';
import type { collectPeople } from './collect-people.ts';
import type { countQuality } from './count-quality.ts';
import type { evaluatePolicy } from './evaluate-policy.ts';
import type { exportLog } from './export-log.ts';
import type { fitChurn } from './fit-churn.ts';
import type { fitPurchases } from './fit-purchases.ts';
import type { fitRelated } from './fit-related.ts';
import type { fitSegments } from './fit-segments.ts';
import type { writeModelSnapshot } from './model-snapshot-file.ts';
import type { readFacts } from './read-facts.ts';
import type { sizeSegments } from './size-segments.ts';
import type { writeFacts } from './write-facts.ts';

export interface Jobs {
  readonly collectPeople: typeof collectPeople;
  readonly countQuality: typeof countQuality;
  readonly evaluatePolicy: typeof evaluatePolicy;
  readonly exportLog: typeof exportLog;
  readonly fitPurchases: typeof fitPurchases;
  readonly fitChurn: typeof fitChurn;
  readonly fitRelated: typeof fitRelated;
  readonly fitSegments: typeof fitSegments;
  readonly listSuspects: typeof listSuspects;
  readonly listUnusual: typeof listUnusual;
  readonly measureUsual: typeof measureUsual;
  readonly readFacts: typeof readFacts;
  readonly sizeSegments: typeof sizeSegments;
  readonly writeFacts: typeof writeFacts;
  readonly writeModelSnapshot: typeof writeModelSnapshot;
}
export type JobName = keyof Jobs;
export type JobInput<Name extends JobName> = Parameters<Jobs[Name]>[0];
export type JobResult<Name extends JobName> = Awaited<ReturnType<Jobs[Name]>>;

/** What crosses the threads: cloning an error keeps its message and loses its code, so failures are spelt out. */
export type JobOutcome<Name extends JobName> =
  | { readonly isOk: true; readonly result: JobResult<Name> }
  | {
      readonly isOk: false;
      readonly name: string;
      readonly message: string;
      readonly code: string | undefined;
      readonly stack: string;
    };
