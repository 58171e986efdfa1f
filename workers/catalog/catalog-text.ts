/**
 * The text of a catalog file and its version, without looking at what it says: enough to see that nothing has
 * changed, so that neither a watch nor a restart checks again what was checked.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { CatalogError, type CatalogProblem } from './catalog-error.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';

/**
 * Reads the text of a catalog file.
 * @throws CatalogError `CATALOG_UNREADABLE` when there is none.
 */
export async function readCatalogText(path: string): Promise<string> {
  const bytes = await readBounded(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unreadable(path, 'is not UTF-8 text', cause);
  }
}

/** First 12 hex digits of the SHA-256 of the text in UTF-8. */
export function catalogVersion(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 12);
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const facts = await stat(path);
    if (facts.isDirectory()) throw unreadable(path, 'is a folder; name the catalog file inside it');
    if (!facts.isFile()) throw unreadable(path, 'is not a regular file');
    if (facts.size > CATALOG_LIMITS.fileBytesMax) {
      throw unreadable(
        path,
        `has ${facts.size} bytes, more than the ${CATALOG_LIMITS.fileBytesMax} a catalog may have`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof CatalogError) throw cause;
    const code = (cause as { readonly code?: unknown }).code; // Node's file errors carry a code
    throw unreadable(path, REASON_BY_CODE[String(code)] ?? `cannot be read (${String(code)})`, cause);
  }
}

const REASON_BY_CODE: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist: a part of its path is a file',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  EISDIR: 'is a folder; name the catalog file inside it',
  ELOOP: 'is a link that leads back to itself',
};

function unreadable(path: string, reason: string, cause?: unknown): CatalogError {
  const problem: CatalogProblem = { file: path, line: 1, column: 1, path: '', reason };
  return new CatalogError('CATALOG_UNREADABLE', [problem], cause === undefined ? undefined : { cause });
}
