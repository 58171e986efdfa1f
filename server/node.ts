/**
 * The node: the main thread's composition root. Opens the data folder, starts the shard workers and
 * keeps them alive, watches the catalog file, and carries health, metrics and traces to the outside. It
 * never touches a request.
 *
 *   startNode ─▸ data folder ─▸ workers recover ─▸ all listen ─▸ map to all ─▸ ready
 *   worker exits ─▸ links cut ─▸ replacement recovers its partitions ─▸ links anew        (others go on)
 *   catalog file changes ─▸ validated here ─▸ compiled in each worker        (a bad one is refused, the old stays)
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { Catalog } from '../decision/catalog.ts';
import type { FeedPush, FeedSpec } from '../decision/feed-table.ts';
import type { ZoneData } from '../decision/local-time.ts';
import { dealParts, type PartKeys } from '../decision/part-register.ts';
import type { ShardAddress } from '../proto/messages.ts';
import { FAULT } from '../proto/statuses.ts';
import { createAuditMemory } from '../workers/audit/audit-gate.ts';
import { CatalogError } from '../workers/catalog/catalog-error.ts';
import { type CatalogSource, compileCatalogSource } from '../workers/catalog/catalog-source.ts';
import { catalogVersion, readCatalogText } from '../workers/catalog/catalog-text.ts';
import { type KeptCatalog, keep, readKept } from '../workers/catalog/checked-catalog.ts';
import { epochMillis, monotonicMillis, scaleClock } from '../workers/clock.ts';
import { JobPool } from '../workers/jobs/job-pool.ts';
import type { ModelSnapshot } from '../workers/jobs/model-snapshot-file.ts';
import { MetricsReader } from '../workers/metrics-layout.ts';
import { dealSlots, type LedgerSubject } from '../workers/shared-ledger.ts';
import { missingBytes } from '../workers/store/data-file.ts';
import type { DataFolder } from '../workers/store/data-folder.ts';
import { fingerprintOf } from '../workers/vault/master-key.ts';
import { KEYS_AT_A_TIME } from '../workers/vault/trait-vault.ts';
import { tenantsOf } from './access/access-options.ts';
import { isOriginAllowed } from './access/doorkeeper.ts';
import { NodeAccess } from './access/node-access.ts';
import { type AdminHttp, type Drill, startAdminHttp } from './admin-http.ts';
import type { ResolvedConfig } from './config.ts';
import { FeedKeeper } from './feed-keeper.ts';
import { FitKeeper } from './fit-keeper.ts';
import { contextRoute } from './http/context-routes.ts';
import { EventIntake } from './http/incoming-event.ts';
import { ingestRoutes } from './http/ingest-routes.ts';
import { letterRoutes } from './http/letter-routes.ts';
import { QualityRoute } from './http/quality-route.ts';
import { segmentsRoutes } from './http/segments-routes.ts';
import { ShardGateway } from './http/shard-gateway.ts';
import { suspectsRoute } from './http/suspects-route.ts';
import { webhookRoutes } from './http/webhook-routes.ts';
import type { Route } from './http-route.ts';
import { assertPortFree } from './listen-port.ts';
import { createLog, type Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { NodeAudit } from './node-audit.ts';
import type { NodeAddresses, NodeStatus, RunningNode, ShardState, ShardStatus, TransportNote } from './node-status.ts';
import { NodeWatch } from './node-watch.ts';
import { OperatorError } from './operator-error.ts';
import { type OtelSettings, readOtelEnvironment } from './otel-environment.ts';
import { packageVersion } from './package-version.ts';
import { residentMemoryBytes } from './resident-memory.ts';
import { SegmentSizes } from './segment-sizes.ts';
import { ShardAsks } from './shard-asks.ts';
import type { ShardCrew } from './shard-crew.ts';
import { partitionsOf } from './shard-map.ts';
import type { FromShard, ShardThreadData, ToShard } from './shard-messages.ts';
import type { createResource, Tracing } from './telemetry.ts';
import { TenantEstate } from './tenant-estate.ts';
import { UsualKeeper } from './usual-keeper.ts';
import { WebhookKeeper } from './webhooks/webhook-keeper.ts';

const PROGRAM = `opportune/${packageVersion()}`;
const CATALOG_SETTLE_MILLIS = 100;
const CATALOG_POLL_MILLIS = 2_000;
const TRIM_MILLIS = 30_000;
const STOP_MILLIS = 15_000;
/** A replacement waits no longer for a fresher model than learning it again might take. */
const FRESH_SNAPSHOT_MILLIS = 100;
/** The spare is hired when the first answers are out: at a start, a replacement, a restart. */
const SPARE_AFTER_MILLIS = 1_000;
const TELEMETRY_STOP_MILLIS = 2_000;
/** A worker that dies this often in this time is a fault that replacing does not mend. */
const RESTARTS_MAX = 10;
const RESTARTS_WINDOW_MILLIS = 60_000;

interface ShardHandle {
  readonly index: number;
  worker: Worker;
  state: ShardState;
  restarts: number;
  restartedAt: number[];
  /** Tenants whose store it cannot write. */
  readonly readOnly: Set<number>;
  problem: string | null;
  port: number;
  /** By tenant: stopped, with everything in its records. */
  isWritten: readonly boolean[];
  catalogVersion: string;
}

/**
 * Starts the node.
 * @param crew threads for the workers, hired before this file was loaded, so that both load side by side
 * @throws OperatorError, CatalogError or DataFolderError, with what is wrong and what to do.
 */
export async function startNode(config: ResolvedConfig, crew: ShardCrew): Promise<RunningNode> {
  const node = new Node(config, crew);
  try {
    await node.start();
  } catch (error) {
    await node.stop();
    throw error;
  }
  return node;
}

class Node implements RunningNode {
  addresses: NodeAddresses = { websocket: '', shards: [], admin: '' };
  transport: TransportNote = { name: 'ws', note: '' };
  isFirstStart = false;
  readonly failed: Promise<Error>;
  #fail: (error: Error) => void = () => {};
  readonly #config: ResolvedConfig;
  readonly #log: Log;
  readonly #otel: OtelSettings;
  readonly #startedAt = epochMillis();
  readonly #shards: ShardHandle[] = [];
  readonly #waiters: { matches: (shard: number, message: FromShard) => boolean; resolve: () => void }[] = [];
  readonly #tenants: readonly TenantEstate[];
  #access: NodeAccess | null = null;
  #audit: NodeAudit | null = null;
  readonly #auditMemory;
  #canSharePort = false;
  #catalog: CatalogSource | null = null;
  #zones: readonly ZoneData[] = [];
  #catalogRefused: string | null = null;
  #subjects: LedgerSubject[] = [];
  #parts: PartKeys = new Uint32Array(0);
  #metrics: Promise<Metrics> | null = null;
  #tracing: Promise<Tracing> | null = null;
  #admin: AdminHttp | null = null;
  readonly #gateway: ShardGateway;
  readonly #intake: EventIntake;
  readonly #asks: ShardAsks;
  readonly #quality: QualityRoute;
  readonly #fits: readonly FitKeeper[];
  readonly #feeds: readonly FeedKeeper[];
  readonly #usual: UsualKeeper;
  /** Of counts that are asked for; no thread while none is. */
  readonly #jobs = new JobPool({ threads: 1 });
  readonly #sizes: ReadonlyMap<string, SegmentSizes>;
  readonly #webhooks: WebhookKeeper;
  #watcher: FSWatcher | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #crew: ShardCrew;
  #spareTimer: NodeJS.Timeout | undefined;
  #watch: NodeWatch | null = null;
  #sharedPort = 0;
  #isDraining = false;
  #isMemoryFull = false;
  #isStopping = false;
  #stopped: Promise<void> | null = null;

  constructor(config: ResolvedConfig, crew: ShardCrew) {
    this.#config = config;
    this.#crew = crew;
    scaleClock(config.timeScale, this.#startedAt);
    this.#log = createLog(config.logLevel);
    this.#otel = readOtelEnvironment(process.env, config.traceSampleRatio);
    this.#auditMemory = createAuditMemory(config.workers);
    this.#tenants = tenantsOf(config).map((name) => new TenantEstate(name, config.workers));
    this.#gateway = new ShardGateway({
      tenants: this.#tenants.map(({ name }) => name),
      shards: config.workers,
      connect: (shard) => this.#connect(shard),
      requestsPerSecondPerToken: config.requestsPerSecondPerToken,
      refusal: () => (this.#isDraining ? FAULT.shuttingDown : this.#isMemoryFull ? FAULT.memoryFull : null),
    });
    this.#intake = new EventIntake(this.#gateway);
    this.#asks = new ShardAsks((shard, message) => {
      if (this.#shards[shard]?.state !== 'ready') return false;
      this.#tell(shard, message);
      return true;
    });
    this.#quality = new QualityRoute({
      asks: this.#asks,
      shards: config.workers,
      tenantOf: (name) => ({ tenant: this.#numberOf(name), storePath: this.#storePathOf(name) }),
      catalog: () => this.#catalog,
      jobs: this.#jobs,
    });
    this.#fits = this.#tenants.map((estate, tenant) => this.#fitsOf(estate.folderIn(config.data), tenant));
    this.#feeds = this.#tenants.map((estate, tenant) => this.#feedsOf(estate.folderIn(config.data), tenant));
    this.#usual = this.#usualOf();
    this.#webhooks = this.#webhooksOf();
    this.#sizes = new Map(this.#tenants.map((estate) => [estate.name, this.#sizesOf(estate.folderIn(config.data))]));
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  #numberOf(tenant: string): number {
    return this.#tenants.findIndex(({ name }) => name === tenant);
  }

  #storePathOf(tenant: string): string {
    return join(this.#tenants[this.#numberOf(tenant)]?.folderIn(this.#config.data) ?? '', 'store');
  }

  #fitsOf(data: string, tenant: number): FitKeeper {
    return new FitKeeper({
      data,
      everyHours: this.#config.fitEveryHours,
      shards: this.#config.workers,
      log: this.#log,
      isServing: () => this.#shards.every((shard) => shard.state === 'ready'),
      declaredFacts: () => this.#catalog?.file.profile?.facts ?? [],
      offer: (shard, facts) => {
        if (this.#shards[shard]?.state === 'ready') this.#tell(shard, { kind: 'facts', tenant, facts });
      },
    });
  }

  #feedsOf(data: string, tenant: number): FeedKeeper {
    const tell = (shard: number, pushes: readonly FeedPush[], number: number): void =>
      this.#tell(shard, { kind: 'feeds', tenant, pushes, number });
    return new FeedKeeper({
      folder: join(data, 'feeds'),
      serving: () => this.#shards.filter(({ state }) => state === 'ready').map(({ index }) => index),
      tellAll: (pushes, number) => {
        for (const { index } of this.#shards) tell(index, pushes, number);
      },
      tell,
    });
  }

  #usualOf(): UsualKeeper {
    return new UsualKeeper({
      jobs: this.#jobs,
      tenants: this.#tenants.map(({ name }, tenant) => ({
        ...{ name, storePath: this.#storePathOf(name) },
        feeds: this.#feeds[tenant] as FeedKeeper, // one each
      })),
      log: this.#log,
      catalog: () => this.#catalog,
      isServing: () => this.#shards.every((shard) => shard.state === 'ready'),
    });
  }

  #webhooksOf(): WebhookKeeper {
    const { workers, allowPrivateWebhooks, timeScale, data } = this.#config;
    return new WebhookKeeper({
      log: this.#log,
      shards: workers,
      threadData: (catalog, isFromStart) => ({
        tenants: this.#tenants.map((estate) => ({
          name: estate.name,
          storePath: join(estate.folderIn(data), 'store'),
          outboxPath: join(estate.folderIn(data), 'webhooks'),
          epoch: estate.epoch,
        })),
        workers,
        catalog,
        isFromStart,
        isPrivateAllowed: allowPrivateWebhooks,
        clock: { timeScale, sinceEpochMillis: this.#startedAt },
      }),
      ask: (shard, id, tenant, question) => {
        if (this.#shards[shard]?.state !== 'ready') return false;
        const number = this.#tenants.findIndex(({ name }) => name === tenant);
        this.#tell(shard, { kind: 'look', id, tenant: number, question });
        return true;
      },
    });
  }

  #suspects(): ReadonlyMap<string, Route> {
    return suspectsRoute({
      jobs: this.#jobs,
      catalog: () => this.#catalog,
      storePathOf: (tenant) =>
        this.#shards.every((shard) => shard.state === 'ready') ? this.#storePathOf(tenant) : null,
      audit: (by, tenant, people) => {
        if (this.#audit === null || this.#audit.problem !== null) return false;
        this.#audit.record('access', { operation: 'suspects', by, tenant, people });
        return true;
      },
    });
  }

  #sizesOf(data: string): SegmentSizes {
    return new SegmentSizes({
      storePath: join(data, 'store'),
      jobs: this.#jobs,
      catalog: () => this.#catalog,
      isServing: () => this.#shards.every((shard) => shard.state === 'ready'),
    });
  }

  async start(): Promise<void> {
    const config = this.#config;
    for (const warning of this.#otel.warnings) this.#log.warn(warning);
    const text = await readCatalogText(config.catalog);
    const kept = readKept(this.#keptPath, text, basename(config.catalog), PROGRAM) ?? (await this.#checkCatalog(text));
    this.#takeCatalog(kept);
    if (config.port !== 0) await assertPortFree(config.host, config.port);
    this.#access = await NodeAccess.open(config, this.#log);
    // One after the other, the default one first: its folder holds the others', and the audit log of all.
    for (const tenant of this.#tenants) await this.#openTenant(tenant);
    this.#areFoldersHeld = true;
    this.#takeFeeds(this.#feedSpecs);
    this.isFirstStart = this.#tenants[0]?.isNew ?? false;
    this.#admin = await startAdminHttp(
      {
        host: config.host,
        port: config.adminPort,
        hosts: config.adminHosts,
        tls: this.#access.tls,
        authenticator: this.#access.authenticator,
        isOriginAllowed: (origin) => isOriginAllowed(origin, config.allowedOrigins),
        routes: new Map([
          ...ingestRoutes(this.#gateway, this.#intake),
          ['/v1/context', this.#contextRoute()],
          ...segmentsRoutes((tenant) => this.#sizes.get(tenant)),
          ...webhookRoutes(this.#webhooks),
          ...letterRoutes(this.#asks, config.workers, (name) => this.#numberOf(name)),
          ...this.#quality.routes,
          ...this.#suspects(),
        ]),
      },
      {
        status: () => this.status(),
        metricsText: async () => (await this.#loadMetrics()).prometheusText(),
        related: (tenant, sku) => this.#fits[this.#numberOf(tenant)]?.related(sku) ?? null,
        catalogSchema: async () => (await import('../workers/catalog/catalog-schema.ts')).catalogJsonSchema(),
        ...(config.drills ? { drill: (drill: Drill, worker: number) => this.#drill(drill, worker) } : {}),
      },
    );
    for (let index = 0; index < config.workers; index++) this.#shards.push(this.#createShard(index));
    await Promise.all(this.#shards.map((shard) => this.#until(shard.index, (message) => message.kind === 'recovered')));
    this.#linkAll();
    await this.#listenAll();
    await this.#giveKeys();
    this.#serve();
    await Promise.all(
      this.#shards.map((shard) =>
        this.#until(shard.index, (message) => message.kind === 'ready', shard.state === 'ready'),
      ),
    );
    keep(this.#keptPath, kept, PROGRAM);
    this.#watchCatalog();
    this.#timers.push(
      setInterval(() => this.#tell(0, { kind: 'trim', keepBytes: config.journalKeepGigabytes * 1e9 }), TRIM_MILLIS),
    );
    for (const fits of this.#fits) fits.begin();
    this.#usual.begin();
    this.#webhooks.useCatalog(kept.source);
    this.#watch = this.#beginWatch();
    for (const [tenant, estate] of this.#tenants.entries())
      estate.beginSnapshots(() => this.#tell(0, { kind: 'snapshot', tenant }));
    this.#access.watch(
      (tls) => {
        this.#admin?.replaceTls(tls);
        for (const shard of this.#shards) this.#tell(shard.index, { kind: 'tls', tls });
      },
      () => {
        for (const shard of this.#shards) this.#tell(shard.index, { kind: 'refreshAccess' });
      },
    );
    this.#keepSpareSoon();
    if (this.#otel.traces.isEnabled) this.#tracing = this.#loadTracing();
    if (this.#otel.metrics !== null) void this.#loadMetrics();
  }

  #contextRoute(): Route {
    const keepers = new Map(this.#tenants.map(({ name }, tenant) => [name, this.#feeds[tenant] as FeedKeeper])); // one each
    return contextRoute((tenant) => keepers.get(tenant) as FeedKeeper); // a login's tenant is one of the node's
  }

  /** A data file shorter than its head says is healthy or cut off: read whole by a process that may die of it. */
  async #assertWhole(storePath: string): Promise<void> {
    const { readStore } = await import('../workers/backup/store-reader.ts');
    let finding = '';
    await readStore({
      storePath,
      isLive: true,
      onFinding: ({ what, where }) => {
        if (finding === '') finding = `${where}: ${what}`;
      },
    });
    if (finding === '') return;
    const bytes = missingBytes(storePath);
    throw new OperatorError('DATA_DAMAGED', `the data file lacks its last ${bytes} bytes; ${finding}`, {
      advice: 'See what else is damaged with `opportune verify`, and restore a backup with `opportune restore`.',
    });
  }

  // ── shards ─────────────────────────────────────────────────────────────────────────────────────

  #createShard(index: number): ShardHandle {
    const shard: ShardHandle = {
      index,
      worker: this.#spawn(index),
      state: 'recovering',
      restarts: 0,
      restartedAt: [],
      readOnly: new Set(),
      problem: null,
      port: 0,
      isWritten: [],
      catalogVersion: this.#catalog?.version ?? '',
    };
    this.#attach(shard);
    return shard;
  }

  /** Gives a waiting thread its shard. */
  #spawn(index: number): Worker {
    const config = this.#config;
    const secret = config.secret === null ? null : new TextEncoder().encode(config.secret);
    const memoryBytesMax = (config.profilesMemoryMegabytes * 1024 * 1024) / config.workers / this.#tenants.length;
    const data: ShardThreadData = {
      shard: index,
      shards: config.workers,
      tenants: this.#tenants.map((tenant, number) =>
        tenant.dataFor(
          ...([index, tenant.partsWith(this.#parts), secret, memoryBytesMax] as const),
          this.#feeds[number]?.snapshots() ?? [],
        ),
      ),
      auditMemory: this.#auditMemory,
      catalog: this.#catalog as CatalogSource, // read before any worker
      ledgerSubjects: this.#subjects,
      zones: this.#zones,
      idleMillis: config.idleMillis,
      traces: this.#otel.traces,
      slowMicros: config.slowMillis * 1000,
      clock: { timeScale: config.timeScale, sinceEpochMillis: this.#startedAt },
      host: config.host,
      serverName: PROGRAM,
      access: config,
      tls: this.#access?.tls ?? null,
    };
    const worker = this.#crew.take();
    worker.postMessage({ kind: 'begin', data } satisfies ToShard);
    return worker;
  }

  #keepSpareSoon(): void {
    clearTimeout(this.#spareTimer);
    this.#spareTimer = setTimeout(() => this.#crew.keepSpare(), SPARE_AFTER_MILLIS);
  }

  #attach(shard: ShardHandle): void {
    const { worker } = shard;
    worker.on('message', (message: FromShard) => this.#onMessage(shard, message));
    worker.on('error', (error) => {
      shard.problem = error.message;
      this.#log.error({ shard: shard.index, reason: error.message }, 'shard worker failed');
    });
    worker.on('exit', () => this.#onExit(shard, worker));
  }

  #onMessage(shard: ShardHandle, message: FromShard): void {
    switch (message.kind) {
      case 'recovered':
        this.transport = message.transport;
        this.#canSharePort = message.canSharePort;
        this.#log.info(
          { shard: shard.index, entries: message.applied, millis: Math.round(message.millis) },
          'shard recovered',
        );
        for (const feeds of this.#feeds) feeds.shardRecovered(shard.index);
        break;
      case 'feedsTaken':
        this.#feeds[message.tenant]?.taken(shard.index, message.number);
        break;
      case 'listening':
        shard.port = message.port;
        if (message.sharedPort !== null) this.#sharedPort = message.sharedPort;
        break;
      case 'ready':
        shard.state = 'ready';
        shard.problem = null;
        for (const fits of this.#fits) fits.shardReady(shard.index);
        break;
      case 'looked':
        this.#webhooks.looked(message.id, message.answer);
        break;
      case 'answered':
        this.#asks.answered(message.ask, message.answer);
        break;
      case 'factsTaken':
        this.#fits[message.tenant]?.factsTaken(shard.index, message.counts);
        break;
      case 'readOnly':
        if (message.isReadOnly) shard.readOnly.add(message.tenant);
        else shard.readOnly.delete(message.tenant);
        shard.problem = message.problem;
        if (message.isReadOnly)
          this.#log.error(
            { shard: shard.index, problem: message.problem },
            'store cannot write: reads and dry runs only; trying again every second',
          );
        else this.#log.info({ shard: shard.index }, 'store writes again');
        break;
      case 'turnFailed':
        this.#log.error(
          { shard: shard.index, profileHash: message.profileHash, effect: message.effectType, reason: message.reason },
          'a turn failed and was undone',
        );
        break;
      case 'traces':
        void this.#tracing?.then((tracing) => tracing.export(message.records));
        break;
      case 'audit':
        this.#audit?.take(shard.index, message.event);
        break;
      case 'needDataKeys':
        void this.#makeKeys(shard.index, message.tenant);
        break;
      case 'checkpointed':
        if (this.#tenants[message.tenant]?.noteCheckpoint(shard.index) === true)
          this.#tell(0, { kind: 'adoptBase', tenant: message.tenant });
        break;
      case 'stopped':
        shard.isWritten = message.isWritten;
        break;
      case 'snapshot':
        if (message.snapshot !== null) void this.#keepSnapshot(message.tenant, message.snapshot);
        break;
      case 'snapshotWanted':
        this.#snapshotWanted.add(message.tenant);
        this.#tell(0, { kind: 'snapshot', tenant: message.tenant, isWanted: true });
        break;
      case 'catalogApplied':
        shard.catalogVersion = message.version;
        if (message.reason !== null)
          this.#log.error({ shard: shard.index, reason: message.reason }, 'catalog could not be taken');
        break;
      case 'dying':
        shard.problem = message.reason;
        this.#log.error({ shard: shard.index, code: message.code, reason: message.reason }, 'shard worker fails');
        if (shard.state !== 'ready' && shard.restarts === 0)
          this.#startError ??= new OperatorError(message.code, message.reason.split('\n')[0] ?? '', {
            advice: message.advice,
          });
        break;
      default:
    }
    this.#settleWaiters(shard.index, message);
  }

  /** Tenants with an erasure that waits for a snapshot. */
  readonly #snapshotWanted = new Set<number>();

  async #keepSnapshot(tenant: number, snapshot: ModelSnapshot): Promise<void> {
    const isKept = await this.#tenants[tenant]?.keepSnapshot(snapshot);
    if (isKept !== true || !this.#snapshotWanted.delete(tenant)) return;
    for (const shard of this.#shards)
      if (shard.state === 'ready') this.#tell(shard.index, { kind: 'snapshotKept', tenant, snapshot });
  }

  #settleWaiters(shard: number, message: FromShard): void {
    for (let i = this.#waiters.length - 1; i >= 0; i--) {
      const waiter = this.#waiters[i];
      if (waiter?.matches(shard, message)) {
        this.#waiters.splice(i, 1);
        waiter.resolve();
      }
    }
  }
  #startError: OperatorError | null = null;

  #onExit(shard: ShardHandle, worker: Worker): void {
    if (shard.worker !== worker) return;
    if (this.#isStopping) {
      this.#settleWaiters(shard.index, { kind: 'stopped', isWritten: [] });
      return;
    }
    this.#audit?.forgetShard(shard.index);
    for (const feeds of this.#feeds) feeds.shardLeft(shard.index);
    for (const other of this.#shards)
      if (other !== shard) this.#tell(other.index, { kind: 'unlink', peer: shard.index });
    this.#gateway.unlink(shard.index);
    this.#webhooks.shardGone(shard.index);
    this.#asks.lost(shard.index);
    const now = monotonicMillis();
    shard.restartedAt = [...shard.restartedAt.filter((at) => now - at < RESTARTS_WINDOW_MILLIS), now];
    if (this.#startError !== null || shard.restartedAt.length > RESTARTS_MAX) {
      shard.state = 'failed';
      const reason =
        this.#startError ??
        new Error(
          `shard worker ${shard.index} failed ${RESTARTS_MAX} times within a minute: ${shard.problem ?? 'no reason given'}`,
        );
      this.#fail(reason);
      this.#rejectStart(reason);
      return;
    }
    shard.restarts++;
    shard.state = 'recovering';
    shard.readOnly.clear();
    this.#log.warn({ shard: shard.index, restarts: shard.restarts }, 'replacing shard worker');
    void this.#replace(shard);
  }

  async #replace(shard: ShardHandle): Promise<void> {
    await this.#refreshSnapshot(shard);
    if (this.#isStopping) return;
    shard.worker = this.#spawn(shard.index);
    this.#attach(shard);
    await this.#until(shard.index, (message) => message.kind === 'recovered');
    // What it is told now would come behind the stop.
    if (this.#isStopping) return;
    for (const other of this.#shards)
      if (other !== shard && other.state === 'ready') this.#link(shard.index, other.index);
    const takesShared = this.#takesShared(shard.index);
    this.#tell(shard.index, {
      kind: 'listen',
      port: shard.port,
      sharedPort: takesShared ? this.#sharedPort : null,
      isShared: this.#isShared(),
    });
    await this.#until(shard.index, (message) => message.kind === 'listening');
    if (this.#isStopping) return;
    if (this.#needsKeys) await this.#makeKeys(shard.index);
    this.#serve(shard.index);
    this.#keepSpareSoon();
  }

  /** What another worker knows now spares the new one from learning again what the last snapshot had not seen. */
  async #refreshSnapshot(shard: ShardHandle): Promise<void> {
    const other = this.#shards.find(({ index, state }) => index !== shard.index && state === 'ready');
    if (other === undefined) return;
    await within(this.#askSnapshots(other.index), FRESH_SNAPSHOT_MILLIS);
  }

  /** Of every tenant; resolves when the shard has answered for each. */
  async #askSnapshots(shard: number): Promise<void> {
    const told = this.#tenants.map((_, tenant) =>
      this.#until(shard, (message) => message.kind === 'snapshot' && message.tenant === tenant),
    );
    for (const tenant of this.#tenants.keys()) this.#tell(shard, { kind: 'snapshot', tenant });
    await Promise.all(told);
  }

  #beginWatch(): NodeWatch {
    const { stuckSeconds, memoryMegabytes } = this.#config;
    const watch = new NodeWatch({
      metrics: new MetricsReader(this.#tenants[0]?.metricsBuffers ?? []), // of the default tenant, which is always there
      stuckSeconds,
      memoryBytesMax: memoryMegabytes * 1024 * 1024,
      residentBytes: residentMemoryBytes,
      isAtWork: (shard) => this.#shards[shard]?.state === 'ready' && !this.#isStopping,
      onStuck: (shard) => this.#endStuck(shard),
      onMemory: (isFull, residentBytes) => {
        this.#isMemoryFull = isFull;
        const facts = { residentMegabytes: Math.round(residentBytes / (1024 * 1024)), memoryMegabytes };
        if (isFull) this.#log.error(facts, 'memory is full: connections and requests are refused until it falls');
        else this.#log.info(facts, 'memory has fallen; everything is taken again');
        for (const shard of this.#shards) this.#tell(shard.index, { kind: 'memory', isFull });
      },
    });
    watch.begin();
    return watch;
  }

  /** What was acknowledged is on disk; what hangs cannot be talked to, so it is ended. */
  #endStuck(index: number): void {
    const shard = this.#shards[index] as ShardHandle; // one of those looked at
    shard.problem = `its event loop stood still for ${this.#config.stuckSeconds} s`;
    this.#log.error({ shard: index, code: 'WORKER_STUCK', stuckSeconds: this.#config.stuckSeconds }, 'worker is stuck');
    if (this.transport.name === 'ws') {
      void shard.worker.terminate();
      return;
    }
    // A thread that is ended while its native transport is open takes the process with it, so it is the process that ends.
    const advice = 'run under --supervise or systemd, which start it again; look at what the worker did (perf, core)';
    this.#fail(new OperatorError('WORKER_STUCK', `worker ${index}: ${shard.problem}`, { advice }));
  }

  #rejectStart: (error: Error) => void = () => {};

  /** Resolves when the shard says so; rejects when the start has failed. */
  #until(shard: number, matches: (message: FromShard) => boolean, isAlready = false): Promise<void> {
    if (isAlready) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ matches: (from, message) => from === shard && matches(message), resolve });
      const before = this.#rejectStart;
      this.#rejectStart = (error) => {
        before(error);
        reject(error);
      };
    });
  }

  #tell(shard: number, message: ToShard): void {
    this.#shards[shard]?.worker.postMessage(message);
  }

  #linkAll(): void {
    for (let a = 0; a < this.#shards.length; a++) for (let b = a + 1; b < this.#shards.length; b++) this.#link(a, b);
  }

  /** The main thread's end of a link to a worker that serves. */
  #connect(shard: number): MessagePort | null {
    if (this.#shards[shard]?.state !== 'ready') return null;
    const { port1, port2 } = new MessageChannel();
    const peer = this.#shards.length;
    this.#shards[shard].worker.postMessage({ kind: 'link', peer, port: port2 } satisfies ToShard, [port2]);
    return port1;
  }

  #link(a: number, b: number): void {
    const { port1, port2 } = new MessageChannel();
    this.#shards[a]?.worker.postMessage({ kind: 'link', peer: b, port: port1 } satisfies ToShard, [port1]);
    this.#shards[b]?.worker.postMessage({ kind: 'link', peer: a, port: port2 } satisfies ToShard, [port2]);
  }

  #isShared(): boolean {
    return this.#shards.length > 1 && this.#canSharePort;
  }

  /** Where a port cannot be shared, the first worker serves it and forwards what belongs to others. */
  #takesShared(shard: number): boolean {
    return this.#isShared() || shard === 0;
  }

  async #listenAll(): Promise<void> {
    const { port, shardPort } = this.#config;
    this.#sharedPort = port;
    // One after the other: when the port is chosen by the kernel, the first chooses it for all.
    for (const shard of this.#shards) {
      const listening = this.#until(shard.index, (message) => message.kind === 'listening');
      this.#tell(shard.index, {
        kind: 'listen',
        port: shardPort === 0 ? 0 : shardPort + shard.index,
        sharedPort: this.#takesShared(shard.index) ? this.#sharedPort : null,
        isShared: this.#isShared(),
      });
      await listening;
    }
  }

  #serve(only?: number): void {
    const host = this.#config.host.includes(':') ? `[${this.#config.host}]` : this.#config.host;
    const scheme = this.#config.tlsCertFile === null ? 'ws' : 'wss';
    const addresses: ShardAddress[] = this.#shards.map((shard) => ({
      url: `${scheme}://${host}:${shard.port}/v1/ws`,
      partitions: partitionsOf(shard.index, this.#shards.length),
    }));
    this.addresses = {
      websocket: `${scheme}://${host}:${this.#sharedPort}/v1/ws`,
      shards: addresses.map((address) => address.url),
      admin: this.#admin?.url ?? '',
    };
    for (const shard of this.#shards) {
      if (only === undefined || only === shard.index)
        this.#tell(shard.index, { kind: 'serve', addresses, mapEpoch: this.#tenants[0]?.epoch ?? 0 });
    }
  }

  #drill(drill: Drill, worker: number): (() => void) | null {
    if (this.#shards[worker] === undefined) return null;
    return () => {
      this.#log.warn({ shard: worker, drill }, 'fault drill');
      this.#audit?.record('drill', { drill, worker });
      this.#tell(worker, { kind: 'drill', drill });
    };
  }

  #secretOf(folder: DataFolder): Uint8Array {
    const { secret } = this.#config;
    return secret === null ? folder.secret : new TextEncoder().encode(secret);
  }

  async #openAudit(folder: DataFolder): Promise<void> {
    this.#audit = await NodeAudit.open({
      dataFolder: folder.path,
      secret: this.#secretOf(folder),
      memory: this.#auditMemory,
      log: this.#log,
    });
    const catalog = this.#catalog?.version ?? '';
    this.#audit.begin(this.#config, { program: PROGRAM, catalog }, folder.isNew);
  }

  // ── keys of sensitive traits ───────────────────────────────────────────────────────────────────

  async #openTenant(tenant: TenantEstate): Promise<void> {
    const { masterKey, masterKeyCommand } = this.#config;
    const folder = await tenant.open(this.#config.data);
    if (missingBytes(folder.storePath) > 0) await this.#assertWhole(folder.storePath);
    if (this.#audit === null) await this.#openAudit(folder);
    const { keys, master } = await tenant.openVault({ text: masterKey, command: masterKeyCommand });
    if (master.origin === 'made') {
      this.#audit?.record('keysMade', { masterKey: fingerprintOf(master.key), keys: keys.path });
      this.#log.info(
        { file: join(folder.path, 'master-key') },
        'made a master key for sensitive traits and keep it in the data folder: who has the whole folder can read them; keep it out of backups, or give one (OPPORTUNE_MASTER_KEY_FILE)',
      );
    }
    this.#needsKeys = needsKeys(this.#catalog);
    await tenant.begin(this.#log);
  }

  #needsKeys = false;

  /** Keys ahead of need, on disk before a worker serves: a turn never waits for one. */
  async #giveKeys(): Promise<void> {
    if (this.#needsKeys) await Promise.all(this.#shards.map(({ index }) => this.#makeKeys(index)));
  }

  /** Of every tenant, or of one that has none left. */
  async #makeKeys(shard: number, only?: number): Promise<void> {
    for (const [tenant, estate] of this.#tenants.entries()) {
      if (only !== undefined && only !== tenant) continue;
      let first = 0;
      let count = 0;
      try {
        first = await estate.makeKeys(KEYS_AT_A_TIME);
        count = KEYS_AT_A_TIME;
      } catch (error) {
        this.#log.error({ shard, reason: (error as Error).message }, 'no data keys can be made'); // a VaultError
      }
      this.#tell(shard, { kind: 'dataKeys', tenant, first, count });
    }
  }

  // ── catalog ────────────────────────────────────────────────────────────────────────────────────

  get #keptPath(): string {
    return join(this.#config.data, 'catalog.checked');
  }

  /** @throws CatalogError. What checking needs is loaded here, where there is something to check. */
  async #checkCatalog(text: string): Promise<KeptCatalog> {
    const [{ loadCatalogText }, { readZones }] = await Promise.all([
      import('../workers/catalog/catalog-file.ts'),
      import('../workers/zone-table.ts'),
    ]);
    const source = loadCatalogText(text, basename(this.#config.catalog));
    return { source, zones: readZones([source.file.timeZone]) };
  }

  #takeCatalog({ source, zones }: KeptCatalog): void {
    const compiled = compileCatalogSource(source);
    this.#checkLeases(source.fileName, compiled);
    // At a start only once the folders are held: nobody else pushes any more.
    if (this.#areFoldersHeld) this.#takeFeeds(compiled.feeds);
    this.#feedSpecs = compiled.feeds;
    this.#subjects = dealSlots(this.#subjects, compiled);
    this.#parts = dealParts(this.#parts, compiled);
    this.#catalog = source;
    this.#zones = zones;
  }

  #feedSpecs: readonly FeedSpec[] = [];
  #areFoldersHeld = false;

  /** Read for all tenants before it counts for one. */
  #takeFeeds(specs: readonly FeedSpec[]): void {
    for (const take of this.#feeds.map((feeds) => feeds.prepare(specs))) take();
  }

  #checkLeases(fileName: string, catalog: Catalog): void {
    const { leaseMillis } = catalog.decision;
    if (leaseMillis > this.#config.leaseMillisMax) {
      throw new OperatorError(
        'CATALOG_LEASE',
        `${fileName}: decision.leaseMillis is ${leaseMillis}, above leaseMillisMax ${this.#config.leaseMillisMax}`,
        {
          advice: 'Shorten the lease in the catalog or raise --lease-millis-max.',
        },
      );
    }
  }

  #watchCatalog(): void {
    const path = this.#config.catalog;
    let settle: NodeJS.Timeout | undefined;
    const soon = (): void => {
      clearTimeout(settle);
      settle = setTimeout(() => void this.#reloadCatalog(), CATALOG_SETTLE_MILLIS);
    };
    try {
      // The folder, not the file: editors replace files.
      this.#watcher = watch(dirname(path), (_, name) => {
        if (name === null || name === basename(path)) soon();
      });
      this.#watcher.on('error', () => {});
    } catch {
      // Some file systems cannot be watched; the poll below sees changes there too.
      this.#watcher = null;
    }
    this.#timers.push(setInterval(() => void this.#reloadCatalog(), CATALOG_POLL_MILLIS));
  }

  #isReloading = false;

  async #reloadCatalog(): Promise<void> {
    if (this.#isReloading || this.#isStopping) return;
    this.#isReloading = true;
    try {
      const text = await readCatalogText(this.#config.catalog);
      if (catalogVersion(text) === this.#catalog?.version) {
        this.#catalogRefused = null;
        return;
      }
      const kept = await this.#checkCatalog(text);
      const { source } = kept;
      const before = this.#catalog?.version ?? '';
      this.#takeCatalog(kept);
      keep(this.#keptPath, kept, PROGRAM);
      this.#catalogRefused = null;
      for (const tenant of this.#tenants) tenant.clearPrices();
      if (!this.#needsKeys && needsKeys(source)) {
        this.#needsKeys = true;
        await this.#giveKeys();
      }
      for (const shard of this.#shards)
        this.#tell(shard.index, {
          kind: 'catalog',
          catalog: source,
          ledgerSubjects: this.#subjects,
          parts: this.#tenants.map((tenant) => tenant.partsWith(this.#parts)),
          feeds: this.#feeds.map((feeds) => feeds.snapshots()),
        });
      this.#webhooks.useCatalog(source);
      this.#log.info({ catalog: source.fileName, version: source.version }, 'catalog reloaded');
      this.#audit?.record('catalog', { file: source.fileName, version: source.version, before });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#catalogRefused) {
        const code = error instanceof CatalogError || error instanceof OperatorError ? error.code : 'CATALOG_INVALID';
        this.#log.error({ code, reason }, 'catalog refused; the one before stays in force');
        this.#audit?.record('catalogRefused', { file: basename(this.#config.catalog), code });
        this.#tell(0, { kind: 'catalogRefused' });
      }
      this.#catalogRefused = reason;
    } finally {
      this.#isReloading = false;
    }
  }

  // ── outside ────────────────────────────────────────────────────────────────────────────────────

  /**
   * OpenTelemetry takes a quarter of a second to load, so nothing waits for it: it comes when the node is
   * ready and something is exported, or with the first look at `/metrics`. The counters are in shared memory
   * from the beginning, and spans wait for their exporter.
   */
  #loadMetrics(): Promise<Metrics> {
    this.#metrics ??= Promise.all([import('./metrics.ts'), this.#loadResource()]).then(([{ startMetrics }, resource]) =>
      startMetrics({
        reader: new MetricsReader(this.#tenants.flatMap(({ metricsBuffers }) => metricsBuffers)),
        tenants: this.#tenants.map(({ name }) => name),
        status: () => this.status(),
        ingested: (visit) => this.#intake.forEachCount(visit),
        feeds: this.#feeds,
        webhooks: () => this.#webhooks.counts,
        resource,
        otlp: this.#otel.metrics,
      }),
    );
    return this.#metrics;
  }

  async #loadTracing(): Promise<Tracing> {
    const { startTracing } = await import('./telemetry.ts');
    return startTracing(await this.#loadResource());
  }

  #resource: Promise<ReturnType<typeof createResource>> | null = null;

  #loadResource(): Promise<ReturnType<typeof createResource>> {
    this.#resource ??= import('./telemetry.ts').then((telemetry) => {
      telemetry.forwardExportProblems((message) => this.#log.warn(message));
      return telemetry.createResource(packageVersion());
    });
    return this.#resource;
  }

  status(): NodeStatus {
    const catalog = this.#catalog;
    const file = catalog?.file;
    return {
      version: packageVersion(),
      startedAtEpochMillis: this.#startedAt,
      isDraining: this.#isDraining,
      isAuditWritable: this.#audit === null || this.#audit.problem === null,
      shards: this.#shards.map(
        ({ index, state, restarts, readOnly, problem }): ShardStatus => ({
          index,
          state,
          restarts,
          isReadOnly: readOnly.size > 0,
          problem,
        }),
      ),
      catalog: {
        path: this.#config.catalog,
        name: file?.name ?? '',
        version: catalog?.version ?? '',
        actions: file?.actions.length ?? 0,
        products: file?.products?.length ?? 0,
        slots: Object.keys(file?.slots ?? {}).length,
        channels: Object.keys(file?.channels ?? {}).length,
        traits: Object.keys(file?.profile?.traits ?? {}).length,
        refused: this.#catalogRefused,
      },
      fit: (this.#fits[0] as FitKeeper).status, // the default tenant is always there
    };
  }

  /** Reads keys, certificates and the catalog again, now. */
  async reload(): Promise<void> {
    this.#access?.refresh();
    await this.#reloadCatalog();
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    const drained = this.#shards
      .filter((shard) => shard.state === 'ready')
      .map((shard) => this.#until(shard.index, (message) => message.kind === 'drained'));
    for (const shard of this.#shards) this.#tell(shard.index, { kind: 'drain', seconds: this.#config.drainSeconds });
    await within(Promise.all([...drained, this.#gateway.settled()]), this.#config.drainSeconds * 1000 + 2_000);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#watcher?.close();
    this.#watch?.close();
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#spareTimer);
    this.#access?.close();
    for (const sizes of this.#sizes.values()) sizes.close();
    this.#usual.close();
    await Promise.all([...this.#fits.map((fits) => fits.close()), this.#jobs.close(), this.#webhooks.stop()]);
    if (this.#shards[0]?.state === 'ready') {
      await within(this.#askSnapshots(0), 2_000);
      for (const tenant of this.#tenants) await tenant.settleSnapshots();
    }
    this.#isStopping = true;
    this.#gateway.close();
    // Also those that are not ready yet, of a start that has failed: a thread that is ended in the middle of a call
    // into LMDB takes the process with it, and what the operator should read is lost in a native trace.
    const stopped = this.#shards
      .filter((shard) => shard.state !== 'failed')
      .map((shard) => this.#until(shard.index, (message) => message.kind === 'stopped'));
    for (const shard of this.#shards) {
      shard.state = shard.state === 'failed' ? 'failed' : 'stopping';
      this.#tell(shard.index, { kind: 'stop' });
    }
    await within(Promise.all(stopped), STOP_MILLIS);
    if (stopped.length < this.#shards.length) await Promise.all(this.#shards.map((shard) => shard.worker.terminate()));
    for (const [tenant, estate] of this.#tenants.entries()) {
      const isWritten = this.#shards.length > 0 && this.#shards.every((shard) => shard.isWritten[tenant] === true);
      if (isWritten) await estate.adoptStop();
    }
    // A collector that is down is tried again for ten seconds by default; a stop does not wait for that.
    const telemetry = [this.#tracing, this.#metrics].map(async (part) => (await part)?.shutdown());
    await within(Promise.all(telemetry), TELEMETRY_STOP_MILLIS);
    await this.#crew.close();
    await this.#admin?.close();
    await this.#audit?.close();
    // The default tenant's folder last: it holds the others'.
    for (const tenant of [...this.#tenants].reverse()) await tenant.close();
  }
}

/** Whether something can be sensitive, or be refused and kept sealed. */
function needsKeys(catalog: CatalogSource | null): boolean {
  return catalog !== null && (catalog.traits.length > 0 || catalog.file.events !== undefined);
}

/** Waits for the promise, but not longer than `millis`. */
async function within(promise: Promise<unknown>, millis: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  await Promise.race([promise.catch(() => {}), limit]);
  clearTimeout(timer);
}
