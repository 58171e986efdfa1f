/**
 * Questions of the main thread to one shard that are answered later: a number goes with each and comes back with the
 * answer. Of a worker that is away, or dies before it has answered, the answer is null: it may or may not have been done.
 */
import type { LetterAnswer, LetterQuestion } from '../workers/letter-desk.ts';
import type { ToShard } from './shard-messages.ts';

interface Waiting {
  readonly shard: number;
  readonly resolve: (answer: LetterAnswer | null) => void;
}

export class ShardAsks {
  readonly #tell: (shard: number, message: ToShard) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  /** @param tell false where the worker does not serve */
  constructor(tell: (shard: number, message: ToShard) => boolean) {
    this.#tell = tell;
  }

  ask(shard: number, tenant: number, question: LetterQuestion): Promise<LetterAnswer | null> {
    return new Promise((resolve) => {
      const ask = ++this.#next;
      this.#waiting.set(ask, { shard, resolve });
      if (!this.#tell(shard, { kind: 'ask', ask, tenant, question })) this.answered(ask, null);
    });
  }

  answered(ask: number, answer: LetterAnswer | null): void {
    const waiting = this.#waiting.get(ask);
    this.#waiting.delete(ask);
    waiting?.resolve(answer);
  }

  /** The worker is gone. */
  lost(shard: number): void {
    for (const [ask, waiting] of this.#waiting) if (waiting.shard === shard) this.answered(ask, null);
  }
}
