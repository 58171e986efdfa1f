/**
 * What can be wrong with the keys of sensitive traits, as one error class with a stable `code`. All of it is the
 * operator's to mend; no message ever holds a key, or what a command printed.
 */
export const VAULT_ERROR = {
  /** Not 32 bytes, or not written as hexadecimal digits or base64. */
  MASTER_KEY_INVALID: 'MASTER_KEY_INVALID',
  /** Two places give one. */
  MASTER_KEY_TWICE: 'MASTER_KEY_TWICE',
  /** The command that should print it failed. */
  MASTER_KEY_COMMAND: 'MASTER_KEY_COMMAND',
  /** A sound key, but not the one the data keys are wrapped under. */
  MASTER_KEY_OTHER: 'MASTER_KEY_OTHER',
  /** The file of data keys is not one, or a key in it was changed. */
  KEYS_DAMAGED: 'KEYS_DAMAGED',
  /** There is no file of data keys. */
  KEYS_ABSENT: 'KEYS_ABSENT',
  /** Anything else the operating system said. */
  KEYS_FAILED: 'KEYS_FAILED',
} as const;
export type VaultErrorCode = (typeof VAULT_ERROR)[keyof typeof VAULT_ERROR];

export class VaultError extends Error {
  override readonly name = 'VaultError';
  readonly code: VaultErrorCode;

  constructor(code: VaultErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
