/**
 * Chooses the transport. `auto` takes the native one where it loads and says in one line why not where
 * it does not; a choice by name is obeyed or refused, never quietly replaced. The choice is made in each
 * thread that listens (native code is loaded a thread), and all threads of a process come to the same.
 */
import type { TransportFactory } from './transport.ts';
import { TransportError } from './transport-error.ts';
import { loadNative } from './uws-native.ts';
import { uwsTransportFactory } from './uws-transport.ts';

export type TransportPreference = 'auto' | 'uws' | 'ws';

export interface SelectedTransport {
  readonly factory: TransportFactory;
  /** One line for the banner and `doctor`: what is used, where it came from, and why not the other. */
  readonly note: string;
}

/** What a node asks of its transport beyond plain WebSocket. */
export interface TransportNeeds {
  /** The ports speak TLS 1.3 themselves. */
  readonly tls: boolean;
  /** Upgrades are answered later, because JWTs are judged asynchronously. */
  readonly lateVerdicts: boolean;
}

/**
 * Picks the transport of this thread and loads it. Not every need is met by the native build we pin: it does not
 * take TLS 1.3 alone, and at the end of a cork it reads the state of an HTTP response that has become a WebSocket,
 * whose memory may be another's by then: of upgrades answered later, among others that were refused, it cut one in
 * several hundred right after it had opened.
 *
 * Rejects with TransportError TRANSPORT_UNAVAILABLE when `uws` is asked for by name and cannot be loaded, or cannot
 * do what is needed.
 */
export async function selectTransport(
  preference: TransportPreference,
  needs: TransportNeeds = { tls: false, lateVerdicts: false },
): Promise<SelectedTransport> {
  if (preference === 'ws') return { factory: await loadWs(), note: 'ws, as asked' };
  const load = loadNative();
  const reason = load.library === undefined ? load.reason : unmetNeed(load.isPinned, needs);
  if (load.library !== undefined && reason === null) {
    return { factory: uwsTransportFactory(load.library, load.provenance), note: `uws: ${load.provenance}` };
  }
  if (preference === 'auto') {
    return { factory: await loadWs(), note: `ws, because uws cannot be used: ${reason}` };
  }
  throw new TransportError('TRANSPORT_UNAVAILABLE', `transport uws: ${reason}`, 'use --transport ws or auto');
}

function unmetNeed(isPinned: boolean, needs: TransportNeeds): string | null {
  if (needs.tls) return 'it speaks no TLS 1.3 here; a TLS proxy in front would let it be used';
  if (needs.lateVerdicts && isPinned)
    return 'JWTs are judged in a moment, and the build of May 2023 cuts some connections that wait (API keys do not)';
  return null;
}

/** Loaded on demand: with Node's HTTP server below it, it takes a thread longer than the native one. */
async function loadWs(): Promise<TransportFactory> {
  const { wsTransportFactory } = await import('./ws-transport.ts');
  return wsTransportFactory();
}
