/**
 * Backup, restore and verify around a running server: a backup taken under load, restored and started on, has
 * what the original had at that moment; damage of every kind is named; what fails or is killed half-way leaves
 * nothing behind that looks whole.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Database, open as openRaw } from 'lmdb';
import { beforeAll, describe, expect, it } from 'vitest';
import { FIELD } from '../../actors/record-layout.ts';
import { openLog } from '../../server/commands/log.ts';
import { makeBackup } from '../../workers/backup/make-backup.ts';
import { type RestoreOptions, restoreBackup } from '../../workers/backup/restore-backup.ts';
import { type VerifiedFolder, verifyFolder } from '../../workers/backup/verify-folder.ts';
import { type Finding, type StoreTotals, verifyStore } from '../../workers/backup/verify-store.ts';
import { JournalLines } from '../../workers/jobs/journal-lines.ts';
import { encodeJournalKey } from '../../workers/store/journal-key.ts';
import { SEAL_BYTES, sealedCopy } from '../../workers/store/sealed-value.ts';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, StartedProgram, temporaryFolder, until } from './running-node.ts';
import { mountSmallDisk } from './small-disk.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const catalog = writeCatalog(
  catalogText({
    actions: [
      '{ key: plain, channels: [app], slots: [home], valueMinor: 100 }',
      `{ key: regular, channels: [app], slots: [regular], valueMinor: 300, eligibility: 'count("view", "30d") > 1' }`,
      '{ key: budgeted, channels: [app], slots: [budget], valueMinor: 500, costMinor: 100, budgetMinor: 100000 }',
    ],
  }),
);

interface Program {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function opportune(...words: string[]): Promise<Program> {
  const program = new StartedProgram(words);
  const { code } = await program.ended;
  return { code, out: program.stdout, err: program.stderr };
}

const built = new URL('../../dist/workers/backup/', import.meta.url);
const options = { onProgress: () => undefined, folder: built, nowEpochMillis: 0, doesReplace: false };

/** As the commands call it, in this process: starting one takes longer than what it does. */
async function restore(backup: string, place: string, more: Partial<RestoreOptions> = {}): Promise<string> {
  return restoreBackup({ ...options, backup, data: place, ...more }).then(
    () => 'restored',
    (error: Error) => error.message,
  );
}

async function backUp(destination: string, from = data, hasSecret = true): Promise<string> {
  return makeBackup({ ...options, data: from, destination, program: 'test/1', hasSecret }).then(
    () => 'made',
    (error: Error) => error.message,
  );
}

async function verify(path: string): Promise<VerifiedFolder & { readonly findings: readonly Finding[] }> {
  const findings: Finding[] = [];
  const verified = await verifyFolder({ ...options, path, onFinding: (finding) => findings.push(finding) });
  return { ...verified, findings };
}

/** What each person's record says, without what counts from the moment of asking. */
async function recordsOf(peer: WirePeer, profiles: readonly string[]): Promise<WireReply[]> {
  const replies: WireReply[] = [];
  for (const profile of profiles) {
    const { record, stateSeq } = await peer.must({ op: 'profile', profile });
    const timeless = (name: string, value: unknown): unknown =>
      /^local$|Seconds$|^freshness$|^score$/.test(name) ? undefined : value;
    replies.push({ profile, stateSeq, record: JSON.parse(JSON.stringify(record, timeless)) });
  }
  return replies;
}

const work = temporaryFolder('backup');
const data = join(work, 'data');
const early = join(work, 'early');
const late = join(work, 'late');
let lateRecords: WireReply[] = [];
const writer = new EventWriter(24);
let acknowledgedBefore = new Map<string, number>();

function logOf(folder: string): string {
  const reader = openLog(join(folder, 'store'));
  const lines = [...new JournalLines(reader, {}).read()].join('');
  void reader.close();
  return lines;
}

beforeAll(async () => {
  const node = await RunningNode.start({ catalog, data });
  const peers = await Promise.all([1, 2].map(() => WirePeer.connect(node.url)));
  const [peer] = peers as [WirePeer];
  const ids: string[] = [];
  for (let n = 0; n < 40; n++) {
    const profile = writer.profiles[n % writer.profiles.length];
    const sku = n % 2 === 0 ? { sku: 'espresso' } : {};
    const reply = await peer.must({ op: 'decide', profile, slot: 'budget', durability: 'committed', ...sku });
    ids.push(reply.decisionId);
  }
  for (const decisionId of ids.slice(0, 10)) await peer.must({ op: 'confirm', decisionId });
  for (const decisionId of ids.slice(10, 15)) await peer.must({ op: 'release', decisionId });
  const writing = Promise.all(peers.map((one) => writer.write(one, 8)));
  await until(() => writer.acknowledgedCount > 200);
  acknowledgedBefore = new Map(writer.acknowledged);
  const taken = await opportune('backup', early, '--data', data);
  expect(taken, taken.err).toMatchObject({ code: 0 });
  await until(() => writer.acknowledgedCount > 400);
  writer.stop();
  await writing;
  lateRecords = await recordsOf(peer, writer.profiles);
  // Decisions are written behind; this event is behind them in both streams.
  for (const profile of writer.profiles) await peer.must({ op: 'track', profile: `after-${profile}`, event: 'view' });
  expect(await backUp(late)).toBe('made');
  expect(await verify(data)).toMatchObject({ findings: [], holderPid: node.pid });
  expect(await restore(late, data, { doesReplace: true })).toMatch(/in use by process/);
  expect(await node.stop()).toBe(0);
}, 60_000);

describe('backup', () => {
  it('backup: holds layout, secret, store and models, for its owner only, and no half folder is left beside it', () => {
    expect(readdirSync(late).toSorted()).toEqual(['backup.json', 'format', 'models', 'secret', 'store']);
    expect(readdirSync(join(late, 'store'))).toEqual(['data.mdb']);
    for (const name of ['backup.json', 'secret', 'store/data.mdb'])
      expect(statSync(join(late, name)).mode & 0o077, name).toBe(0);
    expect(statSync(late).mode & 0o077).toBe(0);
    expect(readdirSync(work).toSorted()).toEqual(['data', 'early', 'late']);
  });

  it('restore: a server on the folder has every profile and decision that the original had at that moment', async () => {
    const restored = join(work, 'restored');
    expect(await opportune('restore', late, '--data', restored)).toMatchObject({ code: 0, out: /is as of/ });
    const logged = new Set(logOf(data).split('\n'));
    const kept = logOf(restored).split('\n');
    expect(kept.length).toBeGreaterThan(400);
    expect(kept.filter((line) => !logged.has(line))).toEqual([]);
    const node = await RunningNode.start({ catalog, data: restored, workers: 3 });
    const peer = await WirePeer.connect(node.url);
    expect(await recordsOf(peer, writer.profiles)).toEqual(lateRecords);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    await peer.must({ op: 'decide', profile: 'new', slot: 'budget', durability: 'committed' });
    expect(await node.stop()).toBe(0);
    expect(await verify(restored)).toMatchObject({ findings: [] });
  });

  it('restore: a backup taken under load has all that was acknowledged before it began, and nothing never sent', async () => {
    const restored = join(work, 'restored-early');
    expect(await restore(early, restored)).toBe('restored');
    const node = await RunningNode.start({ catalog, data: restored });
    const peer = await WirePeer.connect(node.url);
    let isEarlier = false;
    for (const { profile, record } of await recordsOf(peer, writer.profiles)) {
      const { count } = record.counters.find((row: WireReply) => row.event === 'view');
      expect(count).toBeGreaterThanOrEqual(acknowledgedBefore.get(profile) ?? 0);
      expect(count).toBeLessThanOrEqual(writer.acknowledged.get(profile) ?? 0);
      if (count < (writer.acknowledged.get(profile) ?? 0)) isEarlier = true;
    }
    expect(isEarlier).toBe(true);
    expect(await node.stop()).toBe(0);
  });

  it('backup without the secret: a restore asks for it, and takes no other', async () => {
    const bare = join(work, 'bare');
    const restored = join(work, 'restored-bare');
    expect(await backUp(bare, data, false)).toBe('made');
    expect(readdirSync(bare)).not.toContain('secret');
    expect(await restore(bare, restored)).toMatch(/without the secret/);
    const other = join(work, 'other-secret');
    writeFileSync(other, new Uint8Array(32));
    expect(await restore(bare, restored, { secretFile: other })).toMatch(/secret.*differs/);
    expect(existsSync(restored)).toBe(false);
    expect(await restore(bare, restored, { secretFile: join(data, 'secret') })).toBe('restored');
    expect(readFileSync(join(restored, 'secret'))).toEqual(readFileSync(join(data, 'secret')));
  });

  it('restore: refuses a folder that holds anything; with --replace that one is kept beside it', async () => {
    const place = join(work, 'place');
    mkdirSync(place);
    writeFileSync(join(place, 'thesis.txt'), 'years of work');
    expect(await restore(late, place)).toMatch(/not empty.*thesis/);
    expect(readdirSync(place)).toEqual(['thesis.txt']);
    expect(await restore(late, place, { doesReplace: true })).toBe('restored');
    expect(readdirSync(place)).toContain('format');
    const aside = readdirSync(work).filter((name) => name.startsWith('place.before-restore-'));
    expect(aside).toHaveLength(1);
    expect(readdirSync(join(work, aside[0] ?? ''))).toEqual(['thesis.txt']);
  });

  it('backup: refuses a folder that is not empty, and one that no node has run on', async () => {
    expect(await backUp(late)).toMatch(/not empty/);
    expect(await backUp(join(work, 'never'), temporaryFolder('empty'))).toMatch(/not a data folder/);
    expect(existsSync(join(work, 'never'))).toBe(false);
  });

  it.each(['format', 'secret', 'store/data.mdb', 'backup.json'])(
    'a backup with one byte of %s changed: verify says so, restore refuses it and leaves nothing',
    async (name) => {
      const copy = join(temporaryFolder('flipped'), 'backup');
      cpSync(late, copy, { recursive: true });
      const bytes = readFileSync(join(copy, name));
      const at = name === 'backup.json' ? bytes.indexOf('"sha256"') + 15 : bytes.length >> 1;
      bytes[at] = bytes[at] === 0x61 ? 0x62 : 0x61;
      writeFileSync(join(copy, name), bytes);
      expect((await verify(copy)).findings.map(({ kind }) => kind)).toContain('file');
      expect(await restore(copy, join(dirname(copy), 'data'))).toMatch(/backup|backed up/);
      expect(readdirSync(dirname(copy))).toEqual(['backup']);
    },
  );

  it('backup and restore killed half-way: nothing stands in their place, and the next one clears away', async () => {
    const folder = temporaryFolder('killed');
    const place = join(folder, 'place');
    for (const words of [
      ['backup', place, '--data', data],
      ['restore', late, '--data', place],
    ]) {
      const program = new StartedProgram(words);
      const isHalf = (): boolean => readdirSync(folder).some((name) => name.startsWith('place.'));
      await Promise.race([until(isHalf), program.ended]);
      await program.kill();
      expect(existsSync(place)).toBe(false);
      expect(isHalf()).toBe(true);
      expect(await (words[0] === 'backup' ? backUp(place) : restore(late, place))).toMatch(/made|restored/);
      expect(readdirSync(folder)).toEqual(['place']);
      rmSync(place, { recursive: true });
    }
  });

  it('a full disk: neither backup nor restore leaves a half folder', async (context) => {
    const needed = statSync(join(late, 'store', 'data.mdb')).size;
    const disk = mountSmallDisk(Math.floor(needed / 2));
    if (disk === undefined) return context.skip();
    try {
      const place = join(disk.path, 'place');
      expect(await backUp(place)).toMatch(/[Nn]o space left/);
      expect(await restore(late, place)).toMatch(/no space left/);
      expect(readdirSync(disk.path)).toEqual([]);
    } finally {
      disk.unmount();
    }
  });
});

describe('verify', () => {
  /** A copy of the stopped folder, changed through LMDB itself with right checksums: only the contents lie. */
  async function changed(
    change: (database: (name: string) => RawDatabase) => Promise<void>,
  ): Promise<{ readonly findings: readonly Finding[]; readonly totals: StoreTotals }> {
    const copy = join(temporaryFolder('changed'), 'data');
    cpSync(data, copy, { recursive: true });
    const root = openRaw<Uint8Array, Uint8Array>({ path: join(copy, 'store'), noSubdir: false, ...BINARY });
    await change((name) => root.openDB<Uint8Array, Uint8Array>(name, BINARY));
    await root.close();
    const findings: Finding[] = [];
    const onFinding = (finding: Finding): void => void findings.push(finding);
    const totals = await verifyStore({ ...options, storePath: join(copy, 'store'), isLive: false, onFinding });
    return { findings, totals };
  }

  it('verify: the stopped folder is whole, its budgets balance, and it is not changed by looking', async () => {
    const before = readFileSync(join(data, 'store', 'data.mdb'));
    const { code, out } = await opportune('verify', '--data', data, '--json');
    const { findings, totals } = JSON.parse(out) as { findings: Finding[]; totals: StoreTotals }; // what it prints
    expect({ code, findings }).toEqual({ code: 0, findings: [] });
    const ledger = totals.ledger as NonNullable<StoreTotals['ledger']>; // compared, or the next line fails
    expect(ledger).toMatchObject({ isShareCompared: true, expired: 0 });
    expect(ledger.granted).toBe(ledger.confirmed + ledger.released + ledger.open);
    expect(ledger.confirmed).toBe(10 * 100);
    expect(ledger.released).toBeGreaterThanOrEqual(5 * 100);
    expect(ledger.open).toBeGreaterThan(0);
    expect(readFileSync(join(data, 'store', 'data.mdb')).equals(before)).toBe(true);
  });

  it('verify: a value with a flipped bit is named by its database and key', async () => {
    const { findings } = await changed(async (database) => {
      const records = database('records');
      const [first] = [...records.getRange({ limit: 1 })];
      const value = Buffer.from(first?.value ?? []);
      value[100] = (value[100] ?? 0) ^ 1;
      await records.put(first?.key ?? Buffer.alloc(0), value);
    });
    expect(findings).toContainEqual(
      expect.objectContaining({ kind: 'value', where: expect.stringMatching(/"records", key [0-9a-f]{22}/) }),
    );
  });

  it('verify: batches that are missing from the log are found by the entries behind them', async () => {
    const { findings } = await changed(async (database) => {
      const journal = database('journal');
      const keys = [...journal.getKeys()];
      // Hundreds of batches, some of them without an entry of a person: of so many not all.
      const middle = keys.slice(Math.floor(keys.length / 8), Math.floor(keys.length / 4));
      for (const key of middle) await journal.remove(key);
    });
    expect(findings.some(({ kind, what }) => kind === 'log' && what.includes('is missing'))).toBe(true);
  });

  it('verify: the end of the log missing is found by the records, which are ahead of it', async () => {
    const { findings } = await changed(async (database) => {
      const journal = database('journal');
      const last = [...journal.getKeys({ start: encodeJournalKey(1, 1, 0, 0) })].slice(-30);
      for (const key of last) await journal.remove(key);
    });
    expect(findings.some(({ kind, what }) => kind === 'record' && what.includes('the log ends at'))).toBe(true);
  });

  it.each([
    ['gone', /the record is missing/],
    ['older', /the checkpoints say that it holds/],
    ["another person's", /not that of the person its key names/],
  ])('verify: a record that is %s', async (how, what) => {
    const { findings } = await changed(async (database) => {
      const records = database('records');
      const [first, second] = [...records.getRange({ limit: 2 })] as { key: Uint8Array; value: Uint8Array }[];
      if (first === undefined || second === undefined) throw new Error('no records');
      if (how === 'gone') await records.remove(first.key);
      else if (how === 'older')
        await records.put(
          first.key,
          resealed(first.value, (view) => view.setUint32(FIELD.stateSeq, 1, true)),
        );
      else await records.put(first.key, second.value);
    });
    expect(findings.map((finding) => finding.what).join('\n')).toMatch(what);
  });

  it('verify: a share of a budget that the log does not bear out', async () => {
    const { findings } = await changed(async (database) => {
      const meta = database('meta');
      for (const { key, value } of [...meta.getRange()]) {
        if (!Buffer.from(key).toString().startsWith('checkpoint:')) continue;
        const text = Buffer.from(value.subarray(0, value.length - SEAL_BYTES)).toString();
        await meta.put(
          key,
          sealedCopy(Buffer.from(text.replace(/"held":(\d+)/, (_, held) => `"held":${Number(held) + 100}`))),
        );
      }
    });
    expect(findings.map(({ kind }) => kind)).toContain('ledger');
    expect(findings[0]?.what).toMatch(/the checkpoints say held \d+, spent \d+; the log makes it held \d+/);
  });

  it('verify: a lease in a record that the log knows nothing of', async () => {
    const { findings } = await changed(async (database) => {
      const records = database('records');
      for (const { key, value } of [...records.getRange()]) {
        const view = new DataView(value.buffer, value.byteOffset, value.length);
        if (view.getUint16(FIELD.leaseCount, true) > 0)
          await records.put(
            key,
            resealed(value, (changedView) => changedView.setUint16(FIELD.leaseCount, 0, true)),
          );
      }
    });
    expect(findings.map(({ what }) => what).join('\n')).toMatch(
      /its leases hold 0 of subject [0-9a-f]{8}, and by the log/,
    );
  });

  it("verify: a damaged snapshot of models and a secret that is not the folder's", async () => {
    const copy = join(temporaryFolder('damaged'), 'data');
    cpSync(data, copy, { recursive: true });
    const model = join(copy, 'models', readdirSync(join(copy, 'models'))[0] ?? '');
    writeFileSync(model, readFileSync(model).subarray(0, 100));
    writeFileSync(join(copy, 'secret'), new Uint8Array(32));
    const { findings } = await verify(copy);
    expect(findings.map(({ where }) => basename(where))).toEqual(
      expect.arrayContaining([basename(copy), basename(model)]),
    );
  });

  it('verify: a data file cut off ends its reader by a signal, which is said and not suffered', async () => {
    const copy = join(temporaryFolder('cut'), 'data');
    cpSync(data, copy, { recursive: true });
    const file = join(copy, 'store', 'data.mdb');
    writeFileSync(file, readFileSync(file).subarray(0, 5 * 4096));
    const { code, out } = await opportune('verify', '--data', copy);
    expect({ code, out }).toMatchObject({ code: 1, out: /not whole/ });
    expect(out).toMatch(/reading them ended the reader by signal|damaged/);
  });
});

const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;
type RawDatabase = Database<Uint8Array, Uint8Array>;

function resealed(value: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const payload = Uint8Array.from(value.subarray(0, value.length - SEAL_BYTES));
  change(new DataView(payload.buffer));
  return sealedCopy(payload);
}

describe('a node with tenants', () => {
  const several = join(work, 'several');
  const made = join(work, 'several-backup');
  beforeAll(() => {
    for (const path of ['', 'tenants/acme', 'tenants/beta']) cpSync(early, join(several, path), { recursive: true });
    for (const path of ['', 'tenants/acme', 'tenants/beta']) rmSync(join(several, path, 'backup.json'));
    mkdirSync(join(several, 'tenants', 'Not a tenant'));
  });

  it('backup, verify and restore: everybody is in it, whole', async () => {
    expect(await backUp(made, several)).toBe('made');
    const verified = await verify(made);
    expect(verified.findings).toEqual([]);
    expect(verified.tenants.map(({ name, totals }) => [name, totals?.records])).toEqual([
      ['acme', verified.totals?.records],
      ['beta', verified.totals?.records],
    ]);
    expect(await restore(made, join(work, 'several-restored'))).toBe('restored');
    const restored = await verify(join(work, 'several-restored'));
    expect([restored.findings, restored.tenants.map(({ name }) => name)]).toEqual([[], ['acme', 'beta']]);
    expect(logOf(join(work, 'several-restored', 'tenants', 'beta'))).toBe(logOf(early));
  });

  it("one tenant's part damaged or gone: nothing is restored, and it is named", async () => {
    const broken = join(work, 'several-broken');
    cpSync(made, broken, { recursive: true });
    rmSync(join(broken, 'tenants', 'acme', 'format'));
    expect(await restore(broken, join(work, 'several-never'))).toMatch(/tenants\/acme\/format is missing/);
    expect(existsSync(join(work, 'several-never'))).toBe(false);
    expect((await verify(broken)).findings.map(({ where }) => where)).toContain(join(broken, 'tenants/acme/format'));
    const manifest = readFileSync(join(broken, 'backup.json'), 'utf8');
    writeFileSync(join(broken, 'backup.json'), manifest.replaceAll('tenants/acme/secret', 'tenants/beta/secret'));
    expect(await restore(broken, join(work, 'several-never'))).toMatch(/names no tenants\/acme\/secret/);
  });

  it('without the secrets: asked for as a folder, one file is not enough', async () => {
    const bare = join(work, 'several-bare');
    expect(await backUp(bare, several, false)).toBe('made');
    expect(existsSync(join(bare, 'tenants', 'acme', 'secret'))).toBe(false);
    const place = join(work, 'several-from-bare');
    expect(await restore(bare, place, { secretFile: join(several, 'secret') })).toMatch(
      /3 tenants, each with a secret/,
    );
    expect(await restore(bare, place, { secretFile: several })).toBe('restored');
    expect(readFileSync(join(place, 'tenants', 'beta', 'secret'))).toEqual(readFileSync(join(early, 'secret')));
  });
});
