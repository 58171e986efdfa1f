/**
 * What a transport cannot do because of the machine or the operator: the port is taken, the address is
 * not ours, the native build does not load. Every case has a stable code that scripts and tests match
 * on; the message names the address and the bound, the advice says what to do.
 */
import { OperatorError } from './operator-error.ts';

export type TransportErrorCode =
  | 'PORT_IN_USE'
  | 'PORT_FORBIDDEN'
  | 'PORT_NOT_SHAREABLE'
  | 'ADDRESS_UNAVAILABLE'
  | 'LISTEN_FAILED'
  | 'TRANSPORT_UNAVAILABLE';

export class TransportError extends OperatorError {
  declare readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, advice: string, cause?: unknown) {
    super(code, message, { advice, cause });
    this.name = 'TransportError';
  }
}
