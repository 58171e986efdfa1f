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

/**
 * Picks the transport of this thread and loads it.
 *
 * @param needsTls the ports speak TLS themselves, which only `ws` does.
 * Rejects with TransportError TRANSPORT_UNAVAILABLE when `uws` is asked for by name and cannot be loaded.
 */
export async function selectTransport(preference: TransportPreference, needsTls = false): Promise<SelectedTransport> {
  if (needsTls) return { factory: await loadWs(), note: 'ws, because uws speaks no TLS 1.3 here' };
  if (preference === 'ws') return { factory: await loadWs(), note: 'ws, as asked' };
  const load = loadNative();
  if (load.library !== undefined) {
    return { factory: uwsTransportFactory(load.library, load.provenance), note: `uws: ${load.provenance}` };
  }
  if (preference === 'auto') {
    return { factory: await loadWs(), note: `ws, because uws cannot be used: ${load.reason}` };
  }
  throw new TransportError('TRANSPORT_UNAVAILABLE', `transport uws: ${load.reason}`, 'use --transport ws or auto');
}

/** Loaded on demand: with Node's HTTP server below it, it takes a thread longer than the native one. */
async function loadWs(): Promise<TransportFactory> {
  const { wsTransportFactory } = await import('./ws-transport.ts');
  return wsTransportFactory();
}
