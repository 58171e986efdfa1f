/**
 * Where the socket comes from: the one given, else the platform's own (browsers, Deno, Bun, Node 22 and
 * later), else the package `ws` (Node 20), loaded only when nothing else is there. Nothing in the client
 * depends on that package, and a browser bundle never contains it.
 */

/** The part of the WebSocket API that the client uses; the platform's and that of `ws` both have it. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (
  url: string,
  protocols: string[] | { readonly protocols: string[]; readonly headers: Readonly<Record<string, string>> },
  options?: object,
) => WebSocketLike;

export interface WebSocketSource {
  readonly WebSocket: WebSocketConstructor;
  /** Where request headers go: in a third argument (`ws`), in the second (Node's own), or nowhere (browsers). */
  readonly headers: 'third' | 'second' | 'none';
}

let loading: Promise<WebSocketSource> | undefined;

/** @throws Error when neither the platform nor the package `ws` has a WebSocket. */
export function findWebSocket(given: WebSocketConstructor | undefined): Promise<WebSocketSource> {
  if (given !== undefined) return Promise.resolve({ WebSocket: given, headers: 'none' });
  loading ??= load();
  return loading;
}

async function load(): Promise<WebSocketSource> {
  const own = (globalThis as { WebSocket?: unknown }).WebSocket; // absent in Node 20, typed as always there
  const { process } = globalThis as { process?: { versions?: { node?: unknown } } }; // absent in browsers
  const isNode = typeof process?.versions?.node === 'string';
  // Node's takes `{protocols, headers}` where browsers take the protocols alone.
  if (typeof own === 'function') return { WebSocket: own as WebSocketConstructor, headers: isNode ? 'second' : 'none' }; // same API
  // Not a literal, so that bundlers leave it alone: browsers never come here.
  const specifier = 'ws';
  try {
    const { WebSocket } = (await import(/* @vite-ignore */ specifier)) as { WebSocket: WebSocketConstructor }; // its documented export
    return { WebSocket, headers: 'third' };
  } catch (cause) {
    loading = undefined;
    throw new Error('no WebSocket here: install the package "ws" or pass options.WebSocket', { cause });
  }
}
