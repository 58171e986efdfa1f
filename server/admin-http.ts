/**
 * The admin HTTP server: health, readiness, metrics and schemas, on Node's own parser and the main
 * thread, so a scrape never takes a shard's time. It is not the way to decide or track. Each request
 * is small and answered from memory; errors are RFC 9457 problem documents.
 *
 * Where the node asks for tokens, each route asks for an operation of access/roles.ts; only the bare verdicts
 * of health and readiness are for everybody, because load balancers have none.
 *
 * Guards: a body is refused but where a route asks for one, and bounded there; headers and time are bounded; a request
 * whose `Host` is not one of ours is turned away, so that a web page cannot reach a loopback server by
 * pointing its own name at it (DNS rebinding). A POST that comes from another origin is refused too.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import { FAULT } from '../proto/statuses.ts';
import { epochMillis } from '../workers/clock.ts';
import { LOGIN_REFUSED, type LoginVerdict } from './access/login-verdict.ts';
import { ANONYMOUS, type Login } from './access/principal.ts';
import { OPERATION, permits } from './access/roles.ts';
import { isLoopback } from './config.ts';
import { drillShape, fileShape, RELATED_MAX, RELATED_SHAPE, SKU_LENGTH_MAX, verdictShape } from './http/node-shapes.ts';
import { openApiDocument } from './http/openapi.ts';
import { bodyProblem, type Problem, type Route, readBody, send, sendJson, sendProblem } from './http-route.ts';
import { isHealthy, isReady, type NodeStatus, type RelatedProducts } from './node-status.ts';
import { OperatorError } from './operator-error.ts';
import type { TransportTls } from './transport.ts';

export const ADMIN_LIMITS = {
  headerBytesMax: 16 * 1024,
  urlBytesMax: 2048,
  headersTimeoutMillis: 5000,
  requestTimeoutMillis: 10_000,
  keepAliveTimeoutMillis: 5000,
  connectionsMax: 256,
} as const;

/** Ways to break a worker on purpose: an error nobody catches, an end without warning, an event loop that hangs. */
export const DRILLS = ['worker-error', 'worker-exit', 'worker-hang'] as const;
export type Drill = (typeof DRILLS)[number];

export interface AdminSource {
  status(): NodeStatus;
  /** Prometheus text format 0.0.4. */
  metricsText(): Promise<string>;
  /** What goes with a product, best first; null where nothing is known of it. */
  related(tenant: string, sku: string): RelatedProducts | null;
  /** JSON Schema of the catalog file. */
  catalogSchema(): Promise<unknown>;
  /** What breaks one worker on purpose; null when there is no such worker. Absent unless drills are on. */
  readonly drill?: (drill: Drill, worker: number) => (() => void) | null;
}

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  /** Host names answered to besides loopback ones. */
  readonly hosts: readonly string[];
  /** Absent or null: plain HTTP. */
  readonly tls?: TransportTls | null;
  /** Absent or null: nobody is asked for a token. */
  readonly authenticator?: HttpLoginJudge | null;
  /** Whether a page of this origin may call what is for pages. Absent: none may. */
  readonly isOriginAllowed?: (origin: string) => boolean;
  /** Within which a request must be there as a whole, 1000 at least. Absent: `ADMIN_LIMITS`. */
  readonly requestTimeoutMillis?: number;
  /** What is answered besides the routes of this file, by path. */
  readonly routes?: ReadonlyMap<string, Route>;
}

/** The authenticator as HTTP uses it: tokens come in the header only, never in an address. */
export interface HttpLoginJudge {
  login(credentials: { readonly authorization: string; readonly queryToken: '' }): LoginVerdict | Promise<LoginVerdict>;
}

export interface AdminHttp {
  readonly port: number;
  readonly url: string;
  replaceTls(tls: TransportTls): void;
  /** Ends open connections; resolves when the port is free. */
  close(): Promise<void>;
}

/** Starts listening. @throws OperatorError PORT_IN_USE, PORT_REFUSED or LISTEN_FAILED. */
export async function startAdminHttp(options: AdminOptions, source: AdminSource): Promise<AdminHttp> {
  const routes = routesOf(source, options);
  const { requestTimeoutMillis = ADMIN_LIMITS.requestTimeoutMillis } = options;
  const httpOptions = {
    maxHeaderSize: ADMIN_LIMITS.headerBytesMax,
    headersTimeout: Math.min(ADMIN_LIMITS.headersTimeoutMillis, requestTimeoutMillis),
    requestTimeout: requestTimeoutMillis,
    keepAliveTimeout: ADMIN_LIMITS.keepAliveTimeoutMillis,
    connectionsCheckingInterval: 1000,
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void handle(request, response, options, routes);
  };
  const { tls = null } = options;
  const server =
    tls === null
      ? createServer(httpOptions, onRequest)
      : createTlsServer({ ...httpOptions, ...tls, handshakeTimeout: ADMIN_LIMITS.headersTimeoutMillis }, onRequest);
  server.maxConnections = ADMIN_LIMITS.connectionsMax;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable) return socket.destroy();
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    const [status, title] = isSlow ? [408, 'Request Timeout'] : [400, 'Bad Request'];
    const detail = isSlow
      ? `not whole within ${requestTimeoutMillis} ms; send it again`
      : 'the request is not valid HTTP';
    const content = JSON.stringify({ type: 'about:blank', title, status, detail });
    socket.end(
      `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n${content}`,
    );
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo; // listening on TCP, so never a string or null
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    port,
    url: `${tls === null ? 'http' : 'https'}://${host}:${port}`,
    replaceTls: (renewed) => {
      if (server instanceof TlsServer) server.setSecureContext(renewed);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function routesOf(source: AdminSource, { routes: others, authenticator }: AdminOptions): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>(others);
  routes.set('/healthz', {
    method: 'GET',
    about: 'is the process alive: 200, or 503 when a worker is beyond repair',
    operation: 'health',
    isOpen: true,
    shape: verdictShape('healthy'),
    answer: ({ response, isFull }) => {
      const status = source.status();
      const healthy = isHealthy(status);
      sendJson(response, healthy ? 200 : 503, isFull ? { healthy, ...stateOf(status) } : { healthy });
    },
  });
  routes.set('/readyz', {
    method: 'GET',
    about: 'does it take requests: 503 while starting, draining, or unable to write',
    operation: 'health',
    isOpen: true,
    shape: verdictShape('ready'),
    answer: ({ response, isFull }) => {
      const status = source.status();
      const ready = isReady(status);
      sendJson(response, ready ? 200 : 503, isFull ? { ready, ...stateOf(status) } : { ready });
    },
  });
  routes.set('/metrics', {
    method: 'GET',
    about: 'Prometheus metrics',
    operation: 'metrics',
    shape: fileShape('text/plain'),
    answer: async ({ response }) => {
      send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await source.metricsText());
    },
  });
  routes.set('/v1/schema/catalog.json', {
    method: 'GET',
    about: 'JSON Schema of the catalog file',
    operation: 'catalogSchema',
    shape: fileShape('application/schema+json'),
    answer: async ({ response }) => {
      send(response, 200, 'application/schema+json', `${JSON.stringify(await source.catalogSchema(), null, 2)}\n`);
    },
  });
  routes.set('/v1/related', {
    method: 'GET',
    about: 'what goes with a product, as the last fit found: ?sku=SKU&limit=N',
    operation: 'related',
    shape: RELATED_SHAPE,
    answer: ({ url, response, login }) => answerRelated(source, url, response, login.principal.tenant),
  });
  const { drill } = source;
  if (drill !== undefined) {
    for (const name of DRILLS) {
      routes.set(`/v1/drill/${name}`, {
        method: 'POST',
        about: `break one worker on purpose: ${name}?worker=N`,
        operation: 'drill',
        shape: drillShape(name),
        answer: ({ url, response }) => answerDrill(name, drill, url, response),
      });
    }
  }
  routes.set('/v1/openapi.json', {
    method: 'GET',
    about: 'all of this as an OpenAPI document',
    operation: 'routes',
    shape: fileShape('application/json'),
    answer: ({ response }) => {
      const facts = { version: source.status().version, asksTokens: (authenticator ?? null) !== null };
      sendJson(response, 200, openApiDocument(routes, facts));
    },
  });
  routes.set('/', {
    method: 'GET',
    about: 'this list',
    operation: 'routes',
    shape: fileShape('text/plain'),
    answer: ({ response }) => {
      const lines = [...routes].flatMap(([path, { method, about, get }]) => [
        lineOf(method, path, about),
        ...(get === undefined ? [] : [lineOf('GET', path, get.about)]),
      ]);
      send(response, 200, 'text/plain; charset=utf-8', `Opportune ${source.status().version}\n\n${lines.join('')}`);
    },
  });
  return routes;
}

function lineOf(method: string, path: string, about: string): string {
  return `${method.padEnd(5)}${path.padEnd(28)}${about}\n`;
}

/** An unknown product has no related ones: that is an answer, not an error, as of one nobody has bought yet. */
function answerRelated(source: AdminSource, url: URL, response: ServerResponse, tenant: string): void {
  const sku = url.searchParams.get('sku') ?? '';
  const limit = url.searchParams.get('limit') ?? String(RELATED_MAX);
  const problem =
    sku === '' || sku.length > SKU_LENGTH_MAX
      ? `query parameter sku must have 1 to ${SKU_LENGTH_MAX} characters, got ${sku.length}`
      : !/^\d{1,2}$/.test(limit) || Number(limit) < 1 || Number(limit) > RELATED_MAX
        ? `query parameter limit must be a whole number from 1 to ${RELATED_MAX}, got ${JSON.stringify(limit.slice(0, 20))}`
        : null;
  if (problem !== null) {
    sendProblem(response, { status: 400, title: 'Bad Request', detail: problem });
    return;
  }
  const found = source.related(tenant, sku);
  sendJson(response, 200, {
    sku,
    fittedAtEpochMillis: found?.fittedAtEpochMillis ?? null,
    related: (found?.related ?? []).slice(0, Number(limit)).map(([other, score]) => ({ sku: other, score })),
  });
}

function answerDrill(name: Drill, drill: NonNullable<AdminSource['drill']>, url: URL, response: ServerResponse): void {
  const text = url.searchParams.get('worker') ?? '';
  if (!/^\d{1,3}$/.test(text)) {
    sendProblem(response, {
      status: 400,
      title: 'Bad Request',
      detail: `query parameter worker must be the number of a worker, from 0; got ${JSON.stringify(text.slice(0, 20))}`,
    });
    return;
  }
  const breakWorker = drill(name, Number(text));
  if (breakWorker === null) {
    sendProblem(response, { status: 404, title: 'Not Found', detail: `there is no worker ${text}` });
    return;
  }
  // Answered first: what kills the worker may take the whole process with it.
  response.once('finish', breakWorker);
  sendJson(response, 202, { drill: name, worker: Number(text) });
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminOptions,
  routes: ReadonlyMap<string, Route>,
): Promise<void> {
  try {
    const refusal = refusalOf(request, options);
    if (refusal !== undefined) return sendProblem(response, refusal);
    const url = new URL(`http://admin.invalid${request.url}`);
    const route = routes.get(url.pathname);
    const { origin } = request.headers;
    if (route?.isForPages === true && origin !== undefined && options.isOriginAllowed?.(origin) === true) {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('vary', 'origin');
      if (request.method === 'OPTIONS') return sendPreflight(response, route.method);
    } else {
      const foreign = originProblem(request);
      if (foreign !== undefined) return sendProblem(response, foreign);
    }
    const unwanted = bodyProblem(request, route?.bodyBytesMax ?? 0);
    if (unwanted !== null) return sendProblem(response, unwanted);
    const early = route?.tokenOf === undefined ? null : await readBody(request, route.bodyBytesMax ?? 0);
    if (early !== null && 'status' in early) return sendProblem(response, early);
    const token = early === null ? null : (route?.tokenOf?.(request.headers, early) ?? null);
    const login = await loginOf(token === null ? (request.headers.authorization ?? '') : `Bearer ${token}`, options);
    // Before it is said what there is: a stranger learns nothing from asking for paths.
    if ('status' in login && route?.isOpen !== true) return sendProblem(response, login);
    if (route === undefined) {
      const detail = `there is nothing at ${url.pathname.slice(0, 100)}; GET / lists what is here`;
      return sendProblem(response, { status: 404, title: 'Not Found', detail });
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const isGet = isRead && route.method !== 'GET' && route.get !== undefined;
    if (request.method !== route.method && !isGet && !(isRead && route.method === 'GET')) {
      const alsoGet = route.get === undefined ? '' : ', GET, HEAD';
      const allow = route.method === 'GET' ? 'GET, HEAD' : `${route.method}${alsoGet}`;
      const detail = `${url.pathname} answers ${allow} only`;
      return sendProblem(response, { status: 405, title: 'Method Not Allowed', detail, headers: { allow } });
    }
    const isPermitted = !('status' in login) && permits(login.operations, OPERATION[route.operation]);
    if (!isPermitted && route.isOpen !== true) {
      const detail = `no role of this token permits ${url.pathname} (operation ${route.operation})`;
      return sendProblem(response, { status: 403, title: 'Forbidden', detail, code: FAULT.permissionDenied.code });
    }
    const body = early ?? (await readBody(request, route.bodyBytesMax ?? 0));
    if ('status' in body) return sendProblem(response, body);
    // Only what is open to everybody is answered to somebody unknown, who then is nobody of any tenant's.
    const known = 'status' in login ? ANONYMOUS : login;
    const call = { url, headers: request.headers, body, response, login: known, isFull: isPermitted };
    await (isGet ? route.get?.answer(call) : route.answer(call));
  } catch (error) {
    // The reason may hold paths or values of ours: the operator finds it in the log, not the caller in the answer.
    if (response.headersSent) response.destroy();
    else sendProblem(response, { status: 500, title: 'Internal Server Error', detail: nameOf(error) });
  }
}

/** Who asks, or the problem to answer with. The reason of a refusal is told to nobody. */
async function loginOf(authorization: string, { authenticator = null }: AdminOptions): Promise<Login | Problem> {
  if (authenticator === null) return ANONYMOUS;
  const verdict = await authenticator.login({ authorization, queryToken: '' });
  if ('login' in verdict) return verdict.login;
  if (verdict.refusal === 'unavailable') {
    const detail = 'tokens cannot be checked at the moment; try again';
    return { status: 503, title: 'Service Unavailable', detail, headers: { 'retry-after': '2' } };
  }
  return {
    status: 401,
    title: 'Unauthorized',
    detail: LOGIN_REFUSED,
    code: FAULT.unauthenticated.code,
    headers: { 'www-authenticate': 'Bearer realm="opportune"' },
  };
}

function refusalOf(request: IncomingMessage, options: AdminOptions): Problem | undefined {
  if ((request.url ?? '').length > ADMIN_LIMITS.urlBytesMax) {
    const detail = `the address is longer than ${ADMIN_LIMITS.urlBytesMax} bytes`;
    return { status: 414, title: 'URI Too Long', detail };
  }
  // Appended, not resolved: `//name/path` must not be taken for another host.
  if (request.url?.startsWith('/') !== true || !URL.canParse(`http://admin.invalid${request.url}`)) {
    return { status: 400, title: 'Bad Request', detail: 'the address is not a valid path' };
  }
  const host = hostNameOf(request.headers.host ?? '');
  if (!isHostAllowed(host, options)) {
    const detail = `Host ${JSON.stringify(host.slice(0, 100))} is not one this server answers to; add it with --admin-hosts`;
    return { status: 421, title: 'Misdirected Request', detail };
  }
  return undefined;
}

/** What changes something may not be asked for by another's page. */
function originProblem(request: IncomingMessage): Problem | undefined {
  const { origin } = request.headers;
  if (request.method !== 'GET' && request.method !== 'HEAD' && origin !== undefined) {
    const sameOrigin = URL.canParse(origin) && new URL(origin).host === request.headers.host;
    if (!sameOrigin) return { status: 403, title: 'Forbidden', detail: 'requests from another origin may only read' };
  }
  return undefined;
}

function sendPreflight(response: ServerResponse, method: string): void {
  response.writeHead(204, {
    'access-control-allow-methods': method,
    'access-control-allow-headers':
      'authorization, content-type, content-encoding, ce-specversion, ce-id, ce-source, ce-type, ce-subject, ce-time',
    'access-control-max-age': '600',
  });
  response.end();
}

/** A name cannot be rebound to us when it is loopback's own, an address literal we listen on, or one the operator named. */
function isHostAllowed(host: string, options: AdminOptions): boolean {
  if (isLoopback(host) || options.hosts.includes(host)) return true;
  return !isLoopback(options.host) && (isIP(host) !== 0 || host === options.host.toLowerCase());
}

/** `[::1]:7401` → `::1`, `LocalHost:7401` → `localhost`. */
function hostNameOf(header: string): string {
  return header
    .replace(/:\d{1,5}$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}

function stateOf(status: NodeStatus): Record<string, unknown> {
  return {
    version: status.version,
    isDraining: status.isDraining,
    uptimeSeconds: Math.max(0, Math.floor((epochMillis() - status.startedAtEpochMillis) / 1000)),
    catalog: { name: status.catalog.name, version: status.catalog.version, refused: status.catalog.refused },
    shards: status.shards,
  };
}

function listen(server: Server, options: AdminOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, options)));
    server.listen({ host: options.host, port: options.port, exclusive: true }, () => resolve());
  });
}

function listenError(cause: NodeJS.ErrnoException, options: AdminOptions): OperatorError {
  const where = `admin port ${options.port} on ${options.host}`;
  if (cause.code === 'EADDRINUSE') {
    return new OperatorError('PORT_IN_USE', `${where} is in use by another process`, {
      advice: 'Stop that process, or choose another with --admin-port (0 takes a free one).',
      cause,
    });
  }
  if (cause.code === 'EACCES') {
    return new OperatorError('PORT_REFUSED', `this user may not listen on ${where}`, {
      advice: 'Choose a port above 1023 with --admin-port.',
      cause,
    });
  }
  return new OperatorError('LISTEN_FAILED', `cannot listen on ${where}: ${cause.message}`, {
    advice: 'Check --host and --admin-port.',
    cause,
  });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? `the answer could not be made (${error.name})` : 'the answer could not be made';
}
