/**
 * `GET /v1/suspects`: who is withheld from offers and learning for a suspicion, since when, and on what evidence, and
 * `GET /v1/suspects/unusual`: who does more of something than others do. A pass over everybody by a thread of the job pool; who
 * asks while one runs shares it. For operators and privacy, and in the audit log.
 */
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import type { JobPool } from '../../workers/jobs/job-pool.ts';
import type { JobInput, JobResult } from '../../workers/jobs/job-table.ts';
import { type HttpCall, type Route, sendJson, sendProblem } from '../http-route.ts';
import {
  answer as answerOf,
  BOOLEAN,
  COUNT,
  INSTANT,
  integer,
  type JsonSchema,
  listOf,
  mapOf,
  NUMBER,
  type RouteShape,
  TEXT,
} from './route-shape.ts';

const LIMIT = 100;
const LIMIT_MAX = 1_000;

/** Both take how many to name, and answer a list at an instant. */
function listShape(about: string, fields: Readonly<Record<string, JsonSchema>>): RouteShape {
  return {
    parameters: {
      limit: { about: `how many to name; ${LIMIT} unless said`, schema: integer(1, LIMIT_MAX), example: 10 },
    },
    answers: { 200: { about, schema: answerOf({ atEpochMillis: INSTANT, people: COUNT, ...fields }) } },
  };
}

const SUSPECTS_SHAPE = listShape('how many, by suspicion, and the newest of them with the evidence as it is now', {
  tags: mapOf(COUNT),
  suspects: listOf(
    answerOf({
      person: TEXT,
      tag: TEXT,
      sinceEpochMillis: INSTANT,
      isRestricted: BOOLEAN,
      evidence: listOf(answerOf({ reading: TEXT, value: NUMBER })),
    }),
  ),
});
const UNUSUAL_SHAPE = listShape(
  'how many, of how many, and the most unusual of them with the counts that make them so; devices likewise',
  {
    of: COUNT,
    unusual: listOf(
      answerOf({
        person: TEXT,
        score: NUMBER,
        because: listOf(answerOf({ reading: TEXT, value: NUMBER, usual: NUMBER, deviations: NUMBER })),
      }),
    ),
    devices: listOf(answerOf({ device: TEXT, persons: COUNT, usual: COUNT, deviations: NUMBER })),
  },
);

export interface SuspectsOptions {
  readonly jobs: Pick<JobPool, 'run'>;
  readonly catalog: () => CatalogSource | null;
  /** Of a tenant by its name; null while not every worker serves: a job must not be the first to open the store. */
  readonly storePathOf: (tenant: string) => string | null;
  /** Tells the audit log who looked, and at how many; false where it cannot be written. */
  readonly audit: (by: string, tenant: string, people: number) => boolean;
}

export function suspectsRoute(options: SuspectsOptions): ReadonlyMap<string, Route> {
  const suspects = route(options, 'listSuspects', (found, limit) => ({
    ...found,
    suspects: found.suspects.slice(0, limit),
  }));
  const unusual = route(options, 'listUnusual', (found, limit) => ({
    ...found,
    unusual: found.unusual.slice(0, limit),
    devices: found.devices.slice(0, limit),
  }));
  return new Map<string, Route>([
    [
      '/v1/suspects',
      { ...suspects, shape: SUSPECTS_SHAPE, about: 'who is withheld for a suspicion, and why: ?limit=N' },
    ],
    [
      '/v1/suspects/unusual',
      {
        ...unusual,
        shape: UNUSUAL_SHAPE,
        about: 'who does more of something than others do, and devices of more people than others: ?limit=N',
      },
    ],
  ]);
}

type ListJob = 'listSuspects' | 'listUnusual';

function route<Name extends ListJob>(
  options: SuspectsOptions,
  job: Name,
  shown: (found: JobResult<Name>, limit: number) => object,
): Omit<Route, 'about' | 'shape'> {
  const running = new Map<string, Promise<JobResult<Name>>>();
  const list = (tenant: string, input: JobInput<Name>): Promise<JobResult<Name>> => {
    const before = running.get(tenant);
    if (before !== undefined) return before;
    const pass = options.jobs.run(job, input).finally(() => running.delete(tenant));
    running.set(tenant, pass);
    return pass;
  };
  const answer = async ({ url, login, response }: HttpCall): Promise<void> => {
    const text = url.searchParams.get('limit');
    const limit = text === null ? LIMIT : Number(text);
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
      const detail = `query parameter limit: expected how many to name, 1 to ${LIMIT_MAX}`;
      return sendProblem(response, { status: 400, title: 'Bad Request', detail, code: 1001 });
    }
    const { id, tenant } = login.principal;
    const [catalog, storePath] = [options.catalog(), options.storePathOf(tenant)];
    if (catalog === null || storePath === null) {
      const detail = 'shard: a worker is starting; try again';
      const headers = { 'retry-after': '1' };
      return sendProblem(response, { status: 503, title: 'Service Unavailable', detail, headers });
    }
    const found = await list(tenant, { storePath, catalog });
    if (!options.audit(id, tenant, found.people)) {
      const detail = "audit: the log cannot be written, so no person's data is shown; try again later";
      return sendProblem(response, { status: 503, title: 'Service Unavailable', detail });
    }
    sendJson(response, 200, shown(found, limit));
  };
  return { method: 'GET', operation: 'suspects', answer };
}
