/**
 * Sends the rows of a step and resolves when each is on disk or refused: first what is told of people, then what they
 * did, each as one batch. What the server cannot take now is sent again. Of one person the order of rows is kept:
 * behind an `identify` that must be repeated, the later ones are repeated too, so that the last of them wins. While it
 * waits it says why, and gives up after a bound; what no row could be taken for ends the import at once.
 */
import { type OpportuneClient, OpportuneError, type Reply, type RequestBody, type Status } from '../../client/index.ts';
import { FAULT } from '../../proto/statuses.ts';
import { OperatorError } from '../operator-error.ts';
import type { ImportRow } from './import-row.ts';

/** Longest wait for one answer: sent again afterwards, which is harmless. */
const DEADLINE_MILLIS = 10_000;
const RETRY_MILLIS = 250;
/** Few enough to fit into one frame as they mostly are; the client cuts larger ones by encoding them again. */
const FRAME_REQUESTS = 250;
/** A wait as long as this is told, and then each time it has doubled. */
const SAY_AFTER_MILLIS = 1_000;
/** These are of the import and not of the row. */
const FINAL: readonly Status[] = ['PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNIMPLEMENTED'];

const TOKEN_OVER = new OpportuneError(
  'UNAUTHENTICATED',
  FAULT.unauthenticated.code,
  'the token has ended or was revoked',
  'never',
);

export interface SentCounts {
  events: number;
  duplicates: number;
  identified: number;
}

export interface SenderOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  readonly sleep: (millis: number) => Promise<unknown>;
  /** Longest time without any answer that settles a row. */
  readonly waitMillis: number;
  /** Whether the server has closed the connection for its token, which is then of no use any more. */
  readonly isTokenOver: () => boolean;
  /** Told why nothing goes on. */
  readonly onWait: (reason: string, waitedMillis: number) => void;
}

interface Sending {
  readonly index: number;
  readonly body: RequestBody & { readonly profile: string };
  readonly isRepeat: boolean;
}

export class ImportSender {
  readonly #client: Pick<OpportuneClient, 'batch'>;
  readonly #options: SenderOptions;
  readonly counts: SentCounts = { events: 0, duplicates: 0, identified: 0 };

  constructor(client: Pick<OpportuneClient, 'batch'>, options: SenderOptions) {
    this.#client = client;
    this.#options = options;
  }

  /**
   * @returns why rows were refused, by their index
   * @throws OperatorError `REQUEST_REFUSED` when no row would be taken, `IMPORT_STUCK` when it has waited too long
   */
  async deliver(rows: readonly ImportRow[]): Promise<Map<number, string>> {
    const refused = new Map<number, string>();
    const told: Sending[] = [];
    for (const [index, { profile, traits, toldAtEpochMillis }] of rows.entries()) {
      if (traits === null) continue;
      const at = toldAtEpochMillis === undefined ? {} : { atEpochMillis: toldAtEpochMillis };
      told.push(sending(index, { op: 'identify', profile, traits, ...at, deadlineMillis: DEADLINE_MILLIS }));
    }
    await this.#settle(told, refused);
    const done: Sending[] = [];
    for (const [index, { profile, event }] of rows.entries())
      if (event !== null && !refused.has(index))
        done.push(sending(index, { op: 'track', profile, ...event, deadlineMillis: DEADLINE_MILLIS }));
    await this.#settle(done, refused);
    return refused;
  }

  async #settle(all: readonly Sending[], refused: Map<number, string>): Promise<void> {
    let sendings = all;
    let movedMillis = this.#options.now();
    let sayMillis = SAY_AFTER_MILLIS;
    while (sendings.length > 0) {
      const { again, error } = await this.#round(sendings, refused);
      const now = this.#options.now();
      if (error === null) return;
      if (again.length < sendings.length) {
        movedMillis = now;
        sayMillis = SAY_AFTER_MILLIS;
      }
      sendings = again;
      const waited = now - movedMillis;
      if (waited >= sayMillis) {
        this.#options.onWait(error.message, waited);
        sayMillis = waited * 2;
      }
      if (waited >= this.#options.waitMillis)
        throw new OperatorError(
          'IMPORT_STUCK',
          `no row was taken for ${Math.round(waited / 1000)} s: ${error.message}`,
          {
            advice: 'Mend what it waited for (server, network, token, disk), and run the same command again to go on.',
            cause: error,
          },
        );
      await this.#options.sleep(error.retryAfterMillis || RETRY_MILLIS);
    }
  }

  /** Sends each once; `error` is one of those that ask for another round. */
  async #round(
    sendings: readonly Sending[],
    refused: Map<number, string>,
  ): Promise<{ readonly again: Sending[]; readonly error: OpportuneError | null }> {
    const frames: Promise<(Reply | OpportuneError)[]>[] = [];
    for (let at = 0; at < sendings.length; at += FRAME_REQUESTS)
      frames.push(this.#client.batch(sendings.slice(at, at + FRAME_REQUESTS).map(({ body }) => body)));
    const outcomes = (await Promise.all(frames)).flat();
    const again: Sending[] = [];
    const held = new Set<string>();
    let error: OpportuneError | null = null;
    for (const [i, { index, body, isRepeat }] of sendings.entries()) {
      const outcome = outcomes[i];
      const isLater = outcome instanceof OpportuneError && outcome.retry !== 'never';
      if (isLater && this.#options.isTokenOver()) throw refusal(TOKEN_OVER);
      if (isLater || (body.op === 'identify' && held.has(body.profile))) {
        if (isLater) error = outcome;
        held.add(body.profile);
        again.push({ index, body, isRepeat: true });
      } else if (outcome instanceof OpportuneError) {
        if (FINAL.includes(outcome.status)) throw refusal(outcome);
        refused.set(index, `${outcome.status} ${outcome.code}: ${outcome.message}`);
      } else if (body.op === 'identify') this.counts.identified += 1;
      else {
        this.counts.events += 1;
        // Of one sent again the first try may have been taken.
        if (!isRepeat && outcome !== undefined && 'duplicate' in outcome && outcome.duplicate)
          this.counts.duplicates += 1;
      }
    }
    return { again, error };
  }
}

function sending(index: number, body: Sending['body']): Sending {
  return { index, body, isRepeat: false };
}

function refusal({ status, code, message }: OpportuneError): OperatorError {
  return new OperatorError('REQUEST_REFUSED', `${status} ${code}: ${message}`, {
    advice:
      status === 'UNIMPLEMENTED'
        ? 'The server is of another version; run the same command against one that knows it.'
        : 'Give a token with the role `ingest` in OPPORTUNE_TOKEN, and run the same command again to go on.',
  });
}
