/**
 * Dead letters of one shard's people, for who looks after them: a page of them, one with what it says, told again,
 * dropped. Whatever shows or changes one is in the audit log before it is answered, and answered when it is on disk.
 *
 *   redrive ─▸ body opened ─▸ the request as it came, for the person the letter lies with ─▸ RequestRunner
 *           ─▸ taken in (its letter went in the same batch) or known already ─▸ letter gone
 *           ─▸ refused again: the turn has written why, and how often
 *
 * So a letter is told again exactly once, whoever asks how often: the event's message id is in the record from then on,
 * and an `identify` is dated by when it was told. What was joined since goes where its key leads.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import type { LetterBody, NumberedLetter } from '../actors/dead-letters.ts';
import { type DecisionIdParts, formatDecisionId, parseDecisionId } from '../actors/decision-id.ts';
import { isMoved, joiningOf } from '../actors/identity.ts';
import { MailboxLine } from '../actors/mailbox.ts';
import type { Properties } from '../proto/messages.ts';
import { createWriter } from '../proto/reply.ts';
import { FrameDecoder } from '../proto/request.ts';
import { FAULT } from '../proto/statuses.ts';
import type { AuditOutlet } from './audit/audit-gate.ts';
import { LOCAL_ACTOR, personName } from './audit/audit-record.ts';
import { epochMillis, monotonicMicros } from './clock.ts';
import type { RequestRunner } from './request-runner.ts';
import type { Responder } from './responder.ts';
import type { ShardWriter } from './shard-writer.ts';

/** To read the letters of so many takes a millisecond or two, where each has as many as are kept. */
const PEOPLE_A_PAGE = 8;

export type LetterQuestion =
  /** Of people behind `after`; 0: from the first. */
  | { readonly op: 'list'; readonly actor: string; readonly after: number }
  | { readonly op: 'show' | 'redrive' | 'drop'; readonly actor: string; readonly id: string };

/** A letter as it is shown; what it says is with `show` only. */
export interface ShownLetter {
  readonly id: string;
  readonly op: string;
  readonly event: string | null;
  readonly refused: readonly {
    readonly field: string | null;
    readonly reason: string;
    readonly message: string | null;
  }[];
  readonly door: string;
  readonly by: string;
  readonly firstEpochMillis: number;
  readonly lastEpochMillis: number;
  readonly times: number;
  readonly message?: Properties;
}

export const LETTER_OUTCOMES = ['taken', 'duplicate', 'refused', 'dropped'] as const;

export type LetterAnswer =
  | {
      readonly kind: 'page';
      readonly letters: readonly ShownLetter[];
      readonly next: number | null;
      readonly isComplete: boolean;
    }
  | { readonly kind: 'letter'; readonly letter: ShownLetter }
  | { readonly kind: 'settled'; readonly outcome: (typeof LETTER_OUTCOMES)[number]; readonly message: string }
  /** Nothing was done. */
  | {
      readonly kind: 'problem';
      readonly problem: 'unknown' | 'underWay' | 'unreadable' | 'later';
      readonly message: string;
    };

export interface LetterDeskOptions {
  readonly runtime: ActorRuntime;
  readonly requests: Pick<RequestRunner, 'handle' | 'endFrame'>;
  readonly writer: Pick<ShardWriter, 'isReadOnly' | 'batchToWaitFor' | 'hold'>;
  readonly audit?: AuditOutlet;
  ownsPartition(partition: number): boolean;
}

const UNKNOWN: LetterAnswer = {
  kind: 'problem',
  problem: 'unknown',
  message: 'there is no such dead letter (any more)',
};
const encoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** A reply as the wire has it, as far as it is looked at here. */
interface Reply {
  readonly ok: boolean;
  readonly duplicate?: boolean;
  readonly code?: number;
  readonly message?: string;
  readonly retry?: string;
}

export class LetterDesk {
  readonly #options: LetterDeskOptions;
  readonly #underWay = new Set<string>();

  constructor(options: LetterDeskOptions) {
    this.#options = options;
  }

  /** Never rejects but for a bug of ours. */
  async ask(question: LetterQuestion): Promise<LetterAnswer> {
    const { audit, writer } = this.#options;
    if (audit?.mayAccess() === false)
      return problem(
        'later',
        "audit: the log cannot be written, so no person's data is shown or changed; try again later",
      );
    if (question.op === 'list') return this.#list(question);
    if (question.op !== 'show' && writer.isReadOnly)
      return problem('later', 'store: cannot write at the moment (is the disk full?); try again later');
    const id: DecisionIdParts = { partition: 0, hashLow: 0, hashHigh: 0, decisionSeq: 0 };
    if (!parseDecisionId(question.id, id) || !this.#bind(id)) return UNKNOWN;
    const { letters, record } = this.#options.runtime;
    const letter = letters.find(id.decisionSeq);
    if (letter === null) return UNKNOWN;
    const { op, actor } = question;
    if (this.#underWay.has(question.id)) return problem('underWay', 'this dead letter is being told again already');
    if (op === 'drop') return this.#drop(id, actor, 'dropped', '');
    const body = letters.bodyOf(record, letter.number);
    this.#record(actor, id, op);
    if ('problem' in body) return problem('unreadable', `what it says cannot be read: ${body.problem}`);
    const { message } = body;
    if (op === 'show') return { kind: 'letter', letter: { ...shown(letter, question.id, body), message } };
    this.#underWay.add(question.id);
    try {
      return await this.#redrive(id, letter, message, actor);
    } finally {
      this.#underWay.delete(question.id);
    }
  }

  #list({ actor, after }: Extract<LetterQuestion, { op: 'list' }>): LetterAnswer {
    const { runtime, audit } = this.#options;
    const people = runtime.letters.people(after, PEOPLE_A_PAGE);
    const letters = people.flatMap((person) =>
      runtime.letters.lettersOf(person).map((letter) => {
        const id = formatDecisionId(person.partition, person.hashLow, person.hashHigh, letter.number);
        return shown(letter, id, runtime.letters.bodyOf(person, letter.number));
      }),
    );
    if (letters.length > 0)
      audit?.record('access', actor, null, epochMillis(), { operation: 'deadLetters', letters: letters.length });
    const next = people.length < PEOPLE_A_PAGE ? null : (people.at(-1)?.serial ?? null);
    return { kind: 'page', letters, next, isComplete: runtime.letters.isComplete };
  }

  async #redrive(
    id: DecisionIdParts,
    letter: NumberedLetter,
    message: Properties,
    actor: string,
  ): Promise<LetterAnswer> {
    const reply = await this.#tell(id, message, actor, letter.optOut === true);
    if (reply.ok) return this.#drop(id, actor, reply.duplicate === true ? 'duplicate' : 'taken', '');
    const { code, message: reason = '', retry } = reply;
    if (code === FAULT.invalidProperty.code || code === FAULT.invalidTrait.code || retry === 'never')
      return { kind: 'settled', outcome: 'refused', message: reason };
    return problem('later', reason);
  }

  /** The request has its turn as any other; resolves with its answer. */
  #tell(id: DecisionIdParts, message: Properties, actor: string, hasOptOut: boolean): Promise<Reply> {
    const { requests } = this.#options;
    return new Promise((resolve) => {
      const writer = createWriter('json');
      const answer = (bytes: Uint8Array): void => resolve(JSON.parse(textDecoder.decode(bytes)) as Reply); // our own writer's
      const responder: Responder = {
        encoding: 'json',
        actor,
        door: 'redrive',
        source: actor,
        hasOptOut,
        writer,
        line: new MailboxLine(),
        decoder: new FrameDecoder('json'),
        send: () => answer(writer.finish()),
        sendBytes: (_slot, bytes) => answer(bytes),
      };
      const frame = encoder.encode(JSON.stringify({ ...message, id: 0 }));
      const isWhole = responder.decoder.decode(frame, {
        onRequest: (request) => {
          // Where the letter lies, whatever its key leads to now: that is followed from there.
          request.asPartition = id.partition;
          request.asLow = id.hashLow;
          request.asHigh = id.hashHigh;
          requests.handle(request, responder, 0, monotonicMicros(), false);
        },
        onInvalid: (_id, { code, retry }, reason) => resolve({ ok: false, code, message: reason, retry }),
      });
      if (!isWhole) resolve({ ok: false, message: 'what it says is no request any more', retry: 'never' });
      requests.endFrame();
    });
  }

  /** Takes the letter out, if it is there still; answers when that is on disk. */
  #drop(
    id: DecisionIdParts,
    actor: string,
    outcome: (typeof LETTER_OUTCOMES)[number],
    message: string,
  ): LetterAnswer | Promise<LetterAnswer> {
    const { runtime, writer } = this.#options;
    if (outcome === 'dropped') this.#record(actor, id, 'drop');
    const { letters, record } = runtime;
    if (this.#bind(id) && letters.find(id.decisionSeq) !== null) {
      // A profile on its way into another stands still; one that is there has nothing that could end.
      if (joiningOf(record) !== 0) return problem('later', 'its profile is being joined with another; try again');
      const now = epochMillis();
      if (!isMoved(record)) runtime.expireDue(now);
      if (!letters.drop(id.decisionSeq, now)) return problem('later', 'the turn failed and was undone; see the log');
      if (outcome !== 'dropped') runtime.stats.lettersSettled++;
    }
    const batch = writer.batchToWaitFor();
    const settled: LetterAnswer = { kind: 'settled', outcome, message };
    if (batch < 0) return settled;
    return new Promise((resolve) => {
      const onFailed = (): void => resolve(problem('later', 'store: the write failed; nothing of this was kept'));
      const deadlineMicros = Number.POSITIVE_INFINITY;
      writer.hold(batch, { deadlineMicros, onCommitted: () => resolve(settled), onFailed, onExpired: onFailed });
    });
  }

  #bind({ partition, hashLow, hashHigh }: DecisionIdParts): boolean {
    const { runtime, ownsPartition } = this.#options;
    return ownsPartition(partition) && runtime.openKnown(partition, hashLow, hashHigh);
  }

  #record(actor: string, { hashHigh, hashLow }: DecisionIdParts, op: 'show' | 'redrive' | 'drop'): void {
    const detail = { operation: 'deadLetter', did: op };
    this.#options.audit?.record(
      'access',
      actor === '' ? LOCAL_ACTOR : actor,
      personName(hashHigh, hashLow),
      epochMillis(),
      detail,
    );
  }
}

/** A body that cannot be read leaves the reasons. */
function shown(letter: NumberedLetter, id: string, body: LetterBody | { readonly problem: string }): ShownLetter {
  const { op, event = null, reasons, door, by, at, lastAt, times } = letter;
  const refused = 'problem' in body ? reasons.map((reason) => ({ field: null, reason, message: null })) : body.refused;
  return { id, op, event, refused, door, by, firstEpochMillis: at, lastEpochMillis: lastAt, times };
}

function problem(what: Extract<LetterAnswer, { kind: 'problem' }>['problem'], message: string): LetterAnswer {
  return { kind: 'problem', problem: what, message };
}
