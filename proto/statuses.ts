/**
 * The one table of faults a caller can meet. `status` is a gRPC name, `code` the stable number of the
 * exact case, `retry` what the caller should do. Numbers are never reused; new cases are added at the
 * end of their hundred. docs/PROTOCOL.md prints this table and a test holds the two together.
 */
export type Status =
  | 'INVALID_ARGUMENT'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'NOT_FOUND'
  | 'FAILED_PRECONDITION'
  | 'RESOURCE_EXHAUSTED'
  | 'DEADLINE_EXCEEDED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL';

export type Retry = 'never' | 'later' | 'reconnect';

export interface Fault {
  readonly code: number;
  readonly status: Status;
  readonly retry: Retry;
  /** Hint for `retry: 'later'`, in milliseconds; 0 when there is none. */
  readonly retryAfterMillis: number;
}

function fault(code: number, status: Status, retry: Retry, retryAfterMillis = 0): Fault {
  return { code, status, retry, retryAfterMillis };
}

export const FAULT = {
  /** A field has the wrong type, is missing, or is outside its bound; `message` names it. */
  invalidField: fault(1001, 'INVALID_ARGUMENT', 'never'),
  /** `id` is missing, not an unsigned 32-bit integer, or already in flight on this connection. */
  invalidId: fault(1002, 'INVALID_ARGUMENT', 'never'),
  /** A value nests deeper, or a container or string is larger, than the limits allow. */
  tooLarge: fault(1003, 'INVALID_ARGUMENT', 'never'),
  /** A trait is not declared in the catalog, or has the wrong type or range. */
  invalidTrait: fault(1004, 'INVALID_ARGUMENT', 'never'),
  /** A decision, quote or message id does not have the form this server issues. */
  malformedId: fault(1005, 'INVALID_ARGUMENT', 'never'),
  /** A MessagePack extension, non-string map key, duplicate key, NaN, infinity or unsafe integer. */
  forbiddenValue: fault(1006, 'INVALID_ARGUMENT', 'never'),
  /** A property of an event is not what the catalog declares, or one that it requires is missing. */
  invalidProperty: fault(1007, 'INVALID_ARGUMENT', 'never'),
  /** A TCF or GPP string is truncated, forged, of another version, or too large. */
  invalidConsentString: fault(1008, 'INVALID_ARGUMENT', 'never'),
  unauthenticated: fault(1101, 'UNAUTHENTICATED', 'never'),
  /** No role of the connection's token permits the operation. */
  permissionDenied: fault(1201, 'PERMISSION_DENIED', 'never'),
  unknownSlot: fault(1301, 'NOT_FOUND', 'never'),
  unknownSku: fault(1302, 'NOT_FOUND', 'never'),
  unknownAction: fault(1303, 'NOT_FOUND', 'never'),
  unknownChannel: fault(1304, 'NOT_FOUND', 'never'),
  unknownDecision: fault(1305, 'NOT_FOUND', 'never'),
  /** The lease was already released or has expired, so it can no longer be confirmed. */
  leaseEnded: fault(1401, 'FAILED_PRECONDITION', 'never'),
  /** The lease was already confirmed, so it can no longer be released. */
  leaseConfirmed: fault(1402, 'FAILED_PRECONDITION', 'never'),
  /** `minStateSeq` is ahead of what this node holds. */
  staleState: fault(1403, 'FAILED_PRECONDITION', 'later', 50),
  /** This node does not own the partition and could not forward the request. */
  notOwner: fault(1404, 'FAILED_PRECONDITION', 'reconnect'),
  /** Two keys of one person are being joined this moment, or the person holds too much at once to be. */
  joining: fault(1405, 'FAILED_PRECONDITION', 'later', 50),
  /** No key of a person: a placeholder that many share. */
  blockedKey: fault(1406, 'FAILED_PRECONDITION', 'never'),
  /** The person has as many keys, or as many of this type, as the catalog allows. */
  tooManyKeys: fault(1407, 'FAILED_PRECONDITION', 'never'),
  /** The key is joined with no other. */
  notJoined: fault(1408, 'FAILED_PRECONDITION', 'never'),
  /** The time within which keys can be taken apart again has passed. */
  unjoinTooLate: fault(1409, 'FAILED_PRECONDITION', 'never'),
  /** The person's data are stored and not used, so nobody is told how what they would be answered changes. */
  restricted: fault(1410, 'FAILED_PRECONDITION', 'never'),
  /** The person a subscription was about has been erased; whoever comes under the key now is somebody new. */
  erased: fault(1411, 'FAILED_PRECONDITION', 'never'),
  tooManyInFlight: fault(1501, 'RESOURCE_EXHAUSTED', 'later', 10),
  mailboxFull: fault(1502, 'RESOURCE_EXHAUSTED', 'later', 50),
  memoryFull: fault(1503, 'RESOURCE_EXHAUSTED', 'later', 1000),
  /** The reply would be larger than a frame may be. */
  replyTooLarge: fault(1504, 'RESOURCE_EXHAUSTED', 'never'),
  /** More arrives than is served, and this request has waited longer than is worth it. */
  overloaded: fault(1505, 'RESOURCE_EXHAUSTED', 'later', 100),
  /** More requests a second than the operator allows one token or one address. */
  rateLimited: fault(1506, 'RESOURCE_EXHAUSTED', 'later', 1000),
  /** As many subscriptions as a connection, or a worker, keeps. */
  tooManySubscriptions: fault(1507, 'RESOURCE_EXHAUSTED', 'later', 1000),
  deadlineExceeded: fault(1601, 'DEADLINE_EXCEEDED', 'later'),
  /** The store cannot write (full disk, failed commit); reads and dry runs go on. */
  readOnly: fault(1701, 'UNAVAILABLE', 'later', 1000),
  /** The write behind this reply failed; nothing of it was kept. */
  writeFailed: fault(1702, 'UNAVAILABLE', 'later', 1000),
  shardRecovering: fault(1703, 'UNAVAILABLE', 'later', 250),
  shuttingDown: fault(1704, 'UNAVAILABLE', 'reconnect'),
  /** No key can be had for a sensitive trait: the folder of keys cannot be read or written. */
  keysUnavailable: fault(1705, 'UNAVAILABLE', 'later', 1000),
  /** The audit log cannot be written, and what must be in it is not done. */
  auditUnavailable: fault(1706, 'UNAVAILABLE', 'later', 1000),
  unimplemented: fault(1801, 'UNIMPLEMENTED', 'never'),
  /** `op` is missing or not a name this protocol knows. */
  unknownOperation: fault(1802, 'UNIMPLEMENTED', 'never'),
  /** Our bug. The profile's actor was dropped and reloaded from disk. */
  internal: fault(1901, 'INTERNAL', 'later', 100),
  /** The profile failed twice and is set aside until an operator looks. */
  quarantined: fault(1902, 'INTERNAL', 'never'),
} as const satisfies Record<string, Fault>;

const BY_CODE: ReadonlyMap<number, Fault> = new Map(Object.values(FAULT).map((one) => [one.code, one]));

/** The fault of a code, where only that travelled; an internal one for a code that is none. */
export function faultOf(code: number): Fault {
  return BY_CODE.get(code) ?? FAULT.internal;
}
