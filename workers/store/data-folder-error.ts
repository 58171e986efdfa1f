/**
 * What can be wrong with a data folder, as one error class with a stable `code`. All of it is the
 * operator's to mend, so every message says which path, what is wrong with it, and what to do.
 */

export const DATA_FOLDER_ERROR = {
  /** A live process holds the folder. */
  LOCKED: 'LOCKED',
  /** This user may not write there. */
  NOT_WRITABLE: 'NOT_WRITABLE',
  /** The path, or a part of it, is a file. */
  NOT_A_FOLDER: 'NOT_A_FOLDER',
  READ_ONLY: 'READ_ONLY',
  /** Not empty, and not a data folder. */
  FOREIGN: 'FOREIGN',
  FORMAT_NEWER: 'FORMAT_NEWER',
  /** Of a layout that cannot be brought forward. */
  FORMAT_OLDER: 'FORMAT_OLDER',
  /** One of the folder's own files is not what it should be. */
  DAMAGED: 'DAMAGED',
  DISK_FULL: 'DISK_FULL',
  /** Anything else the operating system said. */
  FAILED: 'FAILED',
} as const;
export type DataFolderErrorCode = (typeof DATA_FOLDER_ERROR)[keyof typeof DATA_FOLDER_ERROR];

export class DataFolderError extends Error {
  override readonly name = 'DataFolderError';
  readonly code: DataFolderErrorCode;
  readonly path: string;
  /** The process that holds the folder, where the code is `LOCKED`. */
  readonly holderPid: number | undefined;

  constructor(
    code: DataFolderErrorCode,
    path: string,
    message: string,
    facts: { readonly holderPid?: number; readonly cause?: unknown } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.path = path;
    this.holderPid = facts.holderPid;
  }
}

/** The typed error for what a file operation in `path` threw; a DataFolderError stays itself. */
export function folderError(path: string, error: unknown): DataFolderError {
  if (error instanceof DataFolderError) return error;
  const { code, message } = error as NodeJS.ErrnoException; // only file operations are wrapped
  const facts = { cause: error };
  switch (code) {
    case 'EACCES':
    case 'EPERM': {
      const text = `This user may not write in ${path}. Change its owner or mode, or name another folder with --data.`;
      return new DataFolderError(DATA_FOLDER_ERROR.NOT_WRITABLE, path, text, facts);
    }
    case 'EEXIST':
    case 'ENOTDIR': {
      const text = `${path} is a file, or passes through one. Name a folder with --data.`;
      return new DataFolderError(DATA_FOLDER_ERROR.NOT_A_FOLDER, path, text, facts);
    }
    case 'EROFS': {
      const text = `${path} is on a read-only file system. Mount it for writing, or name another folder with --data.`;
      return new DataFolderError(DATA_FOLDER_ERROR.READ_ONLY, path, text, facts);
    }
    case 'ENOSPC':
    case 'EDQUOT': {
      const text = `No space left for ${path}. Free some space, or name a folder on another disk with --data.`;
      return new DataFolderError(DATA_FOLDER_ERROR.DISK_FULL, path, text, facts);
    }
    default: {
      const text = `Cannot use ${path} as data folder: ${message}. Check the disk, or name another folder with --data.`;
      return new DataFolderError(DATA_FOLDER_ERROR.FAILED, path, text, facts);
    }
  }
}
