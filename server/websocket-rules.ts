/**
 * The rules of RFC 6455 that both transports apply in the same words: which handshake is refused with
 * which HTTP status, what a plain HTTP request is told, which close codes may be sent. The adapters only
 * fetch the header fields from their library and carry the verdict out, so that a client sees one
 * server, whichever library answers. Order of refusal: path, handshake fields, capacity, the handler.
 */
import { strict as assert } from 'node:assert';
import { WEBSOCKET_PATH } from '../proto/limits.ts';
import type { TransportHandler, TransportLimits, UpgradeVerdict } from './transport.ts';

/** How long a closed connection may go on taking what was already sent to it, before it is cut. */
export const CLOSE_GRACE_MILLIS = 2_000;

/** Longest close reason RFC 6455 section 5.5 leaves room for: a 125-byte control frame less the code. */
const CLOSE_REASON_BYTES_MAX = 123;

/** What the adapters read from the upgrade request; absent headers are empty strings. */
export interface HandshakeFields {
  readonly path: string;
  /** The query string without its question mark. */
  readonly query: string;
  readonly key: string;
  readonly version: string;
  /** The whole `Sec-WebSocket-Protocol` header. */
  readonly protocols: string;
  readonly origin: string;
  readonly authorization: string;
  /** The `Sec-GPC` header. */
  readonly gpc: string;
  readonly address: string;
}

export const HTTP_STATUS_LINE = {
  400: '400 Bad Request',
  401: '401 Unauthorized',
  403: '403 Forbidden',
  404: '404 Not Found',
  426: '426 Upgrade Required',
  429: '429 Too Many Requests',
  503: '503 Service Unavailable',
} as const;

export interface Refusal {
  readonly httpStatus: keyof typeof HTTP_STATUS_LINE;
  readonly reason: string;
}

// A token of RFC 9110 section 5.6.2, which is what RFC 6455 makes of a subprotocol name.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// 16 bytes in base64: 22 digits, the last one carrying 2 bits, and the padding.
const KEY = /^[+/0-9A-Za-z]{21}[AQgw]==$/;

/** Judges one upgrade request; asks the handler only when the request is a sound handshake. */
export function judgeUpgrade(
  fields: HandshakeFields,
  handler: TransportHandler,
  limits: TransportLimits,
  connectionCount: number,
): UpgradeVerdict | Promise<UpgradeVerdict> {
  if (fields.path !== WEBSOCKET_PATH) return refuse(404, `the WebSocket is at ${WEBSOCKET_PATH}`);
  if (!KEY.test(fields.key)) return refuse(400, 'Sec-WebSocket-Key must be 16 bytes in base64');
  if (fields.version !== '13') return refuse(400, 'Sec-WebSocket-Version must be 13');
  const subprotocols = fields.protocols === '' ? [] : fields.protocols.split(',').map((name) => name.trim());
  if (!subprotocols.every((name, index) => TOKEN.test(name) && subprotocols.indexOf(name) === index)) {
    return refuse(400, 'Sec-WebSocket-Protocol must be a list of distinct tokens');
  }
  if (connectionCount >= limits.connectionsMax) {
    return refuse(503, `all ${limits.connectionsMax} connections are taken, try again later`);
  }
  const verdict = handler.onUpgrade({
    path: fields.path,
    subprotocols,
    origin: fields.origin.toLowerCase(),
    authorization: fields.authorization,
    queryToken: fields.query === '' ? '' : (new URLSearchParams(fields.query).get('token') ?? ''),
    hasOptOut: isOptOut(fields.gpc),
    address: fields.address,
  });
  return verdict instanceof Promise
    ? verdict.then((late) => checked(late, subprotocols))
    : checked(verdict, subprotocols);
}

function checked(verdict: UpgradeVerdict, offered: readonly string[]): UpgradeVerdict {
  assert(!verdict.accept || offered.includes(verdict.subprotocol), 'a subprotocol the client did not offer');
  return verdict;
}

/** The verdict that came late, when the place it promised may be taken by others. */
export function judgeAgain(verdict: UpgradeVerdict, limits: TransportLimits, connectionCount: number): UpgradeVerdict {
  if (!verdict.accept || connectionCount < limits.connectionsMax) return verdict;
  return refuse(503, `all ${limits.connectionsMax} connections are taken, try again later`);
}

/** Headers of a refusal besides those of its body. */
export function refusalHeaders(refusal: Refusal): readonly (readonly [string, string])[] {
  if (refusal.httpStatus === 401) return [['WWW-Authenticate', 'Bearer realm="opportune"']]; // RFC 6750, section 3
  if (refusal.httpStatus === 429) return [['Retry-After', '1']];
  return refusal.httpStatus === 426 ? [['Upgrade', 'websocket']] : [];
}

function refuse(httpStatus: 400 | 404 | 503, reason: string): UpgradeVerdict {
  return { accept: false, httpStatus, reason };
}

/** What a request that is no complete upgrade gets: there is nothing but the WebSocket on this port. */
export function refusePlainRequest(path: string, upgrade: string): Refusal {
  if (path !== WEBSOCKET_PATH) return { httpStatus: 404, reason: `the WebSocket is at ${WEBSOCKET_PATH}` };
  if (upgrade.toLowerCase() === 'websocket') {
    return { httpStatus: 400, reason: 'not a complete WebSocket handshake (RFC 6455 section 4.1)' };
  }
  return { httpStatus: 426, reason: `only WebSocket is spoken here, at ${WEBSOCKET_PATH}` };
}

/** Whether a header `Sec-GPC` asks that data be neither sold nor shared: 1 does, and nothing else (W3C, Global Privacy Control). */
export function isOptOut(header: string | readonly string[] | undefined): boolean {
  return header === '1';
}

/** True for the codes an endpoint may put into a close frame (RFC 6455 section 7.4 and the IANA list). */
export function isSendableCloseCode(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

/** The reason cut to what a close frame can hold, never inside a UTF-8 sequence. */
export function fitCloseReason(reason: string): string {
  const bytes = Buffer.from(reason, 'utf8');
  if (bytes.length <= CLOSE_REASON_BYTES_MAX) return reason;
  let end = CLOSE_REASON_BYTES_MAX;
  // Bytes 10xxxxxx continue a sequence: step back to the byte that starts one.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
