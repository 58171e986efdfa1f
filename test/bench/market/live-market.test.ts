/** The market as traffic of the built server, over its socket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { liveText, playLive } from '../../../bench/market/live-market.ts';
import { marketCatalogText } from '../../../bench/market/market-catalog.ts';
import { MARKET_DEFAULTS, World } from '../../../bench/market/world.ts';
import { RunningNode } from '../../server/running-node.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-market-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('live market', () => {
  it('live: visits are answered, responses and prices are counted when the server has the catalog', async () => {
    const world = new World({ ...MARKET_DEFAULTS, people: 40, days: 30 });
    const catalog = join(folder, 'market.yaml');
    writeFileSync(catalog, marketCatalogText(world));
    const node = await RunningNode.start({ workers: 1, catalog });
    let told = 0;
    const report = await playLive(world, {
      url: node.url,
      visitsMax: 120,
      concurrency: 16,
      onProgress: () => {
        told++;
      },
    });
    expect(report.visits).toBe(120);
    expect(report.ours.shown + report.control.shown).toBe(120);
    expect(report.ours.shown).toBeGreaterThan(report.control.shown);
    expect(report.ours.responses).toBeGreaterThan(0);
    expect(report.ours.valueMinor).toBeGreaterThanOrEqual(400 * report.ours.responses);
    for (const { quotedMinor, sku } of report.prices) {
      const good = world.goods.find((one) => one.sku === sku);
      expect(quotedMinor).toBeGreaterThanOrEqual(good?.floorMinor ?? Number.NaN);
      expect(quotedMinor).toBeLessThanOrEqual(good?.ceilingMinor ?? Number.NaN);
    }
    expect(told).toBeGreaterThan(4);
    expect(liveText(report)).toMatch(/^120 visits\n {2}ours +\d/);
    expect(await node.stop()).toBe(0);
  });

  it('live: fails with what the server says when it has another catalog', async () => {
    const world = new World({ ...MARKET_DEFAULTS, people: 5, days: 10 });
    const node = await RunningNode.start({ workers: 1 });
    await expect(playLive(world, { url: node.url, visitsMax: 5 })).rejects.toThrow(/catalog/);
    expect(await node.stop()).toBe(0);
  });
});
