/**
 * The client SDK as the commands use it: one connection to the address given, no shard map, no retries
 * in the background. Resolves once connected; the first failure is final, a person is waiting.
 */
import { connect, type OpportuneClient } from '../../client/index.ts';
import { packageVersion } from '../package-version.ts';
import type { ServerConnection } from './connection.ts';

export async function connectToServer(url: string, timeoutMillis: number, token: string): Promise<ServerConnection> {
  const client = await connected(url, timeoutMillis, token);
  return {
    decide: (request) => client.decide(request),
    track: (request) => client.track(request),
    identify: (request) => client.identify(request),
    alias: (request) => client.alias(request),
    consent: (request) => client.consent(request),
    profile: (request) => client.profile(request.profile),
    export: (profile, cursor) => client.export(profile, cursor),
    erase: (profile) => client.erase(profile),
    close: () => client.close(),
  };
}

function connected(url: string, timeoutMillis: number, token: string): Promise<OpportuneClient> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const fail = (reason: string): void => {
      clearTimeout(timer);
      // Closed after this call: the first status can be told while the client is still being made.
      queueMicrotask(() => client.close());
      reject(new Error(reason));
    };
    const client = connect({
      url,
      token,
      deadlineMillis: timeoutMillis,
      isShardAware: false,
      clientName: 'opportune-cli',
      clientVersion: packageVersion(),
      onStatus: (status) => {
        if (status === 'offline') fail('connection refused');
        if (status !== 'connected') return;
        clearTimeout(timer);
        resolve(client);
      },
    });
    timer = setTimeout(() => fail(`no connection within ${timeoutMillis} ms`), timeoutMillis);
  });
}
