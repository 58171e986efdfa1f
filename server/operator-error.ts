/**
 * What the operator, or the machine, got wrong: a port in use, a folder that cannot be written, an
 * option nobody knows. One class for all of them, so that the command line prints each the same way:
 * what happened, where, and what to do. It is never used for our own bugs (those are assertions) nor
 * for a caller's mistake (those are statuses of the wire protocol).
 */
export interface OperatorFacts {
  /** What to do about it, as a sentence or a command to paste. */
  readonly advice: string;
  readonly cause?: unknown;
}

export class OperatorError extends Error {
  /** Stable name of the case, for scripts and tests: `PORT_IN_USE`, `CONFIG_UNKNOWN`, … */
  readonly code: string;
  readonly advice: string;

  /** @param message what happened and where, with the value and the bound; no final advice. */
  constructor(code: string, message: string, facts: OperatorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'OperatorError';
    this.code = code;
    this.advice = facts.advice;
  }
}
