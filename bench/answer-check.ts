/**
 * Proof that the answers were answers. Every successful reply adds to a checksum (so a server cannot
 * win by answering nothing, and two runs of a fixed seed can be told apart); one in 1,024 is decoded in
 * full and looked at: does it hold an action, a price, a send-time, is it the fallback? Failed replies
 * are decoded one by one, for their status, code and first message, up to a bound.
 */
import { decodeReply } from '../proto/reply.ts';
import type { AnswerSample, ErrorCount } from './load-plan.ts';

const SAMPLE_EVERY = 1024;
const DISTINCT_ACTIONS_MAX = 10_000;
/** After this many failures only each hundredth is decoded: a storm of sheds must not saturate the generator. */
const FAILURES_DECODED_ONE_BY_ONE = 10_000;
const FAILURES_SAMPLED_EVERY = 100;

interface FoundFields {
  readonly [key: string]: unknown;
}

/** The reply as a plain object; null when it cannot be decoded. */
export function decodeAnswer(bytes: Uint8Array): FoundFields | null {
  try {
    const reply: unknown = decodeReply('msgpack', bytes);
    return typeof reply === 'object' && reply !== null ? (reply as FoundFields) : null; // checked: a non-null object
  } catch {
    // A reply that cannot be decoded is a finding, which the caller counts as malformed.
    return null;
  }
}

export class AnswerCheck {
  #seen = 0;
  #checksum = 0;
  #failures = 0;
  readonly #errors = new Map<number, { status: string; code: number; count: number; message: string }>();
  readonly #distinctActions = new Set<string>();
  #decoded = 0;
  #malformed = 0;
  #decisions = 0;
  #withAction = 0;
  #withPrice = 0;
  #withSendTime = 0;
  #fallback = 0;

  /** A successful reply to a decide (`isDecide`) or to anything else, at `bytes[start, end)`. */
  succeeded(bytes: Uint8Array, start: number, end: number, isDecide: boolean): void {
    let hash = end - start;
    for (let i = Math.max(start, end - 8); i < end; i += 1) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193); // in range: start <= i < end
    this.#checksum = (this.#checksum + hash) >>> 0;
    this.#seen += 1;
    if (this.#seen % SAMPLE_EVERY === 1) this.#sample(bytes.slice(start, end), isDecide);
  }

  failed(bytes: Uint8Array, start: number, end: number): void {
    this.#failures += 1;
    const isOneByOne = this.#failures <= FAILURES_DECODED_ONE_BY_ONE;
    if (!isOneByOne && this.#failures % FAILURES_SAMPLED_EVERY !== 0) return;
    const weight = isOneByOne ? 1 : FAILURES_SAMPLED_EVERY;
    const reply = decodeAnswer(bytes.slice(start, end));
    const code = typeof reply?.code === 'number' ? reply.code : 0;
    const known = this.#errors.get(code);
    if (known !== undefined) known.count += weight;
    else {
      const status = typeof reply?.status === 'string' ? reply.status : 'UNDECODABLE';
      const message = typeof reply?.message === 'string' ? reply.message : 'the failed reply could not be decoded';
      this.#errors.set(code, { status, code, count: weight, message });
    }
  }

  #sample(bytes: Uint8Array, isDecide: boolean): void {
    const reply = decodeAnswer(bytes);
    if (reply === null) {
      this.#malformed += 1;
      return;
    }
    this.#decoded += 1;
    if (!isDecide) return;
    this.#decisions += 1;
    const actions = reply.actions;
    if (Array.isArray(actions) && actions.length > 0) {
      this.#withAction += 1;
      const key: unknown = (actions[0] as FoundFields | null)?.action; // unknown wire data, read defensively
      if (typeof key === 'string' && this.#distinctActions.size < DISTINCT_ACTIONS_MAX) this.#distinctActions.add(key);
    }
    if (typeof reply.price === 'object' && reply.price !== null) this.#withPrice += 1;
    if (typeof reply.sendTime === 'object' && reply.sendTime !== null) this.#withSendTime += 1;
    if (reply.fallback === true) this.#fallback += 1;
  }

  get checksum(): number {
    return this.#checksum;
  }

  get errors(): readonly ErrorCount[] {
    return [...this.#errors.values()].sort((a, b) => b.count - a.count);
  }

  get sample(): AnswerSample {
    return {
      decoded: this.#decoded,
      malformed: this.#malformed,
      decisions: this.#decisions,
      withAction: this.#withAction,
      withPrice: this.#withPrice,
      withSendTime: this.#withSendTime,
      fallback: this.#fallback,
      distinctActions: [...this.#distinctActions].sort(),
    };
  }
}
