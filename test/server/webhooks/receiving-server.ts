/** An endpoint of webhooks as somebody else would run one: it keeps what it was sent, and answers as it is told. */
import { createHmac } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly path: string;
  readonly id: string;
  readonly isSigned: boolean;
  readonly wasTaken: boolean;
  readonly type: string;
  readonly data: {
    readonly person: string;
    readonly tag?: string;
    readonly journey?: string;
    readonly stage?: string;
    readonly traits?: Record<string, unknown>;
  };
}

export type Manner = 'take' | 'fail' | 'hang' | 'redirect';

export class ReceivingServer {
  readonly received: Received[] = [];
  manner: Manner = 'take';
  readonly secret = Buffer.alloc(32, 7);
  readonly #server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => {
      const id = String(request.headers['webhook-id']);
      const signed = `${id}.${String(request.headers['webhook-timestamp'])}.${body}`;
      const signature = `v1,${createHmac('sha256', this.secret).update(signed).digest('base64')}`;
      const isSigned = request.headers['webhook-signature'] === signature;
      const { type, data } = JSON.parse(body) as Pick<Received, 'type' | 'data'>; // of the node under test
      const path = request.url ?? '';
      this.received.push({ path, id, isSigned, wasTaken: this.manner === 'take', type, data });
      this.#answer(response);
    });
  });

  #answer(response: ServerResponse): void {
    if (this.manner === 'take') response.writeHead(204).end();
    else if (this.manner === 'fail') response.writeHead(500).end();
    else if (this.manner === 'redirect') response.writeHead(302, { location: '/elsewhere' }).end();
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; // listening on TCP
  }

  taken(path: string): Received[] {
    return this.received.filter((one) => one.wasTaken && one.path === path);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
