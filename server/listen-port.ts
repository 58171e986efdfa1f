/**
 * Whether a port can be listened on, asked of the kernel by an exclusive bind that is released at once.
 * Needed because the native transport listens with SO_REUSEPORT: a second server of ours would not
 * fail on a taken port, it would silently steal half of the first one's connections. The supervisor
 * asks once, in the main thread, before its workers listen. The answer is a snapshot: another process
 * can still take the port in between, and the workers' own `listen` then reports it.
 */
import { type AddressInfo, createServer } from 'node:net';
import { TransportError } from './transport-error.ts';

/**
 * Resolves when `host:port` can be bound exclusively now; port 0 always can.
 *
 * @throws TransportError PORT_IN_USE, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE or LISTEN_FAILED.
 */
export async function assertPortFree(host: string, port: number): Promise<void> {
  const cause = await bindOnce(host, port);
  if (cause !== undefined) throw listenError(host, port, cause);
}

/** Turns the reason of a failed listen, as Node reports it, into the operator's error. */
export function listenError(host: string, port: number, cause: unknown): TransportError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const address = `${host}:${port}`;
  switch (errno) {
    case 'EADDRINUSE':
      return new TransportError(
        'PORT_IN_USE',
        `port ${port} on ${host} is already in use by another process`,
        `stop that process, or choose another port with --port`,
        cause,
      );
    case 'EACCES':
    case 'EPERM':
      return new TransportError(
        'PORT_FORBIDDEN',
        `this user may not listen on port ${port} (${address}, ${errno})`,
        'choose a port of 1024 or above with --port, or grant CAP_NET_BIND_SERVICE',
        cause,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new TransportError(
        'ADDRESS_UNAVAILABLE',
        `${host} is no address of this machine (${errno})`,
        'listen on 127.0.0.1, 0.0.0.0 or an address that `ip address` lists',
        cause,
      );
    default:
      return new TransportError(
        'LISTEN_FAILED',
        `cannot listen on ${address}${errno === '' ? '' : ` (${errno})`}`,
        'see the cause, or choose another address and port',
        cause,
      );
  }
}

/** The reason why the address cannot be bound, or undefined when it could (and was released). */
export async function bindOnce(host: string, port: number): Promise<unknown> {
  try {
    await bindAndRelease(host, port);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** A port that was free a moment ago, for a listener that must know its number beforehand. */
export async function findFreePort(host: string): Promise<number> {
  try {
    return await bindAndRelease(host, 0);
  } catch (error) {
    throw listenError(host, 0, error);
  }
}

function bindAndRelease(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ host, port, exclusive: true }, () => {
      const bound = (probe.address() as AddressInfo).port; // A listening TCP server has such an address.
      probe.close(() => resolve(bound));
    });
  });
}
