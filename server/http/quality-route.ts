/**
 * `GET /v1/quality`: how good what is known of people is, and what comes from where. The sources are asked of every
 * worker as they are now; people are counted by a job beside the node, for each tenant at most every half minute and
 * never twice at once, so that asking often costs no more than asking once.
 */

import { DOORS } from '../../actors/dead-letters.ts';
import type { CatalogSource } from '../../workers/catalog/catalog-source.ts';
import { epochMillis } from '../../workers/clock.ts';
import type { JobPool } from '../../workers/jobs/job-pool.ts';
import type { ProfilesQuality } from '../../workers/quality/count-profiles.ts';
import { sourceQuality } from '../../workers/quality/source-report.ts';
import type { SourceRow } from '../../workers/quality/source-tallies.ts';
import { type HttpCall, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { ShardAsks } from '../shard-asks.ts';
import { answer, COUNT, INSTANT, listOf, mapOf, NUMBER, oneOf, orNull, type RouteShape, TEXT } from './route-shape.ts';

const AGE_MILLIS_MAX = 30_000;

const SHARE = orNull(NUMBER);
const SHAPE: RouteShape = {
  answers: {
    200: {
      about: 'people as they were counted at most half a minute ago; sources since the node started',
      schema: answer({
        atEpochMillis: INSTANT,
        profiles: answer({
          people: COUNT,
          sampled: COUNT,
          score: SHARE,
          completeness: SHARE,
          validity: SHARE,
          freshness: SHARE,
          bands: listOf(NUMBER),
          traits: listOf(answer({ trait: TEXT, weight: NUMBER, known: NUMBER, flagged: NUMBER })),
          contradictions: mapOf(NUMBER),
        }),
        sinceEpochMillis: INSTANT,
        sources: listOf(
          answer({
            door: oneOf(DOORS),
            source: TEXT,
            received: COUNT,
            accepted: COUNT,
            duplicates: COUNT,
            cleaned: COUNT,
            flagged: COUNT,
            refused: COUNT,
            dropped: COUNT,
            reasons: mapOf(COUNT),
            completeness: SHARE,
            validity: SHARE,
            score: SHARE,
          }),
        ),
      }),
    },
  },
};

export interface QualityOptions {
  readonly asks: ShardAsks;
  readonly shards: number;
  /** Number and store of a tenant by its name. */
  readonly tenantOf: (name: string) => { readonly tenant: number; readonly storePath: string };
  readonly catalog: () => CatalogSource | null;
  readonly jobs: Pick<JobPool, 'run'>;
}

interface Counted {
  readonly atEpochMillis: number;
  readonly version: string;
  readonly profiles: Promise<ProfilesQuality>;
}

export class QualityRoute {
  readonly #options: QualityOptions;
  /** By tenant. */
  readonly #counted = new Map<number, Counted>();

  constructor(options: QualityOptions) {
    this.#options = options;
  }

  get routes(): ReadonlyMap<string, Route> {
    return new Map<string, Route>([
      [
        '/v1/quality',
        {
          method: 'GET',
          about: 'how good what is known of people is, and what comes from where',
          operation: 'quality',
          shape: SHAPE,
          answer: (call) => this.#answer(call),
        },
      ],
    ]);
  }

  async #answer({ login, response }: HttpCall): Promise<void> {
    const { asks, shards, tenantOf, catalog } = this.#options;
    const { tenant, storePath } = tenantOf(login.principal.tenant);
    const source = catalog();
    if (source === null) return sendAway(response);
    const answers = await Promise.all(
      Array.from({ length: shards }, (_, shard) => asks.ask(shard, tenant, { op: 'sources' })),
    );
    const rows: SourceRow[] = [];
    let sinceEpochMillis = Number.POSITIVE_INFINITY;
    for (const answer of answers) {
      if (answer?.kind !== 'sources') return sendAway(response);
      rows.push(...answer.rows);
      sinceEpochMillis = Math.min(sinceEpochMillis, answer.sinceEpochMillis);
    }
    const { atEpochMillis, profiles } = this.#count(tenant, storePath, source);
    sendJson(response, 200, {
      atEpochMillis,
      profiles: await profiles,
      sinceEpochMillis,
      sources: sourceQuality(rows),
    });
  }

  #count(tenant: number, storePath: string, catalog: CatalogSource): Counted {
    const now = epochMillis();
    const known = this.#counted.get(tenant);
    if (known !== undefined && known.version === catalog.version && now - known.atEpochMillis < AGE_MILLIS_MAX)
      return known;
    const profiles = this.#options.jobs.run('countQuality', { storePath, catalog, nowEpochMillis: now });
    const counted = { atEpochMillis: now, version: catalog.version, profiles };
    this.#counted.set(tenant, counted);
    // One that failed is not the answer for half a minute; who waits is told by their own promise.
    profiles.catch(() => {
      if (this.#counted.get(tenant) === counted) this.#counted.delete(tenant);
    });
    return counted;
  }
}

function sendAway(response: HttpCall['response']): void {
  const detail = 'shard: a worker is starting; try again';
  sendProblem(response, { status: 503, title: 'Service Unavailable', detail, headers: { 'retry-after': '1' } });
}
