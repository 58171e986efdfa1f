/**
 * Questions of the main thread to one shard that are answered later: a number goes with each and comes back with the
 * answer. Of a worker that is away, or dies before it has answered, the answer is null: it may or may not have been done.
 */
import type { LetterAnswer } from '../workers/letter-desk.ts';
import type { ShardAnswer, ShardQuestion, SourcesAnswer, ToShard } from './shard-messages.ts';

type AnswerTo<Question extends ShardQuestion> = Question extends { readonly op: 'sources' }
  ? SourcesAnswer
  : LetterAnswer;

interface Waiting {
  readonly shard: number;
  readonly resolve: (answer: ShardAnswer | null) => void;
}

export class ShardAsks {
  readonly #tell: (shard: number, message: ToShard) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  /** @param tell false where the worker does not serve */
  constructor(tell: (shard: number, message: ToShard) => boolean) {
    this.#tell = tell;
  }

  ask<Question extends ShardQuestion>(
    shard: number,
    tenant: number,
    question: Question,
  ): Promise<AnswerTo<Question> | null> {
    return new Promise((resolve) => {
      const ask = ++this.#next;
      // The worker answers each kind of question with its own kind of answer.
      this.#waiting.set(ask, { shard, resolve: resolve as Waiting['resolve'] });
      if (!this.#tell(shard, { kind: 'ask', ask, tenant, question })) this.answered(ask, null);
    });
  }

  answered(ask: number, answer: ShardAnswer | null): void {
    const waiting = this.#waiting.get(ask);
    this.#waiting.delete(ask);
    waiting?.resolve(answer);
  }

  /** The worker is gone. */
  lost(shard: number): void {
    for (const [ask, waiting] of this.#waiting) if (waiting.shard === shard) this.answered(ask, null);
  }
}
