/**
 * One connection, a few single requests, before any load: is this an Opportune server, does the decide
 * that the load will repeat succeed, how large are its frames, how long are its decision ids? A
 * misnamed slot or a wrong sku shows here as the server's own words instead of as ten seconds of errors.
 */
import { decodeAnswer } from './answer-check.ts';
import { frameTemplate, PROFILE_DIGITS, patchDigits, patchId } from './frame-template.ts';
import type { RequestPlan, ShardTarget } from './load-plan.ts';
import { loadRequests } from './load-requests.ts';
import { LoadSocket, type LoadSocketTarget } from './load-socket.ts';
import { arrayItems, arrayLength, skipValue } from './reply-scanner.ts';

const PROBE_MILLIS_MAX = 5_000;

export interface ProbeResult {
  /** Name and version as `hello` says them. */
  readonly server: string;
  /** The server's shards, when it has more than one. */
  readonly shards: readonly ShardTarget[] | null;
  /** Payload bytes of one request and of its reply. */
  readonly requestBytes: number;
  readonly replyBytes: number;
  /** 0 when the reply has no decision id. */
  readonly decisionIdBytes: number;
  /** The reply, decoded. */
  readonly reply: { readonly [key: string]: unknown };
}

/** The load's own request was refused, or no sense could be made of the answer. */
export class ProbeError extends Error {
  readonly code = 'EPROBE';
  /** The server's own fault code where it refused; 0 otherwise. */
  readonly faultCode: number;

  constructor(message: string, faultCode = 0) {
    super(message);
    this.name = 'ProbeError';
    this.faultCode = faultCode;
  }
}

interface Answer {
  readonly reply: { readonly [key: string]: unknown };
  readonly bytes: number;
}

class ProbeConnection {
  readonly #socket: LoadSocket;
  #waiting: { resolve(answer: Uint8Array): void; reject(error: Error): void } | null = null;

  private constructor(socket: LoadSocket) {
    this.#socket = socket;
  }

  static async open(target: LoadSocketTarget): Promise<ProbeConnection> {
    let probe: ProbeConnection | null = null;
    const socket = await LoadSocket.connect(target, {
      readBegin: () => {},
      readEnd: () => {},
      message: (bytes, start, end) => probe?.settle(bytes.slice(start, end)),
      closed: (code, reason) => probe?.fail(`${target.url} closed the connection: ${code} ${reason}`),
    });
    probe = new ProbeConnection(socket);
    return probe;
  }

  settle(answer: Uint8Array): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(answer);
  }

  fail(reason: string): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(new ProbeError(reason));
  }

  /** Sends one frame, resolves with its one reply. Rejects with ProbeError after 5 s. */
  async ask(frame: Uint8Array, what: string): Promise<Answer> {
    const answer = await new Promise<Uint8Array>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new ProbeError(`no reply to ${what} within ${PROBE_MILLIS_MAX} ms`)),
        PROBE_MILLIS_MAX,
      );
      this.#waiting = {
        resolve: (bytes) => {
          clearTimeout(timer);
          resolve(bytes);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#socket.append(frame);
      this.#socket.flush();
    });
    const item = firstItem(answer);
    const reply = decodeAnswer(item);
    if (reply === null) throw new ProbeError(`the reply to ${what} (${answer.length} bytes) could not be decoded`);
    return { reply, bytes: item.length };
  }

  close(): void {
    this.#socket.close();
  }
}

/** The reply itself, or the first of a batch's. */
function firstItem(bytes: Uint8Array): Uint8Array {
  if (arrayLength(bytes, 0, bytes.length) < 1) return bytes;
  const start = arrayItems(bytes, 0);
  const end = skipValue(bytes, start, bytes.length);
  return end < 0 ? bytes : bytes.subarray(start, end);
}

/** Rejects with ConnectError (cannot connect) or ProbeError (the request itself does not work). */
export async function probeServer(target: LoadSocketTarget, plan: RequestPlan): Promise<ProbeResult> {
  const connection = await ProbeConnection.open(target);
  try {
    const hello = await connection.ask(
      frameTemplate([{ operation: 0, fields: { op: 'hello', client: 'opportune-bench', version: '1' } }], false).bytes,
      'hello',
    );
    // Asked singly, also for a batch: its sizes are per request.
    const template = loadRequests({ ...plan, batchSize: 1, runTag: `${plan.runTag}q` }).withoutDecision[0];
    const item = template?.items[0];
    if (template === undefined || item === undefined) throw new RangeError('a scenario has one request at least');
    const frame = template.bytes.slice();
    patchId(frame, item.idOffset, 7);
    if (item.profileOffset >= 0) patchDigits(frame, item.profileOffset, PROFILE_DIGITS, 0);
    const answer = await connection.ask(frame, plan.scenario === 'track' ? 'a track' : 'a decide');
    if (answer.reply.ok === false) {
      const { status, code, message } = answer.reply as { status?: unknown; code?: unknown; message?: unknown }; // unknown wire data, printed only
      throw new ProbeError(
        `the server refuses the request that the load would repeat: ${status} ${code}: ${message}`,
        Number(code),
      );
    }
    const decisionId = answer.reply.decisionId;
    return {
      server: typeof hello.reply.server === 'string' ? hello.reply.server : 'unnamed server',
      shards: shardsOf(hello.reply.shards),
      requestBytes: template.payloadBytes,
      replyBytes: answer.bytes,
      decisionIdBytes: typeof decisionId === 'string' ? new TextEncoder().encode(decisionId).length : 0,
      reply: answer.reply,
    };
  } finally {
    connection.close();
  }
}

/** `hello`'s shards, or null when there is one or they do not have the form. */
function shardsOf(value: unknown): readonly ShardTarget[] | null {
  if (!Array.isArray(value) || value.length < 2) return null;
  const shards: ShardTarget[] = [];
  for (const entry of value as readonly unknown[]) {
    const { url, partitions } = (entry ?? {}) as { url?: unknown; partitions?: unknown }; // unknown wire data, checked below
    if (typeof url !== 'string' || !Array.isArray(partitions) || !partitions.every(Number.isInteger)) return null;
    if (partitions.length > 0) shards.push({ url, partitions: partitions as number[] });
  }
  return shards.length < 2 ? null : shards;
}
