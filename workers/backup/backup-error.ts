/** What can go wrong with a backup, as one class with a stable `code`: what, where, and what to do about it. */

export const BACKUP_ERROR = {
  /** Not a backup, or one that was never finished. */
  NO_BACKUP: 'NO_BACKUP',
  /** A file of it is missing or is not what was backed up. */
  DAMAGED: 'BACKUP_DAMAGED',
  NEWER: 'BACKUP_NEWER',
  /** The folder to write to is not empty. */
  NOT_EMPTY: 'NOT_EMPTY',
  /** A secret is needed, or the one given is not this folder's. */
  SECRET: 'BACKUP_SECRET',
  /** The data folder is not there, or nothing has run on it. */
  NO_DATA: 'NO_DATA',
  DISK_FULL: 'DISK_FULL',
} as const;
export type BackupErrorCode = (typeof BACKUP_ERROR)[keyof typeof BACKUP_ERROR];

export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: BackupErrorCode;
  readonly advice: string;

  constructor(code: BackupErrorCode, message: string, facts: { readonly advice: string; readonly cause?: unknown }) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.advice = facts.advice;
  }
}
