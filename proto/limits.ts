/**
 * Every bound of the wire protocol, in one place. `hello` announces them; the codec, the sessions and
 * the client enforce them. A change here is a change of the contract in docs/PROTOCOL.md.
 */
export const PROTOCOL_VERSION = 1;
export const PARTITION_COUNT = 256;
export const WEBSOCKET_PATH = '/v1/ws';
export const SUBPROTOCOL_MSGPACK = 'opportune.v1.msgpack';
export const SUBPROTOCOL_JSON = 'opportune.v1.json';

export const LIMITS = {
  /** Largest frame a client may send, in bytes. A larger one closes the connection with 1009. */
  frameBytesMax: 64 * 1024,
  /** Replies are kept under this size unless the caller asked for more (explain, profile). */
  replyBytesUsual: 16 * 1024,
  /** Deepest nesting of maps and arrays inside one request; the request itself is level 1. */
  nestingMax: 8,
  /** Requests of one connection that may be unanswered at a time. */
  inFlightMax: 1024,
  /** Longest string anywhere in a request, in UTF-8 bytes. */
  stringBytesMax: 4 * 1024,
  /** Profile keys are 1 to this many UTF-8 bytes. */
  profileKeyBytesMax: 256,
  /** Requests in one array frame. */
  batchItemsMax: 1024,
  /** Entries of one map or array inside a request. */
  containerItemsMax: 1024,
  /** Actions asked for in one `decide`. */
  decideCountMax: 32,
  /** Subscriptions of one connection. */
  subscriptionsMax: 256,
  /** Longest relative deadline, in milliseconds. */
  deadlineMillisMax: 60_000,
} as const;

/** Close codes this protocol uses beyond RFC 6455's own. */
export const CLOSE_CODE = {
  normal: 1000,
  goingAway: 1001,
  badPayload: 1007,
  policy: 1008,
  tooBig: 1009,
  restarting: 1012,
  overloaded: 1013,
  moved: 4002,
} as const;
