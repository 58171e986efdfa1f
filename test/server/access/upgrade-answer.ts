/** What a server answers to an upgrade, whole: the status, the headers, the body. The socket is closed again. */
import WebSocket, { type ClientOptions } from 'ws';

export interface UpgradeAnswer {
  /** 101 when it was accepted; 0 when the connection ended without an answer. */
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export function askUpgrade(url: string, options: ClientOptions = {}): Promise<UpgradeAnswer> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, 'opportune.v1.json', { perMessageDeflate: false, ...options });
    socket.on('error', () => resolve({ status: 0, headers: {}, body: '' })); // Later ones change nothing.
    socket.on('open', () => {
      socket.close();
      resolve({ status: 101, headers: {}, body: '' });
    });
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
  });
}

export function withToken(token: string): ClientOptions {
  return { headers: { authorization: `Bearer ${token}` } };
}
