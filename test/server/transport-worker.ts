/**
 * Runs in a worker thread of `transport-worker.test.ts`: a transport that is brought to an end in the way
 * `workerData` names. Each of them would abort the whole process if the native app were left open.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LIMITS, SUBPROTOCOL_MSGPACK } from '../../proto/limits.ts';
import { selectTransport } from '../../server/select-transport.ts';
import type { Connection, TransportHandler } from '../../server/transport.ts';

const { adapter, ending } = workerData as { adapter: 'uws' | 'ws'; ending: string }; // Set by the test file only.

const endings: Readonly<Record<string, (connection: Connection) => void>> = {
  'throw in onMessage': () => {
    throw new Error('our bug');
  },
  'throw in cork': (connection) => {
    connection.cork(() => {
      connection.send(Buffer.from('x'), true);
      throw new Error('our bug');
    });
  },
  'throw in a timer': () => {
    setTimeout(() => {
      throw new Error('our bug');
    }, 0);
  },
  'reject unhandled': () => {
    void Promise.reject(new Error('our bug'));
  },
  'exit after closeAll': () => {
    transport.closeAll(1012, 'restarting');
    process.exit(7);
  },
  'run dry after closeAll': () => {
    process.exitCode = 7;
    transport.closeAll(1012, 'restarting');
  },
};

const handler: TransportHandler = {
  onUpgrade: () => ({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK }),
  onOpen: () => undefined,
  onMessage: (connection) => endings[ending]?.(connection),
  onDrain: () => undefined,
  onClose: () => undefined,
};

const transport = (await selectTransport(adapter)).factory.create(handler, {
  frameBytesMax: LIMITS.frameBytesMax,
  sendBufferBytesMax: 1024 * 1024,
  idleTimeoutSeconds: 60,
  connectionsMax: 10,
});

process.on('uncaughtException', () => {
  transport.closeAll(1012, 'restarting');
  transport.closeAll(1012, 'restarting');
  process.exit(7);
});

parentPort?.postMessage(await transport.listen({ host: '127.0.0.1', port: 0, isShared: false }));
