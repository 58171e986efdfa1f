/**
 * A shard worker thread: puts one shard, its transport and its links together, and does what the main
 * thread says. An error that nobody caught ends the thread, but its sockets first: the native transport
 * would otherwise take the whole process with it. The main thread then starts a replacement.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { CLOSE_CODE, LIMITS } from '../proto/limits.ts';
import { textHash } from '../proto/murmur3.ts';
import { AuditOutlet } from '../workers/audit/audit-gate.ts';
import { compileCatalogSource } from '../workers/catalog/catalog-source.ts';
import { monotonicMillis, scaleClock } from '../workers/clock.ts';
import { batchAfterPublished } from '../workers/learning-exchange.ts';
import { COUNTER, GAUGE, MetricsWriter } from '../workers/metrics-layout.ts';
import { deriveSecret } from '../workers/node-secret.ts';
import { PriceTable } from '../workers/price-table.ts';
import { Shard } from '../workers/shard.ts';
import { SharedLedger } from '../workers/shared-ledger.ts';
import { LmdbStore } from '../workers/store/lmdb-store.ts';
import { DataKeys } from '../workers/vault/data-keys.ts';
import { TraitVault } from '../workers/vault/trait-vault.ts';
import { createZoneTable, prebuildZones } from '../workers/zone-table.ts';
import { OperatorError } from './operator-error.ts';
import { selectTransport } from './select-transport.ts';
import { chooseSubprotocol, Session, SessionHost } from './session.ts';
import { ShardLink } from './shard-link.ts';
import { ownersOf } from './shard-map.ts';
import type { FromShard, ShardThreadStart, ToShard } from './shard-messages.ts';
import type { Connection, Transport, TransportHandler, UpgradeRequest, UpgradeVerdict } from './transport.ts';

const SEND_BUFFER_BYTES_MAX = 4 * 1024 * 1024;
const IDLE_TIMEOUT_SECONDS = 120;
const CONNECTIONS_MAX = 20_000;
const FORWARD_DRAIN_MILLIS = 5;
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

const { factory, note } = await selectTransport((workerData as ShardThreadStart).transport); // given by ShardCrew only
// Here a thread may wait for long: as one of a start, or as the spare.
const [begin] = (await once(main, 'message')) as [Extract<ToShard, { kind: 'begin' }>]; // the first message, always
const { data } = begin;
scaleClock(data.clock.timeScale, data.clock.sinceEpochMillis);

const metrics = new MetricsWriter(data.metrics);
metrics.clearGauges();
const owners = ownersOf(data.shards);
const zones = createZoneTable(textHash, data.zones);
const catalog = compileCatalogSource(data.catalog);
prebuildZones(zones, [...data.zones.map((zone) => zone.name), 'UTC']);

const store = LmdbStore.open({
  path: data.storePath,
  epoch: data.epoch,
  stream: data.shard,
  openBatchMin: batchAfterPublished(data.learningMemory, data.shard),
});
const vault = new TraitVault(DataKeys.open(data.keysPath, data.masterKey, false), () => tell({ kind: 'needDataKeys' }));
const shard = new Shard({
  shard: data.shard,
  shards: data.shards,
  epoch: data.epoch,
  store,
  catalog,
  catalogText: data.catalog.text,
  secret: deriveSecret(data.secret),
  sealer: vault,
  audit: new AuditOutlet(data.auditMemory, data.shard, (event) => tell({ kind: 'audit', event })),
  zones,
  ledger: new SharedLedger(data.ledgerMemory, data.shard),
  learningMemory: data.learningMemory,
  ledgerSubjects: data.ledgerSubjects,
  parts: data.parts,
  prices: new PriceTable(data.priceMemory),
  metrics,
  memoryBytesMax: data.memoryBytesMax,
  idleMillis: data.idleMillis,
  traces: { ...data.traces, slowMicros: data.slowMicros },
  snapshot: data.snapshot,
  ownsPartition: (partition) => owners[partition] === data.shard,
  events: {
    readOnlyChanged: (isReadOnly, problem) => tell({ kind: 'readOnly', isReadOnly, problem }),
    turnFailed: (error, effectType, profileHash) =>
      tell({
        kind: 'turnFailed',
        reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
        effectType,
        profileHash,
      }),
    burst: (isOn) => host.burst(isOn),
    traced: (records) => tell({ kind: 'traces', records }),
    checkpointed: () => tell({ kind: 'checkpointed' }),
    factsTaken: (counts) => tell({ kind: 'factsTaken', counts }),
  },
});
const host = new SessionHost(shard.requests, data.shard, owners, metrics, data.serverName);

const handler: TransportHandler = {
  onUpgrade(request: UpgradeRequest): UpgradeVerdict {
    const verdict = judgeUpgrade(request);
    if (!verdict.accept) metrics.add(COUNTER.connectionsRefused, 1);
    return verdict;
  },
  onOpen(connection: Connection): void {
    connection.session = new Session(host, connection);
    metrics.add(COUNTER.connectionsOpened, 1);
    metrics.addToGauge(GAUGE.connections, 1);
  },
  onMessage(connection: Connection, bytes: Uint8Array, isBinary: boolean): void {
    (connection.session as Session).onFrame(bytes, isBinary); // set in onOpen
  },
  onDrain(): void {},
  onClose(): void {
    metrics.addToGauge(GAUGE.connections, -1);
  },
};

/** Browsers say where a page came from; only pages of this machine may connect, unless a proxy vouches. */
function judgeUpgrade(request: UpgradeRequest): UpgradeVerdict {
  if (host.isDraining) return { accept: false, httpStatus: 503, reason: 'the server is stopping' };
  if (request.origin !== '' && !isLoopbackOrigin(request.origin)) {
    return { accept: false, httpStatus: 403, reason: 'Origin is not a page of this machine' };
  }
  if (host.isMemoryFull) return { accept: false, httpStatus: 503, reason: 'the server has no memory left; try later' };
  const subprotocol = chooseSubprotocol(request.subprotocols);
  if (subprotocol === null) {
    return {
      accept: false,
      httpStatus: 400,
      reason: 'offer the subprotocol opportune.v1.msgpack or opportune.v1.json',
    };
  }
  return { accept: true, subprotocol };
}

function isLoopbackOrigin(origin: string): boolean {
  return /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/.test(origin);
}

async function listen(port: number, sharedPort: number | null, isShared: boolean): Promise<void> {
  const limits = {
    frameBytesMax: LIMITS.frameBytesMax,
    sendBufferBytesMax: SEND_BUFFER_BYTES_MAX,
    idleTimeoutSeconds: IDLE_TIMEOUT_SECONDS,
    connectionsMax: CONNECTIONS_MAX,
  };
  const own = factory.create(handler, limits);
  transports.push(own);
  const ownPort = await own.listen({ host: data.host, port, isShared: false }).catch((error: unknown) => {
    if (!(error instanceof OperatorError)) throw error;
    const advice = 'choose other ports for the workers with --shard-port (0 takes free ones), or stop that process';
    throw new OperatorError(error.code, `worker ${data.shard}: ${error.message}`, { advice, cause: error });
  });
  let shared: number | null = null;
  if (sharedPort !== null) {
    const transport = factory.create(handler, limits);
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
  const session = connection.session as Session; // set in onOpen
  session.isClosing = true;
  while (session.inFlight > 0 && connection.isOpen && monotonicMillis() < endsAt) await delay(FORWARD_DRAIN_MILLIS);
}

function delay(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}

async function stop(): Promise<void> {
  for (const transport of transports) transport.closeAll(CLOSE_CODE.restarting, 'the server has stopped');
  for (const link of host.links) link?.fail();
  const isWritten = await shard.stop();
  tell({ kind: 'stopped', isWritten });
  main.close();
}

function takeCatalog(message: Extract<ToShard, { kind: 'catalog' }>): void {
  let reason: string | null = null;
  try {
    shard.setCatalog(
      compileCatalogSource(message.catalog),
      message.catalog.text,
      message.ledgerSubjects,
      message.parts,
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
      void listen(message.port, message.sharedPort, message.isShared);
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
      vault.offer(message.first, message.count);
      return;
    case 'snapshot':
      tell({ kind: 'snapshot', snapshot: shard.takeSnapshot() });
      return;
    case 'trim':
      void shard.trimJournal(message.keepBytes).then((batches) => tell({ kind: 'trimmed', batches }));
      return;
    case 'adoptBase':
      shard.adoptBase();
      return;
    case 'facts':
      shard.takeFacts(message.facts);
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
const applied = shard.recover();
shard.start();
host.mapEpoch = data.epoch;
tell({
  kind: 'recovered',
  applied,
  millis: monotonicMillis() - startedMillis,
  transport: { name: factory.name, note },
  canSharePort: factory.canSharePort,
});
