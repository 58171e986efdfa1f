/**
 * A checked catalog kept in the data folder, so that a restart with the same file begins with plain data
 * instead of loading YAML, schema and CEL and checking again: a quarter of a start, and of a restart under a
 * supervisor. What is kept counts only under a digest over the catalog's text, the code of this folder, the
 * versions of the program and of the runtime, and its own bytes: a new version, another time zone table or one
 * flipped bit, and the catalog is checked as ever. Whoever can write here can write the records and the secret
 * beside it as well: the digest guards against age and damage, not against them.
 *
 *   0  32 bytes SHA-256   32  what `serialize` of node:v8 makes of a KeptCatalog
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { ZoneData } from '../../decision/local-time.ts';
import type { CatalogSource } from './catalog-source.ts';

const DIGEST_BYTES = 32;

/** All that a start makes of a catalog's text before its workers can begin. */
export interface KeptCatalog {
  readonly source: CatalogSource;
  /** Of the catalog's own time zone. */
  readonly zones: readonly ZoneData[];
}

/**
 * What was kept of exactly this text by exactly this program, or null. Never throws.
 * @param program name and version
 */
export function readKept(path: string, text: string, fileName: string, program: string): KeptCatalog | null {
  try {
    const bytes = readFileSync(path);
    const body = bytes.subarray(DIGEST_BYTES);
    if (!digestOf(text, program, body).equals(bytes.subarray(0, DIGEST_BYTES))) return null;
    const kept = deserialize(body) as KeptCatalog; // written by `keep` only: the digest says so
    return kept.source.fileName === fileName ? kept : null;
  } catch {
    return null; // not there, or not to be read: the catalog is checked
  }
}

/** Keeps a checked catalog; whole or not at all. Never throws: what is not kept is checked again. */
export function keep(path: string, kept: KeptCatalog, program: string): void {
  try {
    const body = serialize(kept);
    const writing = `${path}.writing`;
    writeFileSync(writing, Buffer.concat([digestOf(kept.source.text, program, body), body]), { mode: 0o600 });
    renameSync(writing, path);
  } catch {
    // A full disk, most likely: others say so, and nothing is lost.
  }
}

function digestOf(text: string, program: string, body: Uint8Array): Buffer {
  const hash = createHash('sha256');
  const folder = import.meta.dirname;
  for (const name of readdirSync(folder).sort()) {
    if (/\.[jt]s$/.test(name)) hash.update(readFileSync(join(folder, name)));
  }
  const { node, icu = '', tz = '' } = process.versions;
  return hash
    .update(JSON.stringify([program, node, icu, tz, text]))
    .update(body)
    .digest();
}
