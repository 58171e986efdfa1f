/**
 * The bare echo server of the yardstick: each request frame is answered by one frame of a fixed size
 * with the request's id in it, and nothing else is done. Over `uws` the native library is used directly,
 * as the barest possible server would; over `ws` through our adapter, which costs less a message than the
 * library's own `send` (so the yardstick is the stricter one). Own process:
 *
 *     node dist/bench/echo-server.js --transport uws|ws --port 0 --reply-bytes 400
 *
 * Prints `{"port":N,"transport":"uws"}` when it listens, ends with 0 on SIGTERM. Request and reply are
 * MessagePack maps; a request has its id first, as an unsigned 32-bit integer:
 *
 *     request   8x a2 'i' 'd' ce IIIIIIII …           (other frames are answered with id 0)
 *     reply     82 a2 'i' 'd' ce IIIIIIII a3 'p' 'a' 'd' c5 LLLL 00 …
 */
import { parseArgs } from 'node:util';
import { LIMITS, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WEBSOCKET_PATH } from '../proto/limits.ts';
import { findFreePort } from '../server/listen-port.ts';
import { selectTransport } from '../server/select-transport.ts';
import type { TransportHandler, TransportLimits } from '../server/transport.ts';
import { loadNative } from '../server/uws-native.ts';
import { SUBSCRIBED_SEND_BYTES_MIN } from '../server/uws-transport.ts';

const ECHO_LIMITS: TransportLimits = {
  frameBytesMax: LIMITS.frameBytesMax,
  sendBufferBytesMax: 16 * 1024 * 1024,
  idleTimeoutSeconds: 120,
  connectionsMax: 10_000,
};
/** Offset of the four id bytes, in the request and in the reply. */
const ID_OFFSET = 5;
const ID_BYTES = 4;
/** Everything of the reply but the padding itself. */
const REPLY_HEAD_BYTES = ID_OFFSET + ID_BYTES + 4 + 3;
const REPLY_BYTES_MAX = REPLY_HEAD_BYTES + 0xffff;

/** The reply with id 0, exactly `replyBytes` long; between 16 and 65,551 bytes. */
export function buildReply(replyBytes: number): Buffer {
  if (!Number.isInteger(replyBytes) || replyBytes < REPLY_HEAD_BYTES || replyBytes > REPLY_BYTES_MAX) {
    throw new RangeError(`--reply-bytes must be ${REPLY_HEAD_BYTES} to ${REPLY_BYTES_MAX}, not ${replyBytes}`);
  }
  const reply = Buffer.alloc(replyBytes);
  reply.set([0x82, 0xa2, 0x69, 0x64, 0xce]);
  reply.set([0xa3, 0x70, 0x61, 0x64, 0xc5], ID_OFFSET + ID_BYTES);
  reply.writeUInt16BE(replyBytes - REPLY_HEAD_BYTES, REPLY_HEAD_BYTES - 2);
  return reply;
}

/** Copies the id of a request into the reply; 0 when the request does not begin with one. */
export function copyId(request: Uint8Array, reply: Uint8Array): void {
  const hasId =
    request.length >= ID_OFFSET + ID_BYTES &&
    ((request[0] ?? 0) & 0xf0) === 0x80 &&
    request[1] === 0xa2 &&
    request[2] === 0x69 &&
    request[3] === 0x64 &&
    request[4] === 0xce;
  for (let at = ID_OFFSET; at < ID_OFFSET + ID_BYTES; at += 1) reply[at] = hasId ? (request[at] ?? 0) : 0;
}

interface Echo {
  readonly port: number;
  stop(): void;
}

/** One app of the native library with nothing of ours around it but the id. */
async function echoBare(port: number, reply: Buffer): Promise<Echo> {
  const load = loadNative();
  if (load.library === undefined) throw new Error(`transport uws: ${load.reason}`);
  const { library } = load;
  const app = library.App();
  let bound = 0;
  app.ws(WEBSOCKET_PATH, {
    maxPayloadLength: ECHO_LIMITS.frameBytesMax,
    maxBackpressure: ECHO_LIMITS.sendBufferBytesMax,
    idleTimeout: ECHO_LIMITS.idleTimeoutSeconds,
    sendPingsAutomatically: true,
    compression: library.DISABLED,
    upgrade: (response, request, context) => {
      const offered = request.getHeader('sec-websocket-protocol').split(',', 1)[0] ?? '';
      response.upgrade({}, request.getHeader('sec-websocket-key'), offered.trim(), '', context);
    },
    open: (socket) => {
      // The core may lose bytes of larger frames on a socket that subscribes to nothing.
      if (reply.length >= SUBSCRIBED_SEND_BYTES_MIN) socket.subscribe('large-frames');
    },
    message: (socket, message) => {
      copyId(new Uint8Array(message), reply);
      socket.send(reply, true, false);
    },
    drain: () => undefined,
    close: () => undefined,
  });
  const wanted = port === 0 ? await findFreePort('127.0.0.1') : port;
  app.listen('127.0.0.1', wanted, library.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket) => {
    if (listenSocket !== false) bound = library.us_socket_local_port(listenSocket);
  });
  if (bound === 0) throw new Error(`cannot listen on port ${wanted}`);
  return { port: bound, stop: () => app.close() };
}

async function echoThroughAdapter(port: number, reply: Buffer): Promise<Echo> {
  const handler: TransportHandler = {
    onUpgrade: ({ subprotocols }) => {
      const subprotocol = subprotocols.find((name) => name === SUBPROTOCOL_MSGPACK || name === SUBPROTOCOL_JSON);
      if (subprotocol === undefined) return { accept: false, httpStatus: 400, reason: 'no known subprotocol' };
      return { accept: true, subprotocol };
    },
    onOpen: () => undefined,
    onMessage: (connection, bytes) => {
      copyId(bytes, reply);
      connection.send(reply, true);
    },
    onDrain: () => undefined,
    onClose: () => undefined,
  };
  const transport = (await selectTransport('ws')).factory.create(handler, ECHO_LIMITS);
  const bound = await transport.listen({ host: '127.0.0.1', port, isShared: false });
  return { port: bound, stop: () => transport.closeAll(1001, 'the echo server ends') };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      transport: { type: 'string', default: 'uws' },
      port: { type: 'string', default: '0' },
      'reply-bytes': { type: 'string', default: '400' },
    },
  });
  const { transport } = values;
  if (transport !== 'uws' && transport !== 'ws') throw new Error(`--transport must be uws or ws, not ${transport}`);
  const reply = buildReply(Number(values['reply-bytes']));
  const echo = await (transport === 'uws' ? echoBare : echoThroughAdapter)(Number(values.port), reply);
  process.once('SIGTERM', () => echo.stop());
  process.once('SIGINT', () => echo.stop());
  process.stdout.write(`${JSON.stringify({ port: echo.port, transport })}\n`);
}

if (import.meta.filename === process.argv[1]) await main();
