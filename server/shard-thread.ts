/**
 * A shard worker thread: puts one shard for each tenant, the transport and the links together, and does what
 * the main thread says. Tenants share the thread and its sockets and nothing else: each has a store, models,
 * budgets and prices of its own, and a connection reaches those of its token's tenant only. An error that nobody caught ends the thread, but its sockets first: the native transport
 * would otherwise take the whole process with it. The main thread then starts a replacement.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { PartKeys } from '../decision/part-register.ts';
import { CLOSE_CODE, LIMITS } from '../proto/limits.ts';
import { textHash } from '../proto/murmur3.ts';
import { AuditOutlet } from '../workers/audit/audit-gate.ts';
import type { AuditEvent } from '../workers/audit/audit-record.ts';
import { compileCatalogSource } from '../workers/catalog/catalog-source.ts';
import { monotonicMillis, scaleClock } from '../workers/clock.ts';
import { batchAfterPublished } from '../workers/learning-exchange.ts';
import { COUNTER, GAUGE, MetricsWriter } from '../workers/metrics-layout.ts';
import { deriveSecret } from '../workers/node-secret.ts';
import { PriceTable } from '../workers/price-table.ts';
import { Shard } from '../workers/shard.ts';
import { SharedLedger } from '../workers/shared-ledger.ts';
import { LmdbStore } from '../workers/store/lmdb-store.ts';
import { WritersGate } from '../workers/store/writers-gate.ts';
import { DataKeys } from '../workers/vault/data-keys.ts';
import { TraitVault } from '../workers/vault/trait-vault.ts';
import { createZoneTable, prebuildZones } from '../workers/zone-table.ts';
import { isAuthenticated } from './access/access-options.ts';
import { Doorkeeper } from './access/doorkeeper.ts';
import { DEFAULT_TENANT } from './access/principal.ts';
import { OperatorError } from './operator-error.ts';
import { selectTransport } from './select-transport.ts';
import { type Admission, Session, SessionHost, type TenantHost } from './session.ts';
import { ShardLink } from './shard-link.ts';
import { ownersOf } from './shard-map.ts';
import type { FromShard, ShardThreadStart, TenantData, ToShard } from './shard-messages.ts';
import { peersOf } from './shard-peers.ts';
import type { Connection, Transport, TransportHandler } from './transport.ts';

const SEND_BUFFER_BYTES_MAX = 4 * 1024 * 1024;
const IDLE_TIMEOUT_SECONDS = 120;
const CONNECTIONS_MAX = 20_000;
const FORWARD_DRAIN_MILLIS = 5;
/** How late a token's end, or a change of the key file, may be noticed. */
const ACCESS_MILLIS = 1000;
/** Between two connections that are closed when draining; less when there are very many. */
const DRAIN_PAUSE_MILLIS = 10;
/** Time for the last clients to read why they are closed. */
const LINGER_MILLIS = 200;

if (isMainThread || parentPort === null) throw new Error('shard-thread.ts runs as a worker thread only');
const main = parentPort;
function tell(message: FromShard): void {
  main.postMessage(message);
}
const transports: Transport[] = [];

process.on('uncaughtException', (error) => {
  const advice = error instanceof OperatorError ? error.advice : 'the worker is replaced; see the log';
  const code = error instanceof OperatorError ? error.code : 'WORKER_ERROR';
  tell({
    kind: 'dying',
    code,
    reason: error instanceof OperatorError ? error.message : (error.stack ?? error.message),
    advice,
  });
  for (const transport of transports) transport.closeAll(CLOSE_CODE.restarting, 'the worker is restarting');
  process.exit(1);
});
process.on('unhandledRejection', (reason) => {
  throw reason instanceof Error ? reason : new Error(String(reason));
});

const started = workerData as ShardThreadStart; // given by ShardCrew only
const { factory, note } = await selectTransport(started.transport, started.needs);
// Here a thread may wait for long: as one of a start, or as the spare.
const [begin] = (await once(main, 'message')) as [Extract<ToShard, { kind: 'begin' | 'leave' }>]; // the first message, always
if (begin.kind === 'leave') process.exit(0);
const { data } = begin;
scaleClock(data.clock.timeScale, data.clock.sinceEpochMillis);

const owners = ownersOf(data.shards);
const zones = createZoneTable(textHash, data.zones);
prebuildZones(zones, [...data.zones.map((zone) => zone.name), 'UTC']);

interface Tenant extends TenantHost {
  readonly shard: Shard;
  readonly vault: TraitVault;
}

/** The audit log is the node's: whose data it is about is said where it is not the default tenant's. */
function ofTenant(event: AuditEvent, tenant: string): AuditEvent {
  return tenant === DEFAULT_TENANT ? event : { ...event, detail: { ...event.detail, tenant } };
}

/** One tenant's shard, with a store, keys and metrics of its own. */
function createTenant(tenant: TenantData, index: number): Tenant {
  const metrics = new MetricsWriter(tenant.metrics);
  metrics.clearGauges();
  const store = LmdbStore.open({
    path: tenant.storePath,
    epoch: tenant.epoch,
    stream: data.shard,
    openBatchMin: batchAfterPublished(tenant.learningMemory, data.shard),
    gate: new WritersGate(tenant.gateMemory, data.shard),
  });
  const vault = new TraitVault(DataKeys.open(tenant.keysPath, tenant.masterKey, false), () =>
    tell({ kind: 'needDataKeys', tenant: index }),
  );
  const shard = new Shard({
    shard: data.shard,
    shards: data.shards,
    epoch: tenant.epoch,
    store,
    catalog: compileCatalogSource(data.catalog),
    catalogText: data.catalog.text,
    secret: deriveSecret(tenant.secret),
    sealer: vault,
    audit: new AuditOutlet(data.auditMemory, data.shard, (event) =>
      tell({ kind: 'audit', event: ofTenant(event, tenant.name) }),
    ),
    zones,
    ledger: new SharedLedger(tenant.ledgerMemory, data.shard),
    learningMemory: tenant.learningMemory,
    ledgerSubjects: data.ledgerSubjects,
    parts: tenant.parts,
    prices: new PriceTable(tenant.priceMemory),
    metrics,
    memoryBytesMax: tenant.memoryBytesMax,
    idleMillis: data.idleMillis,
    traces: { ...data.traces, slowMicros: data.slowMicros },
    snapshot: tenant.snapshot,
    feeds: tenant.feeds,
    ownsPartition: (partition) => owners[partition] === data.shard,
    peers: peersOf(() => host, index),
    events: {
      readOnlyChanged: (isReadOnly, problem) => tell({ kind: 'readOnly', tenant: index, isReadOnly, problem }),
      turnFailed: (error, effectType, profileHash) =>
        tell({
          kind: 'turnFailed',
          reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
          effectType,
          profileHash,
        }),
      burst: (isOn) => host.burst(isOn),
      traced: (records) => tell({ kind: 'traces', records }),
      checkpointed: () => tell({ kind: 'checkpointed', tenant: index }),
      snapshotWanted: () => tell({ kind: 'snapshotWanted', tenant: index }),
      factsTaken: (counts) => tell({ kind: 'factsTaken', tenant: index, counts }),
    },
  });
  const { requests, people } = shard;
  return { name: tenant.name, requests, people, metrics, shard, vault };
}

const tenants = data.tenants.map(createTenant);
const { metrics } = tenants[0] as TenantHost; // the default tenant is always there
const host = new SessionHost(tenants, data.shard, owners, metrics, data.serverName);
const authenticator = isAuthenticated(data.access)
  ? await (await import('./access/authenticator.ts')).Authenticator.open(data.access)
  : null;
const door = new Doorkeeper(data.access, authenticator, metrics, () => host.closedBecause);

const handler: TransportHandler = {
  onUpgrade: (request) => door.judge(request),
  onOpen(connection: Connection): void {
    const admission = connection.admission as Admission; // what `door.judge` gave along
    const limits = door.admit(admission);
    if (limits === null) {
      connection.close(CLOSE_CODE.overloaded, 'too many connections');
      return;
    }
    const session = new Session(host, connection, admission, limits);
    connection.session = session;
    session.metrics.add(COUNTER.connectionsOpened, 1);
    session.metrics.addToGauge(GAUGE.connections, 1);
  },
  onMessage(connection: Connection, bytes: Uint8Array, isBinary: boolean): void {
    (connection.session as Session).onFrame(bytes, isBinary); // set in onOpen
  },
  onDrain(): void {},
  onClose(connection: Connection): void {
    const session = connection.session as Session | undefined; // none for one that found no room
    if (session === undefined) return;
    door.leave(connection.admission as Admission, session.limits); // what `door.judge` gave along
    session.closed();
    session.metrics.addToGauge(GAUGE.connections, -1);
  },
};

/** Ends connections whose login no longer stands. What is wrong with a file the main thread says. */
function refreshAccess(): void {
  authenticator?.refresh();
  for (const transport of transports)
    transport.forEachConnection((connection) => {
      if (connection.session !== undefined) door.sweep(connection);
    });
}
if (authenticator !== null) setInterval(refreshAccess, ACCESS_MILLIS).unref();

let isStopping = false;
/** The sockets that are being opened. */
let listening: Promise<void> = Promise.resolve();

async function listen(port: number, sharedPort: number | null, isShared: boolean): Promise<void> {
  if (isStopping) return;
  const limits = {
    frameBytesMax: LIMITS.frameBytesMax,
    sendBufferBytesMax: SEND_BUFFER_BYTES_MAX,
    idleTimeoutSeconds: IDLE_TIMEOUT_SECONDS,
    connectionsMax: CONNECTIONS_MAX,
  };
  const own = factory.create(handler, limits, data.tls ?? undefined);
  transports.push(own);
  const ownPort = await own.listen({ host: data.host, port, isShared: false }).catch((error: unknown) => {
    if (!(error instanceof OperatorError)) throw error;
    const advice = 'choose other ports for the workers with --shard-port (0 takes free ones), or stop that process';
    throw new OperatorError(error.code, `worker ${data.shard}: ${error.message}`, { advice, cause: error });
  });
  let shared: number | null = null;
  if (sharedPort !== null && !isStopping) {
    const transport = factory.create(handler, limits, data.tls ?? undefined);
    transports.push(transport);
    shared = await transport.listen({ host: data.host, port: sharedPort, isShared });
  }
  tell({ kind: 'listening', port: ownPort, sharedPort: shared });
}

/** Stops accepting, tells clients to go elsewhere over the window, and waits for what is in flight. */
async function drain(seconds: number): Promise<void> {
  host.isDraining = true;
  for (const transport of transports) transport.stopListening();
  const connections: Connection[] = [];
  for (const transport of transports) transport.forEachConnection((connection) => connections.push(connection));
  const startsAt = monotonicMillis();
  const endsAt = startsAt + seconds * 1000;
  // Spread, so that the clients do not all come back in the same moment; a few need no spreading.
  const pauseMillis = Math.min(DRAIN_PAUSE_MILLIS, (seconds * 500) / connections.length);
  for (let i = 0; i < connections.length; i++) {
    const connection = connections[i] as Connection;
    const dueAt = startsAt + i * pauseMillis;
    if (dueAt > monotonicMillis()) await delay(dueAt - monotonicMillis());
    await settle(connection, endsAt);
    if (connection.isOpen) connection.close(CLOSE_CODE.restarting, 'the server is stopping');
  }
  // A socket that is destroyed while its client still writes is reset, and the close frame is lost with it.
  if (connections.length > 0) await delay(LINGER_MILLIS);
  tell({ kind: 'drained' });
}

/** Waits until the connection has no request in flight, at most until `endsAt`. */
async function settle(connection: Connection, endsAt: number): Promise<void> {
  const session = connection.session as Session | undefined; // none for one that is being closed
  if (session === undefined) return;
  session.isClosing = true;
  while (session.inFlight > 0 && connection.isOpen && monotonicMillis() < endsAt) await delay(FORWARD_DRAIN_MILLIS);
}

function delay(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}

async function stop(): Promise<void> {
  isStopping = true;
  // A socket that opens behind this would stay open, and a thread that ends with one takes the process with it.
  await listening.catch(() => {});
  for (const transport of transports) transport.closeAll(CLOSE_CODE.restarting, 'the server has stopped');
  for (const link of host.links) link?.fail();
  const isWritten = await Promise.all(tenants.map(({ shard }) => shard.stop()));
  tell({ kind: 'stopped', isWritten });
  main.close();
}

async function answerTo({ ask, tenant, question }: Extract<ToShard, { kind: 'ask' }>): Promise<void> {
  const { letterDesk, sources } = (tenants[tenant] as Tenant).shard; // every worker has every tenant
  if (question.op !== 'sources') tell({ kind: 'answered', ask, answer: await letterDesk.ask(question) });
  else {
    const { sinceEpochMillis } = sources;
    tell({ kind: 'answered', ask, answer: { kind: 'sources', rows: sources.rows(), sinceEpochMillis } });
  }
}

function takeCatalog(message: Extract<ToShard, { kind: 'catalog' }>): void {
  let reason: string | null = null;
  try {
    const { text } = message.catalog;
    for (const [index, { shard }] of tenants.entries())
      shard.setCatalog(
        compileCatalogSource(message.catalog),
        text,
        message.ledgerSubjects,
        message.parts[index] as PartKeys, // one for each tenant
        message.feeds[index],
      );
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  tell({ kind: 'catalogApplied', version: message.catalog.version, reason });
}

main.on('message', (message: ToShard) => {
  switch (message.kind) {
    case 'link':
      host.links[message.peer] = new ShardLink(message.port, host);
      return;
    case 'unlink':
      host.links[message.peer]?.fail();
      host.links[message.peer] = undefined;
      return;
    case 'listen':
      listening = listen(message.port, message.sharedPort, message.isShared);
      return;
    case 'serve':
      host.addresses = message.addresses;
      host.mapEpoch = message.mapEpoch;
      tell({ kind: 'ready' });
      return;
    case 'catalog':
      takeCatalog(message);
      return;
    case 'catalogRefused':
      metrics.add(COUNTER.catalogRefusals, 1);
      return;
    case 'dataKeys':
      tenants[message.tenant]?.vault.offer(message.first, message.count);
      return;
    case 'snapshot':
      tell({
        kind: 'snapshot',
        tenant: message.tenant,
        snapshot: tenants[message.tenant]?.shard.takeSnapshot(message.isWanted) ?? null,
      });
      return;
    case 'snapshotKept':
      tenants[message.tenant]?.shard.snapshotKept(message.snapshot);
      return;
    case 'trim':
      for (const [tenant, { shard }] of tenants.entries())
        void shard.trimJournal(message.keepBytes).then((batches) => tell({ kind: 'trimmed', tenant, batches }));
      return;
    case 'adoptBase':
      tenants[message.tenant]?.shard.adoptBase();
      return;
    case 'tls':
      for (const transport of transports) transport.replaceTls(message.tls);
      return;
    case 'refreshAccess':
      refreshAccess();
      return;
    case 'feeds':
      tenants[message.tenant]?.shard.takeFeeds(message.pushes);
      tell({ kind: 'feedsTaken', tenant: message.tenant, number: message.number });
      return;
    case 'facts':
      tenants[message.tenant]?.shard.takeFacts(message.facts);
      return;
    case 'look':
      tell({ kind: 'looked', id: message.id, answer: tenants[message.tenant]?.shard.look(message.question) ?? null });
      return;
    case 'ask':
      void answerTo(message);
      return;
    case 'drain':
      void drain(message.seconds);
      return;
    case 'stop':
      void stop();
      return;
    case 'memory':
      host.isMemoryFull = message.isFull;
      return;
    case 'begin':
      return; // read above, once
    case 'drill':
      if (message.drill === 'worker-exit') process.exit(1);
      if (message.drill === 'worker-hang') for (;;);
      setImmediate(() => {
        throw new Error('fault drill: the operator asked this worker to fail');
      });
  }
});

const startedMillis = monotonicMillis();
let applied = 0;
for (const { shard } of tenants) {
  applied += shard.recover();
  shard.start();
}
host.mapEpoch = data.tenants[0]?.epoch ?? 0;
tell({
  kind: 'recovered',
  applied,
  millis: monotonicMillis() - startedMillis,
  transport: { name: factory.name, note },
  canSharePort: factory.canSharePort,
});
