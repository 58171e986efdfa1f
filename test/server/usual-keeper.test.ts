/** When what is usual is measured: when its time has come, one pass at a time, and again soon after one that failed. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { USUAL_FEED } from '../../decision/usual-feed.ts';
import { UsualKeeper, type UsualKeeperOptions } from '../../server/usual-keeper.ts';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import type { UsualRow } from '../../workers/segments/measure-usual.ts';

const MINUTE = 60_000;
const ROW: UsualRow = { key: 'click 3600 s', middle: 1.5, deviation: 0.5, usual: 4, people: 60 };
const sourceWith = (abuse: string) =>
  loadCatalogText(
    `{version: 1, name: a, currency: EUR, timeZone: UTC, ${abuse} channels: {app: {}}, actions: [{key: one, channels: [app], valueMinor: 1}]}`,
    'a.yaml',
  );

/** A tenant whose feed keeps what is pushed, and a pool that answers as told. */
function tenantOf(name: string) {
  let pushedAtEpochMillis: number | null = null;
  const pushes: { rows: unknown[] }[] = [];
  const feeds = {
    list: () => [
      {
        feed: USUAL_FEED,
        version: pushes.length,
        pushedAtEpochMillis,
        rows: pushes.at(-1)?.rows.length ?? 0,
        rowsMax: 9,
        expiresAtEpochMillis: null,
      },
    ],
    keep: async (body: unknown) => {
      pushes.push(body as { rows: unknown[] }); // the keeper's own
      pushedAtEpochMillis = Date.now();
      return { taken: null, refusal: null, reason: '', problems: [] };
    },
  };
  return { name, storePath: `/data/${name}/store`, feeds, pushes };
}
const warned: unknown[] = [];
let catalog = sourceWith('abuse: {usual: {every: 1h}},');
let isServing = true;
let measured: (storePath: string) => Promise<UsualRow[]>;
const passes: string[] = [];
const run = (async (_: string, { storePath }: { storePath: string }) => {
  passes.push(storePath);
  return measured(storePath);
}) as unknown as UsualKeeperOptions['jobs']['run']; // of one job

function keeperOf(...tenants: ReturnType<typeof tenantOf>[]): UsualKeeper {
  return new UsualKeeper({
    jobs: { run },
    tenants,
    log: { info: () => undefined, warn: (...words: unknown[]) => void warned.push(words) } as never, // two of its words
    catalog: () => catalog,
    isServing: () => isServing,
  });
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  warned.length = 0;
  passes.length = 0;
  isServing = true;
  measured = async () => [ROW];
  catalog = sourceWith('abuse: {usual: {every: 1h}},');
});
afterEach(() => {
  vi.useRealTimers();
});

it('measures each tenant at once, then every hour; not while a shard is away or the catalog does not ask', async () => {
  const [one, two] = [tenantOf('one'), tenantOf('two')];
  const keeper = keeperOf(one, two);
  isServing = false;
  await keeper.look();
  isServing = true;
  const asking = catalog;
  catalog = sourceWith('');
  await keeper.look();
  expect(passes).toEqual([]);
  catalog = asking;
  await keeper.look();
  expect(passes).toEqual([one.storePath, two.storePath]);
  const { key, ...fields } = ROW;
  expect(one.pushes).toEqual([{ feed: USUAL_FEED, replace: true, rows: [{ key, fields }] }]);
  vi.advanceTimersByTime(60 * MINUTE - 1);
  await keeper.look();
  expect(passes).toHaveLength(2);
  vi.advanceTimersByTime(1);
  await keeper.look();
  expect(passes).toHaveLength(4);
  // A clock set back by more than an hour.
  vi.setSystemTime(Date.now() - 90 * MINUTE);
  await keeper.look();
  expect(passes).toHaveLength(6);
});

it('while too few people are known it looks again after a minute', async () => {
  const one = tenantOf('one');
  const keeper = keeperOf(one);
  measured = async () => [];
  for (const wait of [0, MINUTE - 1, 1]) {
    vi.advanceTimersByTime(wait);
    await keeper.look();
  }
  expect(one.pushes.map(({ rows }) => rows.length)).toEqual([0, 0]);
});

it('a pass that fails is said, leaves what was measured, and is tried again after a minute; one at a time', async () => {
  const [one, two] = [tenantOf('one'), tenantOf('two')];
  const keeper = keeperOf(one, two);
  measured = async (path) => {
    await keeper.look();
    if (path === one.storePath) throw new Error('damaged');
    return [ROW];
  };
  await keeper.look();
  expect(passes).toEqual([one.storePath, two.storePath]);
  expect([one.pushes.length, two.pushes.length]).toEqual([0, 1]);
  expect(JSON.stringify(warned)).toContain('damaged');
  vi.advanceTimersByTime(MINUTE - 1);
  await keeper.look();
  expect(passes).toHaveLength(2);
  vi.advanceTimersByTime(1);
  measured = async () => [ROW];
  await keeper.look();
  expect([one.pushes.length, two.pushes.length]).toEqual([1, 1]);
});

it('closed in the middle of a pass it pushes nothing', async () => {
  const one = tenantOf('one');
  const keeper = keeperOf(one);
  measured = async () => {
    keeper.close();
    return [ROW];
  };
  await keeper.look();
  vi.advanceTimersByTime(120 * MINUTE);
  await keeper.look();
  expect([passes.length, one.pushes.length, warned.length]).toEqual([1, 0, 0]);
});
