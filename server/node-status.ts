/**
 * How the process edge (command line, admin HTTP, banner) sees a running node: a few facts read at any
 * moment and three verbs. The composition root implements it; nothing here knows threads or sockets.
 * `status()` is a plain snapshot, cheap enough for a health check every second.
 */
export type ShardState = 'starting' | 'recovering' | 'ready' | 'failed' | 'stopping';

export interface ShardStatus {
  readonly index: number;
  readonly state: ShardState;
  /** Replacements since the node started. */
  readonly restarts: number;
  /** The shard's store cannot write; it answers reads and dry runs only. */
  readonly isReadOnly: boolean;
  /** Why the shard is not ready, in one line, or null. Never profile content. */
  readonly problem: string | null;
}

export interface CatalogStatus {
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly actions: number;
  readonly products: number;
  readonly slots: number;
  readonly channels: number;
  readonly traits: number;
  /** Reason the newest version of the file was refused (the one before stays in force), or null. */
  readonly refused: string | null;
}

export interface NodeStatus {
  /** Version of Opportune. */
  readonly version: string;
  readonly startedAtEpochMillis: number;
  readonly isDraining: boolean;
  /** False while the audit log cannot be written, and no person's data is shown. */
  readonly isAuditWritable?: boolean;
  readonly shards: readonly ShardStatus[];
  readonly catalog: CatalogStatus;
}

export interface NodeAddresses {
  /** Shared WebSocket address, for example `ws://127.0.0.1:7400/v1/ws`. */
  readonly websocket: string;
  /** One direct address a worker, in shard order. */
  readonly shards: readonly string[];
  /** Admin HTTP, for example `http://127.0.0.1:7401`. */
  readonly admin: string;
}

export interface TransportNote {
  readonly name: 'uws' | 'ws';
  /** One line: what is used, where it came from, and why not the other (as `selectTransport` says it). */
  readonly note: string;
}

export interface RunningNode {
  readonly addresses: NodeAddresses;
  readonly transport: TransportNote;
  /** True when the data folder held nothing before this start. */
  readonly isFirstStart: boolean;
  status(): NodeStatus;
  /** Reads keys, certificates and the catalog again, now; what is wrong with one is logged and changes nothing. */
  reload(): Promise<void>;
  /** Readiness off, no new sockets, 1012 to open ones spread over the drain window, in-flight work answered. */
  drain(): Promise<void>;
  /** Flushes and closes everything. After it the process may exit. Safe to call twice. */
  stop(): Promise<void>;
  /** Settles when the node can no longer go on by itself; never settles otherwise. */
  readonly failed: Promise<Error>;
}

/** A node is ready when it takes every kind of request: all shards ready and writing, and not draining. */
export function isReady(status: NodeStatus): boolean {
  return (
    !status.isDraining &&
    status.shards.length > 0 &&
    status.shards.every((shard) => shard.state === 'ready' && !shard.isReadOnly)
  );
}

/** A node is healthy while no shard is beyond repair; starting and recovering shards are alive. */
export function isHealthy(status: NodeStatus): boolean {
  return status.shards.every((shard) => shard.state !== 'failed');
}
