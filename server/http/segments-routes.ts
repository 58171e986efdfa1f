/**
 * Sizes of tags and previews of rules over HTTP, for marketers and operators. What is counted within two seconds is
 * answered at once; a longer pass is answered 202 with its number, under which it is asked for again.
 *
 * A privacy guard: to everybody but operators a count under `SHOWN_MIN` is shown as null, so that a rule about one person
 * is no way to look that person up. It keeps honest people from learning of one by mistake; who may ask for many overlapping
 * rules can still subtract. Called by `node.ts`, which hands the routes to admin HTTP.
 */
import type { CatalogError } from '../../workers/catalog/catalog-error.ts';
import type { SegmentCounts } from '../../workers/segments/count-segments.ts';
import { type HttpCall, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { Pass, SegmentSizes } from '../segment-sizes.ts';
import {
  answer,
  COUNT,
  exactBody,
  INSTANT,
  integer,
  json,
  listOf,
  NUMBER,
  orNull,
  type RouteShape,
  TEXT,
  textUpTo,
} from './route-shape.ts';

const SHOWN_MIN = 5;
const RULE_LENGTH_MAX = 4096;
const SAMPLE_MAX = 1_000_000_000;
const BODY_BYTES_MAX = 32 * 1024;
const WAIT_MILLIS = 2_000;
const CATALOG_INVALID: CatalogError['code'] = 'CATALOG_INVALID';

/** A count; null to all but operators where it is under `shownFrom`. */
const SHOWN = orNull(COUNT);
const COUNTED: Pick<RouteShape, 'answers' | 'problems'> = {
  answers: {
    200: {
      about: 'counted',
      schema: answer(
        {
          people: COUNT,
          restricted: SHOWN,
          tags: listOf(answer({ tag: TEXT, family: TEXT, people: SHOWN })),
          journeys: listOf(
            answer({
              journey: TEXT,
              stages: listOf(answer({ stage: TEXT, people: SHOWN })),
              left: SHOWN,
              reached: SHOWN,
            }),
          ),
          rule: orNull(
            answer({ matches: SHOWN, clauses: listOf(answer({ clause: TEXT, alone: SHOWN, without: SHOWN })) }),
          ),
          sample: orNull(answer({ records: COUNT, share: orNull(answer({ low: NUMBER, high: NUMBER })) })),
          unkept: listOf(TEXT),
          shownFrom: { ...COUNT, description: 'counts under it are null' },
          startedAtEpochMillis: INSTANT,
          atEpochMillis: INSTANT,
        },
        ['shownFrom'],
      ),
    },
    202: {
      about: 'it takes longer: ask `/v1/segments/pass?id=` with the number in `pass`, as `Location` says',
      schema: answer({ pass: COUNT, read: COUNT, total: COUNT }),
    },
  },
  problems: [429],
};
const PREVIEW_SHAPE: RouteShape = {
  ...COUNTED,
  body: json(
    exactBody({ rule: textUpTo(RULE_LENGTH_MAX, 'in CEL'), sample: orNull(integer(1, SAMPLE_MAX)) }, ['rule']),
    { sampled: { rule: 'count("view", "7d") >= 2', sample: 20_000 } },
  ),
};
const PASS_SHAPE: RouteShape = {
  ...COUNTED,
  parameters: { id: { about: 'its number', schema: integer(0, 999_999_999), example: 1, isNeeded: true } },
  problems: [404, 429],
};

/**
 * @param sizesOf a tenant's
 * @param waitMillis how long an answer waits for its count
 */
export function segmentsRoutes(
  sizesOf: (tenant: string) => SegmentSizes | undefined,
  waitMillis = WAIT_MILLIS,
): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  routes.set('/v1/segments', {
    method: 'GET',
    about: 'how many people hold each tag now',
    operation: 'segments',
    shape: COUNTED,
    answer: (call) => answerPass(call, sizesOf(call.login.principal.tenant)?.sizes() ?? null, waitMillis),
  });
  routes.set('/v1/segments/preview', {
    method: 'POST',
    bodyBytesMax: BODY_BYTES_MAX,
    about: 'how many people a rule would match, and what each clause cuts: {rule, sample}',
    operation: 'segments',
    shape: PREVIEW_SHAPE,
    answer: (call) => {
      const asked = readPreview(call.body);
      if (typeof asked === 'string') return refuse(call, asked);
      const sizes = sizesOf(call.login.principal.tenant);
      return answerPass(call, sizes?.preview(asked.rule, asked.sample) ?? null, waitMillis);
    },
  });
  routes.set('/v1/segments/pass', {
    method: 'GET',
    about: 'a count that took longer: ?id=N',
    operation: 'segments',
    shape: PASS_SHAPE,
    answer: (call) => {
      const id = call.url.searchParams.get('id') ?? '';
      if (!/^\d{1,9}$/.test(id)) return refuse(call, 'query parameter id: expected the number of a pass');
      const pass = sizesOf(call.login.principal.tenant)?.pass(Number(id));
      if (pass !== undefined) return answerPass(call, pass, waitMillis);
      const detail = `there is no pass ${id}, or it was long ago; ask anew`;
      return sendProblem(call.response, { status: 404, title: 'Not Found', detail });
    },
  });
  return routes;
}

/** What is asked, or what is wrong with it. */
function readPreview(body: Buffer): { readonly rule: string; readonly sample: number | null } | string {
  let content: { rule?: unknown; sample?: unknown } | null;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as typeof content; // looked at below
  } catch {
    return 'body: is not valid JSON';
  }
  const { rule, sample = null, ...others } = content ?? {};
  if (typeof rule !== 'string' || rule.trim() === '' || rule.length > RULE_LENGTH_MAX)
    return `rule: expected a rule in CEL of 1 to ${RULE_LENGTH_MAX} characters`;
  if (sample !== null && !(Number.isSafeInteger(sample) && Number(sample) >= 1 && Number(sample) <= SAMPLE_MAX))
    return `sample: expected how many people to look at, 1 to ${SAMPLE_MAX}, or null for all`;
  if (Object.keys(others).length > 0) return 'body: expected {rule, sample} and nothing else';
  return { rule, sample: sample === null ? null : Number(sample) };
}

async function answerPass(call: HttpCall, pass: Pass | null, waitMillis: number): Promise<void> {
  const { response, login } = call;
  if (pass === null) {
    const detail = 'too many counts wait, or not every worker serves; try again';
    const headers = { 'retry-after': '5' };
    return sendProblem(response, { status: 429, title: 'Too Many Requests', detail, headers });
  }
  let counts: SegmentCounts | null;
  try {
    counts = await within(pass.counts, waitMillis);
  } catch (error) {
    // Of a JobError the code is that of what was thrown in the job.
    if ((error as { code?: unknown }).code !== CATALOG_INVALID) throw error;
    return refuse(call, (error as Error).message);
  }
  const { id, read, total } = pass;
  if (counts === null) {
    response.setHeader('location', `/v1/segments/pass?id=${id}`);
    response.setHeader('retry-after', '1');
    return sendJson(response, 202, { pass: id, read, total });
  }
  sendJson(response, 200, login.principal.roles.includes('operator') ? counts : guarded(counts));
}

/** Null when it takes longer. */
async function within<T>(promise: Promise<T>, millis: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), millis);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function refuse({ response }: HttpCall, detail: string): void {
  sendProblem(response, { status: 400, title: 'Bad Request', detail, code: 1001 });
}

const shown = (count: number): number | null => (count < SHOWN_MIN ? null : count);

/** None and few are shown alike: else the difference would say whether somebody is there. */
function guarded(counts: SegmentCounts): unknown {
  const { tags, journeys, rule, sample, ...others } = counts;
  const isFew = rule !== null && rule.matches < SHOWN_MIN;
  return {
    ...others,
    shownFrom: SHOWN_MIN,
    restricted: shown(counts.restricted),
    tags: tags.map((tag) => ({ ...tag, people: shown(tag.people) })),
    journeys: journeys.map(({ journey, stages, left, reached }) => ({
      journey,
      stages: stages.map((one) => ({ ...one, people: shown(one.people) })),
      left: shown(left),
      reached: shown(reached),
    })),
    rule: rule && {
      matches: shown(rule.matches),
      clauses: rule.clauses.map((one) => ({ ...one, alone: shown(one.alone), without: shown(one.without) })),
    },
    sample: sample && { ...sample, share: isFew ? null : sample.share },
  };
}
