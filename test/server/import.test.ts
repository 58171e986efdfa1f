/** `opportune import` into the running server: each row once, whatever happens to file or importer; bad rows are named. */
import { existsSync, readFileSync, statSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MESSAGES_MAX } from '../../actors/record-layout.ts';
import { run, STEP_ROWS } from '../../server/commands/import.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, StartedProgram, temporaryFolder, until } from './running-node.ts';
import { sampleOfEventsOnly, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const folder = temporaryFolder('import');
const HEADER = 'order_id,customer_id,ordered_at,status,total,currency,tier';
let node: RunningNode;
let peer: WirePeer;
beforeAll(async () => {
  node = await RunningNode.start({ catalog: writeCatalog(sampleOfEventsOnly()) });
  peer = await WirePeer.connect(node.url);
});
afterAll(async () => {
  peer.close();
  await node.stop();
});

interface Report {
  readonly rows: number;
  readonly events: number;
  readonly identified: number;
  readonly duplicates: number;
  readonly skipped: number;
  readonly rejected: number;
  readonly problem: string | null;
  readonly rejects: string | null;
  readonly reasons: readonly unknown[];
  readonly examples?: readonly unknown[];
}
function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
async function imported(
  path: string,
  mapping = 'shop-orders',
  more: Record<string, boolean> = {},
): Promise<Report & { code: number }> {
  const options = { mapping: `mappings/import/${mapping}.yaml`, url: node.url, json: true, ...more };
  const { code, out } = await runCommand(run, [path], options);
  return { ...(JSON.parse(out) as Report), code }; // what it prints
}
const seqOf = async (profile: string): Promise<number> => (await peer.must({ op: 'profile', profile })).stateSeq;

it('orders: each once, twice imported too; skipped rows are nothing, bad rows are named and the rest is taken', async () => {
  const path = fileOf(
    'orders.csv',
    [
      HEADER,
      '1,imp-ann,2026-11-01 10:00:00,paid,19.99,EUR,G',
      '2,imp-bob,2026-11-02T10:00:00+02:00,cancelled,5,EUR,',
      '3,imp-bob,2026-11-02,paid,1200,JPY,S',
      '4,imp-bob,yesterday,paid,5,EUR,',
      '5,imp-bob,2026-11-02,paid,five,EUR,',
      '6,imp-bob,2026-11-02,paid,5,QQQ,',
      '7,,2026-11-02,paid,5,EUR,',
      '8,imp-bob,2026-11-02,paid',
      '9,"imp-bob",2026-11-03,paid,7.5,EUR,X',
      '',
    ].join('\r\n'),
  );
  const first = await imported(path);
  expect(first).toMatchObject({ rows: 9, events: 2, duplicates: 0, skipped: 1, rejected: 6, problem: null, code: 1 });
  const rejects = readFileSync(`${path}.rejects.ndjson`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { line: number; reason: string });
  expect(rejects.map(({ line }) => line).sort()).toEqual([10, 5, 6, 7, 8, 9]);
  expect(rejects.find(({ line }) => line === 5)?.reason).toBe('ordered_at: is no instant (iso)');
  expect(rejects.find(({ line }) => line === 10)?.reason).toMatch(/loyalty/);
  const { record } = await peer.must({ op: 'profile', profile: 'imp-ann' });
  expect(record.traits).toEqual({ loyalty: 'gold' });
  const purchase = record.timeline.find(({ event }: { event: string }) => event === 'purchase');
  expect(purchase).toMatchObject({
    eventAtEpochMillis: Date.UTC(2026, 10, 1, 9),
    properties: { revenueMinor: 1999, currency: 'EUR' },
  });
  const before = (await peer.must({ op: 'profile', profile: 'imp-ann' })).record.timeline.length;
  expect(await imported(path)).toMatchObject({ events: 2, duplicates: 2 });
  expect(
    (await peer.must({ op: 'profile', profile: 'imp-ann' })).record.timeline.filter(
      ({ type }: { type: string }) => type === 'event',
    ),
  ).toHaveLength(1);
  expect(before).toBeGreaterThan(0);
  expect(existsSync(`${path}.import.json`)).toBe(false);
});

it('NDJSON, compressed, and broken off: what came before is imported, and where it broke is said', async () => {
  const lines = Array.from({ length: 300 }, (_, i) =>
    JSON.stringify({ user: { id: 'imp-web' }, at: 1_764_000_000_000 + i, page: `/${i}`, ms: i }),
  );
  const path = fileOf('web.ndjson.gz', gzipSync(`${lines.join('\n')}\nnot json\n[1]\n${'x'.repeat(300_000)}\n`));
  expect(await imported(path, 'web-log')).toMatchObject({ rows: 303, events: 300, rejected: 3, code: 1 });
  expect(await seqOf('imp-web')).toBe(300);
  const whole = gzipSync(
    `${Array.from({ length: 50_000 }, (_, i) => JSON.stringify({ user: { id: 'imp-cut' }, at: 1_764_000_000_000, page: `/${i}` })).join('\n')}\n`,
  );
  const cut = fileOf('cut.ndjson.gz', whole.subarray(0, 4_000));
  const report = await imported(cut, 'web-log');
  expect(report.problem).toMatch(/unexpected end of file/);
  expect([report.code, report.events]).toEqual([1, await seqOf('imp-cut')]);
  expect(report.events).toBeGreaterThan(100);
});

it('killed in the middle it goes on where it was, each row once; another file under the name is refused', async () => {
  const rows = Array.from({ length: 30_000 }, (_, i) => `${i},imp-k${i % 50},2026-11-01,paid,1,EUR,`);
  const path = fileOf('long.csv', `${[HEADER, ...rows].join('\n')}\n`);
  const program = new StartedProgram([
    'import',
    path,
    '--mapping',
    'mappings/import/shop-orders.yaml',
    '--url',
    node.url,
  ]);
  await until(() => existsSync(`${path}.import.json`));
  program.child.kill('SIGKILL');
  await program.ended;
  const { line } = JSON.parse(readFileSync(`${path}.import.json`, 'utf8')) as { line: number };
  expect(line).toBeLessThan(30_001);
  const report = await imported(path);
  expect([report.code, report.rows]).toEqual([0, 30_001 - line]);
  let total = 0;
  for (let i = 0; i < 50; i++) total += await seqOf(`imp-k${i}`);
  expect(total).toBe(30_000);
  const other = { line: 3, rejectsBytes: 0, digest: 'other', sizeBytes: 1, mapping: 'other' };
  writeFileSync(`${path}.import.json`, JSON.stringify(other));
  await expect(imported(path)).rejects.toMatchObject({ code: 'FILE_CHANGED' });
});

it('a dry run sends nothing and shows what it would; mappings and files that cannot be are refused by name', async () => {
  const path = fileOf('dry.csv', `${HEADER}\n1,imp-dry,2026-11-01,paid,2,EUR,\n`);
  const report = await imported(path, 'shop-orders', { dryRun: true });
  expect(report.examples).toEqual([
    {
      profile: 'imp-dry',
      traits: null,
      event: {
        event: 'purchase',
        messageId: 'order-1',
        atEpochMillis: Date.UTC(2026, 9, 31, 23),
        properties: { revenueMinor: 200, currency: 'EUR' },
      },
    },
  ]);
  expect(await seqOf('imp-dry')).toBe(0);
  const absent = fileOf('absent.csv', 'order_id,total\n1,2\n');
  await expect(imported(absent)).rejects.toMatchObject({ code: 'COLUMN_ABSENT' });
  expect(existsSync(`${absent}.import.json`)).toBe(false);
  const cut = await imported(fileOf('dry-bad.csv', `${HEADER}\n1,imp-dry,2026-02-30,paid,2,EUR,\n`), 'shop-orders', {
    dryRun: true,
  });
  expect([cut.reasons, cut.rejects]).toEqual([[{ line: 2, reason: 'ordered_at: is no instant (iso)' }], null]);
  expect((await imported(fileOf('empty.csv', ''))).rows).toBe(0);
  const bad = fileOf('bad.yaml', 'version: 1\nname: x\nprofile: { column: a }\nevnt: {}\n');
  await expect(runCommand(run, [path], { mapping: bad, url: node.url })).rejects.toMatchObject({
    code: 'MAPPING_INVALID',
  });
  await expect(imported(join(folder, 'nothing.csv'))).rejects.toMatchObject({
    code: 'NO_FILE',
  });
});

it('rejects, mended, are an export of their own; rows without an id are events of their own, however alike', async () => {
  const row = { user: { id: 'imp-mend' }, at: 1_764_000_000_000, page: '/' };
  const path = fileOf('mend.ndjson', [row, row, { ...row, at: 'noon' }].map((one) => JSON.stringify(one)).join('\n'));
  const first = await imported(path, 'web-log');
  expect(first).toMatchObject({ events: 2, duplicates: 0, rejected: 1, rejects: `${path}.rejects.ndjson` });
  const rejects = `${path}.rejects.ndjson`;
  const again = await imported(rejects, 'web-log');
  expect(again).toMatchObject({
    rows: 1,
    events: 0,
    rejected: 1,
    reasons: [{ line: 3, reason: 'at: is no instant (epochMillis)' }],
  });
  writeFileSync(rejects, readFileSync(rejects, 'utf8').replace('noon', '1764000000001'));
  expect(await imported(rejects, 'web-log')).toMatchObject({ code: 0, events: 1, duplicates: 0 });
  expect(await imported(path, 'web-log')).toMatchObject({ events: 2, duplicates: 2 });
  expect(await seqOf('imp-mend')).toBe(3);
});

it('contacts of a CRM and receipts of tills, by the mappings that come with the program', async () => {
  const contacts = fileOf(
    'contacts.csv',
    'ContactID;Status;City;Segment;Age;CustomerForDays\n77;active;"Ulm; Neu-Ulm";A;41;900\n78;deleted;Ulm;B;;\n',
  );
  expect(await imported(contacts, 'crm-contacts')).toMatchObject({ code: 0, identified: 1, skipped: 1, events: 0 });
  const { record } = await peer.must({ op: 'profile', profile: 'crm-77' });
  expect(record.traits).toEqual({ city: 'Ulm; Neu-Ulm', loyalty: 'gold', age: 41, tenureDays: 900 });
  const receipts = fileOf(
    'receipts.csv',
    [
      'Receipt;Store;SoldAt;Card;Kind;Total;Currency',
      'R1;Ulm;2026-07-01 18:03:00;5001;S;1.234,50;EUR',
      'R2;Ulm;2026-11-02 18:03:00;5001;R;19,99;EUR',
      'R3;Ulm;2026-11-02 18:04:00;;S;5,00;EUR',
      'R4;Ulm;2026-11-02 18:05:00;5001;V;5,00;EUR',
      'R5;Ulm;2026-11-02 18:06:00;5001;S;19.99;EUR',
    ].join('\n'),
  );
  expect(await imported(receipts, 'pos-receipts')).toMatchObject({
    events: 2,
    skipped: 2,
    reasons: [{ line: 6, reason: 'Total: is no money with a decimal comma' }],
  });
  const { timeline } = (await peer.must({ op: 'profile', profile: 'card-5001' })).record;
  const told = timeline.filter(({ type }: { type: string }) => type === 'event');
  expect(told).toMatchObject([
    { event: 'refund', eventAtEpochMillis: Date.UTC(2026, 10, 2, 17, 3), properties: { revenueMinor: 1999 } },
    { event: 'purchase', eventAtEpochMillis: Date.UTC(2026, 6, 1, 16, 3), properties: { revenueMinor: 123_450 } },
  ]);
});

it("a step may be sent twice and be all one person's: no more rows than message ids are remembered", () => {
  expect(STEP_ROWS).toBeLessThanOrEqual(MESSAGES_MAX);
});

it('a file of nothing but rejects is written down as it goes', async () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => `${i},imp-none,never,paid,1,EUR,`);
  const path = fileOf('rejects.csv', `${[HEADER, ...rows].join('\n')}\n`);
  const notes = new Set<number>();
  const watcher = watch(folder, (_, name) => {
    if (name === 'rejects.csv.rejects.ndjson') notes.add(statSync(`${path}.rejects.ndjson`).size);
  });
  const report = await imported(path);
  watcher.close();
  expect([report.rejected, report.events, report.reasons.length]).toEqual([20_000, 0, 10]);
  expect(readFileSync(`${path}.rejects.ndjson`, 'utf8').trim().split('\n')).toHaveLength(20_000);
  expect(notes.size).toBeGreaterThan(1);
});
