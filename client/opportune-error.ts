/**
 * The one error this client rejects with. It says first whether trying again can help (`retry`), then
 * which kind of failure it was (`status`), then exactly which (`code`, the numbers of docs/PROTOCOL.md).
 * Code 0 marks what the client itself found out: no connection, no reply in time, its own queue full.
 */
import type { Retry, Status } from '../proto/statuses.ts';

/** The `code` of errors that the client raised itself. */
export const LOCAL_CODE = 0;

export class OpportuneError extends Error {
  override readonly name = 'OpportuneError';
  readonly status: Status;
  readonly code: number;
  readonly retry: Retry;
  /** Milliseconds to wait before trying again; 0 when the server gave no hint. */
  readonly retryAfterMillis: number;

  constructor(status: Status, code: number, message: string, retry: Retry, retryAfterMillis = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retry = retry;
    this.retryAfterMillis = retryAfterMillis;
  }
}

/** No reply within the request's budget. */
export function deadlineError(budgetMillis: number): OpportuneError {
  return new OpportuneError('DEADLINE_EXCEEDED', LOCAL_CODE, `no reply within ${Math.round(budgetMillis)} ms`, 'later');
}

/** There is no connection, or it ended before the reply came. */
export function disconnectedError(url: string): OpportuneError {
  return new OpportuneError('UNAVAILABLE', LOCAL_CODE, `not connected to ${url}`, 'reconnect');
}

/** `close()` was called. */
export function closedError(): OpportuneError {
  return new OpportuneError('UNAVAILABLE', LOCAL_CODE, 'the client is closed', 'never');
}
