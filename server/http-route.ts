/**
 * What one path of the HTTP port is, and how its answers are sent: JSON, or problem documents of RFC 9457. Routes that
 * belong to one capability live in a file of their own and are handed to `admin-http.ts`, which has looked at host,
 * origin, token and role before a route sees anything, and has read the body up to the route's bound.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Login } from './access/principal.ts';
import type { HttpOperation, Operation } from './access/roles.ts';
import type { RouteShape } from './http/route-shape.ts';

export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** The stable number of docs/PROTOCOL.md, where the wire has the same refusal. */
  readonly code?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the document. */
  readonly extension?: Readonly<Record<string, unknown>>;
}

export interface HttpCall {
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** Empty where the route takes none. */
  readonly body: Buffer;
  readonly response: ServerResponse;
  /** Who asks; its principal's tenant is whose data it may be. */
  readonly login: Login;
  /** False only on open routes, for callers whose roles do not permit the route's operation. */
  readonly isFull: boolean;
}

export type AnsweredMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

interface Answering {
  /** One line for the list of routes and for the document of the API. */
  readonly about: string;
  /** What it takes and answers, for the document of the API. */
  readonly shape: RouteShape;
  answer(call: HttpCall): Promise<void> | void;
}

export interface Route extends Answering {
  readonly method: AnsweredMethod;
  /** What the caller's roles must permit. */
  readonly operation: HttpOperation | Operation;
  /** Answered to everybody, in short. */
  readonly isOpen?: true;
  /** Longest body taken, in bytes; absent: none. Of a compressed one, on the wire. */
  readonly bodyBytesMax?: number;
  /** Where the token is found, when not in a bearer header: then the body is read before it is known who asks. */
  readonly tokenOf?: (headers: IncomingHttpHeaders, body: Buffer) => string | null;
  /** Pages of allowed origins may call it, across origins. */
  readonly isForPages?: true;
  /** The path answers GET as well, with this, and needs the same permission; without a body. */
  readonly get?: Answering;
}

/** What is wrong with a request's declared body, before a byte of it is read; null when nothing is. */
export function bodyProblem(request: IncomingMessage, bytesMax: number): Problem | null {
  const length = Number(request.headers['content-length'] ?? '0');
  const hasBody = length !== 0 || request.headers['transfer-encoding'] !== undefined;
  if (!hasBody || (bytesMax > 0 && !(length > bytesMax))) return null;
  const detail = bytesMax === 0 ? 'requests here have no body' : `the body may have ${bytesMax} bytes at most`;
  return { status: 413, title: 'Content Too Large', detail, headers: { connection: 'close' } };
}

/** The body, or the problem with it: a chunked one says its length only as it comes. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | Problem> {
  if (bytesMax === 0) return Buffer.alloc(0);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    // no encoding was set, so parts are buffers
    bytes += part.length;
    if (bytes > bytesMax) {
      const detail = `the body may have ${bytesMax} bytes at most`;
      return { status: 413, title: 'Content Too Large', detail, headers: { connection: 'close' } };
    }
    parts.push(part);
  }
  return Buffer.concat(parts, bytes);
}

export function sendJson(response: ServerResponse, status: number, content: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(content)}\n`);
}

export function sendProblem(response: ServerResponse, problem: Problem): void {
  const { headers, extension = {}, ...content } = problem;
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
  send(
    response,
    problem.status,
    'application/problem+json',
    `${JSON.stringify({ type: 'about:blank', ...content, ...extension })}\n`,
  );
}

export function send(response: ServerResponse, status: number, contentType: string, content: string): void {
  const bytes = Buffer.from(content);
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(bytes); // Node leaves the body out of an answer to HEAD
}
