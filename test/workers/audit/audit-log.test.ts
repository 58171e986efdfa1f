/**
 * The audit log against those who change it: any edit, removal, reordering, insertion and truncation is found and its
 * place named; what a crash leaves is told from tampering; a full disk loses nothing and says so.
 */
import { appendFileSync, cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { auditFiles, chainFolder, readChain } from '../../../workers/audit/audit-files.ts';
import { AuditLog, type AuditLogOptions } from '../../../workers/audit/audit-log.ts';
import { type AuditRecord, deriveAuditKey, GENESIS, writeRecord } from '../../../workers/audit/audit-record.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const KEY = deriveAuditKey(new Uint8Array(32).fill(7));
const OTHER_KEY = deriveAuditKey(new Uint8Array(32).fill(8));

function optionsOf(dataFolder: string, more: Partial<AuditLogOptions> = {}): AuditLogOptions {
  return { dataFolder, chain: 'node', key: KEY, ...more };
}
async function write(
  dataFolder: string,
  from: number,
  count: number,
  more: Partial<AuditLogOptions> = {},
): Promise<AuditLog> {
  const log = await AuditLog.open(optionsOf(dataFolder, more));
  for (let n = from; n < from + count; n++) {
    log.append({ kind: 'access', actor: 'local', atEpochMillis: 1_000 + n, person: '00'.repeat(8), detail: { n } });
    // Files change between two writes.
    if (more.fileBytesMax !== undefined) await log.sync();
  }
  await log.close();
  return log;
}
/** A log of `count` events in files of at most some bytes. */
async function written(count: number, fileBytesMax?: number): Promise<{ folder: string; data: string }> {
  const data = temporaryFolder();
  await write(data, 0, count, fileBytesMax === undefined ? {} : { fileBytesMax });
  return { data, folder: chainFolder(data, 'node') };
}
function problemOf(folder: string, key = KEY): string | null {
  const { problem } = readChain(folder, 'node', key);
  return problem === null ? null : `${problem.file}:${problem.line} ${problem.reason}`;
}
function lastFile(folder: string): string {
  return join(folder, auditFiles(folder).at(-1) ?? '');
}
function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

describe('audit log', () => {
  it('append: everything is there again in order, over starts and files, each file chained to the one before', async () => {
    const data = temporaryFolder();
    for (let start = 0; start < 3; start++) await write(data, start * 10, 10, { fileBytesMax: 1_500 });
    const folder = chainFolder(data, 'node');
    const seen: AuditRecord[] = [];
    const state = readChain(folder, 'node', KEY, (record) => seen.push(record));
    expect(state).toMatchObject({ problem: null, tornBytes: 0, unanchored: 0, noted: [] });
    expect(auditFiles(folder).length).toBeGreaterThan(4);
    expect(seen.filter(({ kind }) => kind === 'access').map(({ detail }) => detail?.n)).toEqual(
      Array.from({ length: 30 }, (_, n) => n),
    );
    expect(seen.filter(({ kind }) => kind === 'file').length).toBe(auditFiles(folder).length);
    expect(seen.map(({ sequence }) => sequence)).toEqual(seen.map((_, index) => index + 1));
    expect(state.head.hash).toBe(seen.at(-1)?.hash);
  });

  it('verify: any single byte changed, in any file or in the anchor, is found', async () => {
    const { folder } = await written(12, 1_500);
    const files = [...auditFiles(folder), 'anchor'];
    expect(problemOf(folder)).toBeNull();
    fc.assert(
      fc.property(fc.nat(files.length - 1), fc.nat(1e6), fc.integer({ min: 1, max: 255 }), (which, place, flip) => {
        const path = join(folder, files[which] as string);
        const good = readFileSync(path);
        const bytes = Buffer.from(good);
        const at = place % bytes.length;
        bytes[at] = (bytes[at] as number) ^ flip;
        writeFileSync(path, bytes);
        const found = problemOf(folder);
        writeFileSync(path, good);
        // The anchor's line break, and spaces in its place, say nothing.
        if (files[which] === 'anchor' && at === good.length - 1 && /\s/.test(String.fromCharCode(bytes[at] as number)))
          return;
        expect(found, `${files[which]} byte ${at}`).not.toBeNull();
      }),
      { seed: 5, numRuns: 200 },
    );
  });

  it('verify: a removed, moved, doubled and inserted line is found, and the first bad line named', async () => {
    const { folder } = await written(8);
    const path = lastFile(folder);
    const lines = linesOf(path);
    const put = (changed: string[]): string | null => {
      writeFileSync(path, `${changed.join('\n')}\n`);
      return problemOf(folder);
    };
    expect(put(lines)).toBeNull();
    expect(put(lines.toSpliced(3, 1))).toMatch(/^000001\.ndjson:4 its sequence is 5 behind 3/);
    expect(put(lines.with(3, lines[4] as string).with(4, lines[3] as string))).toMatch(/:4 its sequence/);
    expect(put(lines.toSpliced(4, 0, lines[3] as string))).toMatch(/:5 its sequence is 4 behind 4/);
    const event = { kind: 'access', actor: 'nobody', atEpochMillis: 1, detail: {} } as const;
    const third = { sequence: 3, hash: (JSON.parse(lines[2] ?? '') as AuditRecord).hash };
    const forged = writeRecord(event, third, 'node', OTHER_KEY).line.trimEnd();
    expect(put(lines.with(3, forged))).toMatch(/:4 it is not signed under this node's secret/);
    expect(put(lines.with(3, lines[3]?.replace('"n":2', '"n":3') ?? ''))).toMatch(/:4 its hash is not/);
    expect(put([...lines, ''])).toMatch(/:10 it does not end as a record/);
  });

  it('verify: a whole chain made anew without the secret is found, and so is one behind the anchor', async () => {
    const { folder } = await written(3);
    const forged = temporaryFolder();
    await write(forged, 0, 30, { key: OTHER_KEY });
    cpSync(chainFolder(forged, 'node'), folder, { recursive: true });
    expect(problemOf(folder)).toMatch(/anchor/);
    expect(problemOf(folder, OTHER_KEY)).toBeNull();

    const again = await written(3);
    const before = readChain(again.folder, 'node', KEY).head;
    const event = { kind: 'access', actor: 'nobody', atEpochMillis: 1, detail: {} } as const;
    appendFileSync(lastFile(again.folder), writeRecord(event, before, 'node', OTHER_KEY).line);
    expect(problemOf(again.folder)).toMatch(/:5 it is not signed/);
  });

  it('verify: a chain cut anywhere before the anchored record is found; removed files and a removed anchor too', async () => {
    const { folder, data } = await written(6, 700);
    const kept = temporaryFolder();
    cpSync(data, kept, { recursive: true });
    const restore = (): void => {
      rmSync(data, { recursive: true });
      cpSync(kept, data, { recursive: true });
    };
    const files = auditFiles(folder);
    expect(files.length).toBeGreaterThan(3);
    const last = readFileSync(lastFile(folder));
    for (let bytes = 0; bytes < last.length; bytes++) {
      truncateSync(lastFile(folder), bytes);
      expect(problemOf(folder), `cut to ${bytes}`).toMatch(/was on disk|empty/);
      writeFileSync(lastFile(folder), last);
    }
    for (const name of [...files, 'anchor']) {
      rmSync(join(folder, name));
      expect(problemOf(folder), name).not.toBeNull();
      restore();
    }
    for (const name of files) rmSync(join(folder, name));
    expect(problemOf(folder)).toMatch(/log ends at record 0/);
    restore();
    expect(problemOf(folder)).toBeNull();
  });

  it('start: a line that a crash cut is cut off, noted and no alarm; the chain goes on', async () => {
    const { folder, data } = await written(4);
    const path = lastFile(folder);
    const { head } = readChain(folder, 'node', KEY);
    const event = { kind: 'access', actor: 'local', atEpochMillis: 1, detail: {} } as const;
    const { line } = writeRecord(event, head, 'node', KEY);
    for (const bytes of [1, 80, line.length - 1]) {
      const good = readFileSync(path);
      appendFileSync(path, line.slice(0, bytes));
      expect(readChain(folder, 'node', KEY)).toMatchObject({ problem: null, tornBytes: bytes });
      const log = await write(data, 50, 1);
      expect([log.tornBytes, log.damage]).toEqual([bytes, null]);
      const kinds: string[] = [];
      expect(readChain(folder, 'node', KEY, ({ kind }) => kinds.push(kind))).toMatchObject({
        problem: null,
        noted: [],
      });
      expect(kinds.slice(-2)).toEqual(['recovered', 'access']);
      expect(readFileSync(path).subarray(0, good.length).equals(good)).toBe(true);
    }
  });

  it('start: written and never anchored is kept; a new file without a whole line is begun again', async () => {
    const { folder, data } = await written(2);
    const { head } = readChain(folder, 'node', KEY);
    const event = { kind: 'access', actor: 'local', atEpochMillis: 1, detail: {} } as const;
    appendFileSync(lastFile(folder), writeRecord(event, head, 'node', KEY).line);
    expect(readChain(folder, 'node', KEY)).toMatchObject({ problem: null, unanchored: 1 });
    writeFileSync(join(folder, '000002.ndjson'), '{"seq');
    await write(data, 9, 1);
    expect(auditFiles(folder)).toEqual(['000001.ndjson', '000002.ndjson']);
    expect(readChain(folder, 'node', KEY)).toMatchObject({ problem: null, unanchored: 0 });
  });

  it('start: a damaged log is not mended: noted, gone on with in a new file, and still found', async () => {
    const { folder, data } = await written(4);
    const path = lastFile(folder);
    const lines = linesOf(path);
    writeFileSync(path, `${lines.with(2, lines[2]?.replace('"n":1', '"n":7') ?? '').join('\n')}\n`);
    const log = await write(data, 9, 1);
    expect(log.damage).toMatchObject({ file: '000001.ndjson', line: 3 });
    expect(problemOf(folder)).toMatch(/000001\.ndjson:3 its hash/);

    const cut = await written(4);
    const kept = linesOf(lastFile(cut.folder));
    writeFileSync(lastFile(cut.folder), `${kept.slice(0, -2).join('\n')}\n`);
    await write(cut.data, 9, 1);
    // The anchor has moved on: what is left of the truncation is what the start noted of it.
    const state = readChain(cut.folder, 'node', KEY);
    expect(state.noted).toEqual([expect.stringMatching(/the log ends at record 3, and record 5 was on disk/)]);
  });

  it('start: under another secret the chain goes on in a new file, and the new secret vouches for the old records', async () => {
    const { folder, data } = await written(3);
    await write(data, 5, 2, { key: OTHER_KEY });
    // The anchor of the old secret does not stand under the new one: noted once.
    expect(readChain(folder, 'node', OTHER_KEY).problem).toBeNull();
    expect(problemOf(folder, KEY)).toMatch(/anchor/);
    const lines = linesOf(join(folder, '000001.ndjson'));
    writeFileSync(join(folder, '000001.ndjson'), `${lines.toSpliced(1, 1).join('\n')}\n`);
    expect(problemOf(folder, OTHER_KEY)).toMatch(/000001\.ndjson:2/);
  });

  it('writeRecord: the first record follows sixty-four zeros', () => {
    const { line } = writeRecord({ kind: 'start', actor: 'local', atEpochMillis: 1 }, GENESIS, 'node', KEY);
    expect(JSON.parse(line)).toMatchObject({ sequence: 1, previous: '0'.repeat(64), person: null, detail: {} });
  });
});
