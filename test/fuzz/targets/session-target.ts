/**
 * Frames through a whole shard without sockets: session, decoder, turns, store in memory. Whatever comes in, each
 * request with an id is answered once under it, nothing is answered `INTERNAL`, and the answers are well-formed.
 */
import { Unpackr } from 'msgpackr';
import { PARTITION_COUNT, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK } from '../../../proto/limits.ts';
import { FrameDecoder, type FrameSink, type Request } from '../../../proto/request.ts';
import { FAULT } from '../../../proto/statuses.ts';
import { ANONYMOUS, DEFAULT_TENANT } from '../../../server/access/principal.ts';
import { Session, SessionHost } from '../../../server/session.ts';
import type { Connection } from '../../../server/transport.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { createLearningMemory } from '../../../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../../../workers/metrics-layout.ts';
import { deriveSecret } from '../../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../../workers/price-table.ts';
import { Shard } from '../../../workers/shard.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../../workers/shared-ledger.ts';
import type { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { MemoryDisk, MemoryStore } from '../../actors/memory-store.ts';
import { SECRET_BYTES, ZONES } from '../../actors/one-shard.ts';
import { COFFEE, catalogText } from '../../actors/test-catalog.ts';
import { bytesOf, demand, type FuzzSubject, type FuzzTarget, fold, foldLetters } from '../fuzz-target.ts';
import { drawFrames, JSON_DICTIONARY, MSGPACK_DICTIONARY, ODD_JSON, ODD_MSGPACK, pack } from './any-request.ts';

const CATALOG = catalogText({
  traits: 'age: { type: integer, min: 0, max: 130 }, home: { type: string }, gold: { type: boolean }',
  products: COFFEE,
  actions:
    '{ key: view, channels: [app], valueMinor: 90, caps: [{ count: 3, per: day }] },' +
    "{ key: click, channels: [app], valueMinor: 50, costMinor: 10, budgetMinor: 100000, eligibility: 'profile.age > 17' }",
});
/** The store in memory forgets nothing: after this many inputs everything begins anew. */
const INPUTS_A_SHARD = 8192;
/** A request that is not answered by then never will be. */
const ANSWER_MILLIS_MAX = 10_000;
const unpackr = new Unpackr({ useRecords: false });

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** The ids that a frame asks under, so that their answers can be counted. */
class IdReader implements FrameSink {
  readonly ids: number[] = [];
  onRequest(request: Request): void {
    this.ids.push(request.id);
  }
  onInvalid(id: number | null): void {
    if (id !== null) this.ids.push(id);
  }
}

const NO_LIMITS = { perToken: null, perAddress: null };

class FakeConnection implements Connection {
  session: unknown = undefined;
  readonly admission = undefined;
  readonly subprotocol: string;
  isOpen = true;
  /** Answers by id, and what is still owed. */
  readonly owed = new Map<number, number>();
  signature = 0;

  constructor(subprotocol: string) {
    this.subprotocol = subprotocol;
  }
  bufferedBytes(): number {
    return 0;
  }
  send(bytes: Uint8Array, isBinary: boolean): 'sent' {
    demand(isBinary === (this.subprotocol === SUBPROTOCOL_MSGPACK), 'an answer in a frame of the other kind');
    const text = (): string => Buffer.from(bytes).toString('utf8');
    const reply = (isBinary ? unpackr.unpack(bytes) : JSON.parse(text())) as Record<string, unknown>; // a reply is a map
    demand(reply.code !== FAULT.internal.code, `answered INTERNAL: ${String(reply.message)}`);
    this.signature = foldLetters(fold(this.signature, Number(reply.code ?? 0)), Object.keys(reply).join());
    if (typeof reply.id === 'number') this.owed.set(reply.id, (this.owed.get(reply.id) ?? 0) - 1);
    return 'sent';
  }
  cork(work: () => void): void {
    work();
  }
  close(code: number): void {
    demand(code === 1007 || code === 1009, `closed with ${code}`);
    this.signature = fold(this.signature, code);
    this.isOpen = false;
  }
}

interface Encoding {
  readonly subprotocol: string;
  readonly decoder: FrameDecoder;
}

class SessionSubject implements FuzzSubject {
  readonly #encodings: readonly Encoding[] = [
    { subprotocol: SUBPROTOCOL_MSGPACK, decoder: new FrameDecoder('msgpack') },
    { subprotocol: SUBPROTOCOL_JSON, decoder: new FrameDecoder('json') },
  ];
  #shard: Shard | undefined = undefined;
  #host: SessionHost | undefined = undefined;
  #inputs = 0;
  #failure: unknown = undefined;
  readonly #waiting: FakeConnection[] = [];

  #begin(): SessionHost {
    const catalog = compileCatalog(CATALOG, 'fuzz.yaml');
    const metrics = new MetricsWriter(createMetricsBuffer());
    const shard = new Shard({
      shard: 0,
      shards: 1,
      epoch: 1,
      store: new MemoryStore(new MemoryDisk(), 1, 0) as unknown as LmdbStore, // it has every method a shard calls
      catalog,
      catalogText: CATALOG,
      secret: deriveSecret(SECRET_BYTES),
      zones: ZONES,
      ledger: new SharedLedger(createLedgerMemory(1), 0),
      learningMemory: createLearningMemory(1),
      ledgerSubjects: dealSlots([], catalog),
      prices: new PriceTable(createPriceMemory()),
      metrics,
      memoryBytesMax: 64 * 1024 * 1024,
      idleMillis: 3_600_000,
      traces: { isEnabled: false, sampleRatio: 0, slowMicros: 1_000_000 },
      snapshot: null,
      ownsPartition: () => true,
      events: {
        readOnlyChanged: () => {},
        turnFailed: (error) => {
          this.#failure ??= error;
        },
        traced: () => {},
        burst: (isOn) => this.#host?.burst(isOn),
        checkpointed: () => {},
        factsTaken: () => {},
        snapshotWanted: () => {},
      },
    });
    shard.recover();
    shard.start();
    this.#shard = shard;
    this.#host = new SessionHost(
      [{ name: DEFAULT_TENANT, requests: shard.requests, people: shard.people, metrics }],
      0,
      new Uint8Array(PARTITION_COUNT),
      metrics,
      'fuzz',
    );
    return this.#host;
  }

  /** The first byte chooses encoding and the frame's kind. */
  run(input: Uint8Array): number {
    const choice = input[0] ?? 0;
    const { subprotocol, decoder } = this.#encodings[choice & 1] as Encoding; // two of them
    const bytes = input.subarray(1);
    const isOtherKind = (choice & 0x30) === 0x30;
    const connection = new FakeConnection(subprotocol);
    const ids = new IdReader();
    if (!isOtherKind) decoder.decode(bytes, ids);
    for (const id of ids.ids) connection.owed.set(id, (connection.owed.get(id) ?? 0) + 1);
    const session = new Session(
      this.#host ?? this.#begin(),
      connection,
      { login: ANONYMOUS, hasOptOut: false },
      NO_LIMITS,
    );
    session.onFrame(bytes, (subprotocol === SUBPROTOCOL_MSGPACK) !== isOtherKind);
    if (this.#failure !== undefined) throw this.#failure;
    this.#waiting.push(connection);
    this.#inputs++;
    return fold(connection.signature, choice & 1);
  }

  /** What waits for the disk is answered once the batch is written. */
  async settle(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    const start = performance.now();
    for (const { owed, isOpen } of waiting) {
      if (!isOpen) continue; // what broke behind its first requests is not carried out
      for (const id of owed.keys()) {
        while ((owed.get(id) as number) > 0 && performance.now() - start < ANSWER_MILLIS_MAX) await nextTurn(); // its own key
        demand(owed.get(id) === 0, `request ${id} is owed ${owed.get(id)} answers`);
      }
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#inputs < INPUTS_A_SHARD) return;
    this.#inputs = 0;
    this.#host = undefined;
    await this.#shard?.stop();
  }

  async close(): Promise<void> {
    await this.#shard?.stop();
  }
}

export const SESSION_TARGET: FuzzTarget = {
  name: 'session',
  about: 'each request of a frame is answered once, never INTERNAL, in the frame kind of its connection',
  share: 2,
  inputBytesMax: 512,
  covers: ['proto/', 'server/session', 'actors/', 'decision/'],
  dictionary: [...MSGPACK_DICTIONARY, ...JSON_DICTIONARY, ...bytesOf(['coffee', '"coffee"'])],
  seeds: (seed) => {
    const values = drawFrames(seed, 300);
    const inPack = [...values.map(pack), ...ODD_MSGPACK.map((hex) => Buffer.from(hex, 'hex'))].map((b) => [0, ...b]);
    const inJson = bytesOf([...values.map((value) => JSON.stringify(value) ?? ''), ...ODD_JSON]).map((b) => [1, ...b]);
    return [...inPack, ...inJson].map((bytes) => Uint8Array.from(bytes));
  },
  create: () => new SessionSubject(),
};
