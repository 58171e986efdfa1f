/**
 * One shard's actors without its loop, for tests: runtime, turns, ledger and models over a memory store,
 * driven by requests made of plain fields and an instant. `recovered` does what a start does: reads
 * checkpoint and journal back into a new runtime, recounting ledger and models as `workers/shard.ts` does.
 */
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import { ConsentTurn } from '../../actors/consent-turn.ts';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { EFFECT, EVENT } from '../../actors/effect.ts';
import { EventTurn } from '../../actors/event-turn.ts';
import type { Models } from '../../actors/ports.ts';
import { ProfileTurn } from '../../actors/profile-turn.ts';
import { FIELD } from '../../actors/record-layout.ts';
import type { TraitSealer } from '../../actors/sealed-trait.ts';
import type { JournalPosition } from '../../actors/store.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import type { DecideReply, Plain } from '../../proto/messages.ts';
import { textHash } from '../../proto/murmur3.ts';
import { Request } from '../../proto/request.ts';
import type { Fault } from '../../proto/statuses.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, type PriceMemory, PriceTable } from '../../workers/price-table.ts';
import { readConsentStrings } from '../../workers/privacy/consent-strings.ts';
import {
  basePositions,
  inheritedLedger,
  isAfter,
  readBase,
  writeBase,
  writeCheckpoint,
} from '../../workers/recovery.ts';
import { ShardModels } from '../../workers/shard-models.ts';
import {
  createLedgerMemory,
  dealSlots,
  type LedgerMemory,
  type LedgerSubject,
  moveOwn,
  SharedLedger,
} from '../../workers/shared-ledger.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { MemoryDisk, MemoryStore } from './memory-store.ts';

/** One table for all tests of a file: filling a zone takes milliseconds. */
export const ZONES = createZoneTable(textHash);
export const SECRET_BYTES = new Uint8Array(32).fill(7);
const SECRET = deriveSecret(SECRET_BYTES);
const ENCODER = new TextEncoder();
const SILENT = { mark(): void {} };

export type Fields = Partial<Omit<Request, 'reset' | 'profileKey' | 'copyRaw'>> & { profile?: string };

export function requestOf(fields: Fields): Request {
  const { profile, ...rest } = fields;
  const request = Object.assign(new Request(), rest);
  if (profile !== undefined) {
    request.keyBytes = ENCODER.encode(profile);
    request.keyLength = request.keyBytes.length;
  }
  return request;
}

export interface OneShardOptions {
  readonly catalog: string;
  readonly disk?: MemoryDisk;
  readonly epoch?: number;
  readonly shard?: number;
  readonly shards?: number;
  readonly ledgerMemory?: LedgerMemory;
  readonly priceMemory?: PriceMemory;
  readonly memoryBytesMax?: number;
  readonly idleMillis?: number;
  readonly sealer?: TraitSealer;
  /** Puts something else in the models' place, to make them fail. */
  readonly wrapModels?: (models: ShardModels) => Models;
}

export class OneShard {
  readonly options: OneShardOptions;
  readonly disk: MemoryDisk;
  readonly store: MemoryStore;
  readonly ledger: SharedLedger;
  readonly models: ShardModels;
  readonly prices: PriceTable;
  readonly runtime: ActorRuntime;
  readonly decideTurn: DecideTurn;
  readonly eventTurn: EventTurn;
  readonly profileTurn: ProfileTurn;
  readonly consentTurn: ConsentTurn;
  subjects: readonly LedgerSubject[];

  constructor(options: OneShardOptions) {
    this.options = options;
    const { shard = 0, shards = 1, epoch = 1 } = options;
    const catalog = compileCatalog(options.catalog, 'test.yaml');
    this.disk = options.disk ?? new MemoryDisk();
    this.store = new MemoryStore(this.disk, epoch, shard);
    this.ledger = new SharedLedger(options.ledgerMemory ?? createLedgerMemory(shards), shard);
    this.subjects = dealSlots([], catalog);
    this.ledger.setSubjects(this.subjects);
    this.prices = new PriceTable(options.priceMemory ?? createPriceMemory());
    this.models = new ShardModels(
      catalog,
      this.store,
      this.prices,
      SECRET.seedSecret,
      (z) => ZONES.zoneName(z),
      shards > 1,
    );
    this.runtime = new ActorRuntime(
      {
        store: this.store,
        epoch,
        stream: shard,
        hashSeeds: SECRET.hashSeeds,
        seedSecret: SECRET.seedSecret,
        zones: ZONES,
        ledger: this.ledger,
        models: options.wrapModels?.(this.models) ?? this.models,
        signer: SECRET.signer,
        coldCodec,
        ...(options.sealer === undefined ? {} : { sealer: options.sealer }),
        memoryBytesMax: options.memoryBytesMax ?? 256 * 1024 * 1024,
        idleMillis: options.idleMillis ?? 3_600_000,
        ownsPartition: (partition) => partition % shards === shard,
      },
      new CatalogIndex(catalog),
    );
    this.decideTurn = new DecideTurn(this.runtime);
    this.eventTurn = new EventTurn(this.runtime);
    this.profileTurn = new ProfileTurn(this.runtime);
    this.consentTurn = new ConsentTurn(this.runtime, readConsentStrings);
  }

  /** Takes another catalog, as a reload does. */
  reload(text: string): void {
    const catalog = compileCatalog(text, 'test.yaml');
    this.subjects = dealSlots(this.subjects, catalog);
    this.ledger.setSubjects(this.subjects);
    this.prices.clear();
    this.models.setCatalog(catalog);
    this.runtime.setCatalog(new CatalogIndex(catalog));
    this.decideTurn.useCatalog();
  }

  tryDecide(fields: Fields, now: number): Fault | DecideReply {
    const fault = this.decideTurn.run(requestOf(fields), now, SILENT);
    this.#land();
    return fault ?? structuredClone({ ...this.decideTurn.outcome });
  }
  decide(fields: Fields, now: number): DecideReply {
    const answer = this.tryDecide(fields, now);
    if ('retry' in answer) throw new Error(`${answer.status} ${answer.code}: ${this.runtime.message}`);
    return answer;
  }
  track(fields: Fields, now: number): Fault | null {
    const fault = this.eventTurn.track(requestOf(fields), now);
    this.#land();
    return fault;
  }
  confirm(decisionId: string, now: number): Fault | null {
    const fault = this.eventTurn.confirm(requestOf({ decisionId }), now);
    this.#land();
    return fault;
  }
  release(decisionId: string, now: number): Fault | null {
    const fault = this.eventTurn.release(requestOf({ decisionId }), now);
    this.#land();
    return fault;
  }
  consent(profile: string, purposes: Request['purposes'], now: number, proof: Request['proof'] = null): Fault | null {
    return this.consentTurn.run(requestOf({ profile, purposes, proof }), now);
  }
  identify(profile: string, traits: NonNullable<Request['traits']>, now: number): Fault | null {
    return this.profileTurn.identify(requestOf({ profile, traits }), now);
  }
  describe(profile: string, now: number): Record<string, Plain> {
    const out: Record<string, Plain> = {};
    const fault = this.profileTurn.describe(requestOf({ profile }), now, out);
    if (fault !== null) throw new Error(`${fault.status} ${fault.code}`);
    return out;
  }

  /** Ends due leases of profiles nobody asks for. */
  advanceTimers(now: number, limit: number): void {
    this.runtime.advanceTimers(now, limit);
    this.#land();
  }

  /** What a lease gave back is free once its batch is on disk: here that is at once. */
  #land(): void {
    this.ledger.settle(Number.POSITIVE_INFINITY);
  }

  /** The profile's bytes as they would be stored, those that mean nothing on disk zeroed. */
  recordBytes(profile: string): Uint8Array {
    const fault = this.runtime.open(requestOf({ profile }), 0);
    if (fault !== null) throw new Error(`${fault.status} ${fault.code}`);
    return this.boundBytes();
  }
  boundBytes(): Uint8Array {
    const { record } = this.runtime;
    const bytes = record.u8.slice(record.base, record.base + record.usedBytes);
    bytes.fill(0, FIELD.zone, FIELD.zone + 2);
    bytes.fill(0, FIELD.dirtySinceBatch, FIELD.dirtySinceBatch + 4);
    bytes[FIELD.swept] = 0;
    bytes[FIELD.faults] = 0;
    return bytes;
  }

  /** Writes every dirty record and a checkpoint, in pieces of `recordsACommit`; call with nothing uncommitted. */
  checkpoint(recordsACommit = 4096): void {
    const { runtime, store } = this;
    const checkpoint = { batch: store.openBatch, ledger: this.ledger.share() };
    runtime.beginCycle();
    while (!runtime.isCycleDone) {
      runtime.writeRecords(recordsACommit);
      store.commitNow();
    }
    const { epoch = 1, shard = 0, shards = 1 } = this.options;
    writeCheckpoint(store, epoch, shard, checkpoint);
    writeBase(store, { epoch, streams: shards });
    store.commitNow();
  }

  /** A new start on what is on disk now. */
  recovered(options: Partial<OneShardOptions> = {}): OneShard {
    const next = new OneShard({
      ...this.options,
      disk: this.disk,
      epoch: (this.options.epoch ?? 1) + 1,
      ...options,
    });
    next.recover();
    return next;
  }

  recover(): number {
    const { store } = this;
    const { shard = 0, shards = 1 } = this.options;
    const base = readBase(store);
    const positions = basePositions(store, base);
    const own = new Map<number, Float64Array>();
    const ownOf = (subjectHash: number): Float64Array => {
      const row = own.get(subjectHash) ?? new Float64Array(2);
      own.set(subjectHash, row);
      return row;
    };
    for (const { subjectHash, held, spent } of inheritedLedger(store, base, shard, shards)) {
      const row = ownOf(subjectHash);
      row[0] = (row[0] as number) + held;
      row[1] = (row[1] as number) + spent;
    }
    // Models begin without a snapshot, so every event there is teaches them.
    const mayLack = (batch: JournalPosition): boolean => isAfter(positions, batch);
    const applied = this.runtime.recoverFrom([], mayLack, (effect, isForRecord) => {
      if (isForRecord) {
        for (let i = 0; i < effect.ledgerCount; i++) {
          moveOwn(ownOf(effect.ledgerSubject(i)), 0, effect.ledgerKind(i), effect.ledgerAmount(i));
        }
      }
      if (effect.type === EFFECT.event && effect.getU32(EVENT.flags) !== 0) this.models.learn(effect);
    });
    this.ledger.setShare(
      [...own].map(([subjectHash, row]) => ({ subjectHash, held: row[0] as number, spent: row[1] as number })),
    );
    return applied;
  }
}
