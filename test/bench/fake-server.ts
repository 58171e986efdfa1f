/**
 * A small server for the generator's tests: a real WebSocket on a free port, by a library the generator
 * does not share code with, answering from this thread as the test says. Not a fast one.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { SUBPROTOCOL_MSGPACK } from '../../proto/limits.ts';
import type { DecideReply } from '../../proto/messages.ts';
import { createWriter, decodeReply, writeDecide, writeError, writeTrack } from '../../proto/reply.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';

export interface FakeRequest {
  readonly [key: string]: unknown;
  readonly id: number;
  readonly op: string;
}

export interface FakeServer {
  readonly url: string;
  readonly requests: FakeRequest[];
  /** Array frames received. */
  batches: number;
  close(): Promise<void>;
}

export interface FakeBehaviour {
  /** Called for each request; false: nobody answers it. Default: `answerPlainly`. */
  readonly answer?: (request: FakeRequest, socket: WebSocket) => Uint8Array | false;
  /** Replies of one frame are handed over after this many milliseconds; asked per frame. */
  readonly delayMillis?: () => number;
  readonly subprotocol?: string;
}

const writer = createWriter('msgpack');

export const DECISION_ID = 'd0123456789abcdef';

function decideReply(id: number): DecideReply {
  return {
    id,
    ok: true,
    serverMicros: 12.5,
    decisionId: DECISION_ID,
    stateSeq: 3,
    catalogVersion: 'abcdef012345',
    modelVersion: 1,
    actions: [
      {
        action: 'action-0001',
        creative: 'plain',
        channel: 'app',
        score: 1.5,
        responseProbability: 0.1,
        value: 15,
        propensity: 0.25,
        explored: false,
        leaseExpiresAtEpochMillis: 1_800_000_000_000,
      },
    ],
    fallback: false,
  };
}

export function errorReply(id: number, fault: Fault, message: string): Uint8Array {
  writer.reset();
  writeError(writer, id, fault, message);
  return writer.finish().slice();
}

export function answerPlainly(request: FakeRequest): Uint8Array {
  writer.reset();
  if (request.op === 'decide') writeDecide(writer, decideReply(request.id));
  else if (request.op === 'hello') {
    writer.plain({ id: request.id, ok: true, serverMicros: 1, server: 'fake 1.0' });
  } else
    writeTrack(writer, {
      id: request.id,
      ok: true,
      serverMicros: 8,
      stateSeq: 4,
      durability: 'committed',
      duplicate: false,
    });
  return writer.finish().slice();
}

export const FAULTS = FAULT;

export async function startFakeServer(behaviour: FakeBehaviour = {}): Promise<FakeServer> {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate: false,
    handleProtocols: () => behaviour.subprotocol ?? SUBPROTOCOL_MSGPACK,
  });
  const answer = behaviour.answer ?? answerPlainly;
  const fake: { requests: FakeRequest[]; batches: number } = { requests: [], batches: 0 };
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      const message = decodeReply('msgpack', data) as FakeRequest | FakeRequest[]; // the codec decodes any plain value
      if (Array.isArray(message)) fake.batches += 1;
      const replies: Uint8Array[] = [];
      for (const request of Array.isArray(message) ? message : [message]) {
        fake.requests.push(request);
        const reply = answer(request, socket);
        if (reply !== false) replies.push(reply);
      }
      const send = (): void => {
        if (Array.isArray(message) && replies.length > 0)
          socket.send(Buffer.concat([Uint8Array.of(0xdc, 0, replies.length), ...replies]));
        else for (const reply of replies) socket.send(reply);
      };
      const delay = behaviour.delayMillis?.() ?? 0;
      if (delay > 0) setTimeout(send, delay);
      else send();
    });
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP listener has an address of this type
  return Object.assign(fake, {
    url: `ws://127.0.0.1:${port}`,
    close: async (): Promise<void> => {
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
