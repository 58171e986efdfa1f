/**
 * What can go wrong with the durable store, as one error class with a stable `code`. The message names
 * what failed, where, and what to do; `isRetryable` says whether `recover` may bring the store back.
 * Values never appear in a message: a database name and a key in hex are enough to find them.
 */

export const STORE_ERROR = {
  /** A stored value does not match its checksum: damaged on disk. */
  CORRUPT: 'CORRUPT',
  /** The disk, the quota or the address space is full; nothing of the batch was kept. */
  DISK_FULL: 'DISK_FULL',
  /** The write failed or was not confirmed in time; its outcome may be unknown until `recover`. */
  WRITE_FAILED: 'WRITE_FAILED',
  /** One value, or the journal of one batch, is larger than the store takes. */
  TOO_LARGE: 'TOO_LARGE',
  /** The store folder could not be opened. */
  OPEN_FAILED: 'OPEN_FAILED',
  /** The store was closed. */
  CLOSED: 'CLOSED',
} as const;
export type StoreErrorCode = (typeof STORE_ERROR)[keyof typeof STORE_ERROR];

export interface StoreErrorFacts {
  readonly database?: string;
  readonly keyHex?: string;
  readonly path?: string;
  readonly cause?: unknown;
}

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** Whether waiting for `recover` makes sense: the cause (a full disk, a stalled disk) can go away. */
  readonly isRetryable: boolean;
  readonly database: string | undefined;
  readonly keyHex: string | undefined;
  readonly path: string | undefined;

  constructor(code: StoreErrorCode, message: string, facts: StoreErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.isRetryable = code === STORE_ERROR.DISK_FULL || code === STORE_ERROR.WRITE_FAILED;
    this.database = facts.database;
    this.keyHex = facts.keyHex;
    this.path = facts.path;
  }
}
