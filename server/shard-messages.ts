/**
 * What the main thread and a shard worker say to each other. Start goes in steps, so that budgets are
 * complete before the first decision and every `hello` names every shard:
 *
 *   main: begin ─▸ worker: recovered ─▸ main (waits for all) ─▸ listen ─▸ worker: listening(port) ─▸ main ─▸ serve(map) ─▸ worker: ready
 */
import type { MessagePort } from 'node:worker_threads';
import type { FactRows } from '../actors/fact-turn.ts';
import type { FeedPush } from '../decision/feed-table.ts';
import type { ZoneData } from '../decision/local-time.ts';
import type { PartKeys } from '../decision/part-register.ts';
import type { ShardAddress } from '../proto/messages.ts';
import type { AuditMemory } from '../workers/audit/audit-gate.ts';
import type { AuditEvent } from '../workers/audit/audit-record.ts';
import type { CatalogSource } from '../workers/catalog/catalog-source.ts';
import type { FactCounts } from '../workers/fact-feed.ts';
import type { ModelSnapshot } from '../workers/jobs/model-snapshot-file.ts';
import type { LearningMemory } from '../workers/learning-exchange.ts';
import type { LetterAnswer, LetterQuestion } from '../workers/letter-desk.ts';
import type { PersonAnswer, PersonQuestion } from '../workers/person-look.ts';
import type { PriceMemory } from '../workers/price-table.ts';
import type { SourceRow } from '../workers/quality/source-tallies.ts';
import type { LedgerMemory, LedgerSubject } from '../workers/shared-ledger.ts';
import type { GateMemory } from '../workers/store/writers-gate.ts';
import type { TraceRecord } from '../workers/trace-record.ts';
import type { AccessOptions } from './access/access-options.ts';
import type { DoorOptions } from './access/doorkeeper.ts';
import type { Drill } from './admin-http.ts';
import type { TransportNote } from './node-status.ts';
import type { TraceGate } from './otel-environment.ts';
import type { TransportNeeds, TransportPreference } from './select-transport.ts';
import type { TransportTls } from './transport.ts';

/** What a thread is born with: enough to load its modules and its transport. All else comes with `begin`. */
export interface ShardThreadStart {
  readonly transport: TransportPreference;
  readonly needs: TransportNeeds;
}

/** One tenant's share of a worker: everything that is not another tenant's. */
export interface TenantData {
  readonly name: string;
  readonly epoch: number;
  readonly storePath: string;
  /** The shard's own number is its writer's. */
  readonly gateMemory: GateMemory;
  readonly secret: Uint8Array;
  /** The master key of the sensitive traits, and the file of the keys under it. */
  readonly masterKey: Uint8Array;
  readonly keysPath: string;
  readonly ledgerMemory: LedgerMemory;
  readonly learningMemory: LearningMemory;
  readonly parts: PartKeys;
  readonly priceMemory: PriceMemory;
  readonly metrics: SharedArrayBuffer;
  readonly snapshot: ModelSnapshot | null;
  /** What stands of each context feed. */
  readonly feeds: readonly FeedPush[];
  /** Of this tenant's resident profiles on this worker. */
  readonly memoryBytesMax: number;
}

/** What makes a waiting thread the worker of a shard. */
export interface ShardThreadData {
  readonly shard: number;
  readonly shards: number;
  /** The default tenant first; a tenant's place here is its number in every message and on every worker. */
  readonly tenants: readonly TenantData[];
  readonly auditMemory: AuditMemory;
  readonly catalog: CatalogSource;
  /** Zones to know before the first request, read once for all workers. */
  readonly zones: readonly ZoneData[];
  /** The same for every tenant: slots are dealt from the catalogs since the start. */
  readonly ledgerSubjects: readonly LedgerSubject[];
  readonly idleMillis: number;
  readonly traces: TraceGate;
  readonly slowMicros: number;
  /** What `scaleClock` takes. */
  readonly clock: { readonly timeScale: number; readonly sinceEpochMillis: number };
  readonly host: string;
  readonly serverName: string;
  readonly access: AccessOptions & DoorOptions;
  readonly tls: TransportTls | null;
}

/** What the main thread asks one shard of one tenant. */
export type ShardQuestion = LetterQuestion | { readonly op: 'sources' };
export interface SourcesAnswer {
  readonly kind: 'sources';
  readonly rows: readonly SourceRow[];
  readonly sinceEpochMillis: number;
}
export type ShardAnswer = LetterAnswer | SourcesAnswer;

export type ToShard =
  /** The first and only message to a thread that waits and is not needed any more. */
  | { readonly kind: 'leave' }
  /** The first message a thread gets. */
  | { readonly kind: 'begin'; readonly data: ShardThreadData }
  | { readonly kind: 'link'; readonly peer: number; readonly port: MessagePort }
  | { readonly kind: 'unlink'; readonly peer: number }
  /** `port`: the shard's own; `sharedPort`: the node's, or null when another shard serves it alone. */
  | { readonly kind: 'listen'; readonly port: number; readonly sharedPort: number | null; readonly isShared: boolean }
  | { readonly kind: 'serve'; readonly addresses: readonly ShardAddress[]; readonly mapEpoch: number }
  | {
      readonly kind: 'catalog';
      readonly catalog: CatalogSource;
      readonly ledgerSubjects: readonly LedgerSubject[];
      /** By tenant. */
      readonly parts: readonly PartKeys[];
      /** By tenant, what stands of each feed under this catalog. */
      readonly feeds: readonly (readonly FeedPush[])[];
    }
  | { readonly kind: 'catalogRefused' }
  /** Keys of a tenant that this worker alone may use; `count` 0: none could be made. */
  | { readonly kind: 'dataKeys'; readonly tenant: number; readonly first: number; readonly count: number }
  /** `isWanted`: also without news. */
  | { readonly kind: 'snapshot'; readonly tenant: number; readonly isWanted?: true }
  /** It is on disk. */
  | { readonly kind: 'snapshotKept'; readonly tenant: number; readonly snapshot: ModelSnapshot }
  | { readonly kind: 'trim'; readonly keepBytes: number }
  | { readonly kind: 'adoptBase'; readonly tenant: number }
  /** The next handshakes use these. */
  | { readonly kind: 'tls'; readonly tls: TransportTls }
  /** Look at the files of keys now. */
  | { readonly kind: 'refreshAccess' }
  /** Answered with `feedsTaken` when the next decision reads them. */
  | { readonly kind: 'feeds'; readonly tenant: number; readonly pushes: readonly FeedPush[]; readonly number: number }
  | { readonly kind: 'facts'; readonly tenant: number; readonly facts: FactRows }
  /** What is known of a person, for a webhook. */
  | { readonly kind: 'look'; readonly id: number; readonly tenant: number; readonly question: PersonQuestion }
  /** Answered by `answered` with the same number. */
  | { readonly kind: 'ask'; readonly ask: number; readonly tenant: number; readonly question: ShardQuestion }
  | { readonly kind: 'drain'; readonly seconds: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'drill'; readonly drill: Drill }
  /** The process has as much memory as it may: no more connections and requests until it has less. */
  | { readonly kind: 'memory'; readonly isFull: boolean };

export type FromShard =
  | {
      readonly kind: 'recovered';
      readonly applied: number;
      readonly millis: number;
      /** The same in every worker of a node. */
      readonly transport: TransportNote;
      readonly canSharePort: boolean;
    }
  | { readonly kind: 'listening'; readonly port: number; readonly sharedPort: number | null }
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'readOnly';
      readonly tenant: number;
      readonly isReadOnly: boolean;
      readonly problem: string | null;
    }
  | { readonly kind: 'turnFailed'; readonly reason: string; readonly effectType: number; readonly profileHash: string }
  | { readonly kind: 'traces'; readonly records: readonly TraceRecord[] }
  | { readonly kind: 'audit'; readonly event: AuditEvent }
  | { readonly kind: 'needDataKeys'; readonly tenant: number }
  | { readonly kind: 'checkpointed'; readonly tenant: number }
  /** An erasure waits for a snapshot of the models. */
  | { readonly kind: 'snapshotWanted'; readonly tenant: number }
  | { readonly kind: 'snapshot'; readonly tenant: number; readonly snapshot: ModelSnapshot | null }
  | { readonly kind: 'catalogApplied'; readonly version: string; readonly reason: string | null }
  | { readonly kind: 'trimmed'; readonly tenant: number; readonly batches: number }
  | { readonly kind: 'feedsTaken'; readonly tenant: number; readonly number: number }
  | { readonly kind: 'factsTaken'; readonly tenant: number; readonly counts: FactCounts }
  /** Null: it cannot be said at the moment. */
  | { readonly kind: 'looked'; readonly id: number; readonly answer: PersonAnswer | null }
  | { readonly kind: 'answered'; readonly ask: number; readonly answer: ShardAnswer }
  | { readonly kind: 'drained' }
  /** By tenant, whether all records and a last checkpoint are on disk. */
  | { readonly kind: 'stopped'; readonly isWritten: readonly boolean[] }
  | { readonly kind: 'dying'; readonly code: string; readonly reason: string; readonly advice: string };
