/** What the main thread looks at: event loops that stand still, and memory that fills. */
import { afterEach, describe, expect, it } from 'vitest';
import { FAULT } from '../../proto/statuses.ts';
import { NodeWatch } from '../../server/node-watch.ts';
import { StuckWatch } from '../../server/stuck-watch.ts';
import { COUNTER, createMetricsBuffer, MetricsReader, MetricsWriter } from '../../workers/metrics-layout.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

describe('stuck watch', () => {
  it('isStuck: only after as many looks in a row without a move as it was told', () => {
    const watch = new StuckWatch(3);
    const looks = [5, 5, 5, 6, 6, 6, 6, 6, 7].map((beats) => watch.isStuck(0, beats));
    expect(looks).toEqual([false, false, false, false, false, false, true, true, false]);
  });

  it('isStuck: each is watched alone, and anew once it was forgotten', () => {
    const watch = new StuckWatch(1);
    expect([watch.isStuck(0, 1), watch.isStuck(2, 1), watch.isStuck(0, 1), watch.isStuck(2, 2)]).toEqual([
      false,
      false,
      true,
      false,
    ]);
    watch.forget(0);
    expect([watch.isStuck(0, 1), watch.isStuck(0, 1)]).toEqual([false, true]);
  });
});

function watchOf(stuckSeconds: number) {
  const buffers = [createMetricsBuffer(), createMetricsBuffer()];
  const writers = buffers.map((buffer) => new MetricsWriter(buffer));
  const seen: string[] = [];
  const state = { bytes: 0, atWork: [true, true] };
  const watch = new NodeWatch({
    metrics: new MetricsReader(buffers),
    stuckSeconds,
    memoryBytesMax: 1_000,
    residentBytes: () => state.bytes,
    isAtWork: (shard) => state.atWork[shard] === true,
    onStuck: (shard) => seen.push(`stuck ${shard}`),
    onMemory: (isFull, bytes) => seen.push(`${isFull ? 'full' : 'eased'} ${bytes}`),
  });
  return { watch, seen, state, tick: (shard: number) => writers[shard]?.add(COUNTER.ticks, 1) };
}

describe('node watch', () => {
  it('look: names the worker that stands still, once, and no other', () => {
    const { watch, seen, tick } = watchOf(1);
    for (let n = 0; n < 4; n++) {
      tick(0);
      watch.look();
    }
    expect(seen).toEqual(['stuck 1']);
  });

  it('look: a worker that is not at work is not watched, and has its full time when it is again', () => {
    const { watch, seen, state } = watchOf(1);
    state.atWork = [false, false];
    for (let n = 0; n < 10; n++) watch.look();
    expect(seen).toEqual([]);
    state.atWork = [true, false];
    watch.look();
    watch.look();
    expect(seen).toEqual([]);
    watch.look();
    expect(seen).toEqual(['stuck 0']);
  });

  it('look: memory is full above the limit, and eased only below 95 % of it', () => {
    const { watch, seen, state, tick } = watchOf(3_600);
    for (const bytes of [999, 1_000, 1_001, 2_000, 1_000, 951, 950, 1_000, 1_001]) {
      tick(0);
      tick(1);
      state.bytes = bytes;
      watch.look();
    }
    expect(seen).toEqual(['full 1001', 'eased 950', 'full 1001']);
  });
});

describe('a server that has as much memory as it may', () => {
  let node: RunningNode | undefined;
  afterEach(async () => {
    if (node?.hasEnded === false) await node.stop();
  });

  it('memory full: open connections are told, new ones refused with 503, and health goes on', async () => {
    // No process of ours is smaller than this, so it is full from the first look on.
    node = await RunningNode.start({ catalog: writeCatalog(catalogText()), words: ['--memory-megabytes', '64'] });
    const peer = await WirePeer.connect(node.url);
    const ask = { op: 'decide', profile: 'ann', slot: 'home' };
    await until(async () => !(await peer.ask(ask)).ok);
    const reply = await peer.ask(ask);
    expect(reply).toMatchObject({ ok: false, code: FAULT.memoryFull.code, retry: 'later' });
    expect((await peer.ask({ op: 'ping' })).ok).toBe(true);
    await expect(WirePeer.connect(node.url)).rejects.toThrow();
    expect((await node.get('/healthz')).status).toBe(200);
    expect(await node.metric('opportune_sheds_total', { bound: 'memory' })).toBeGreaterThan(0);
    expect(node.stderr).toContain('memory is full');
  });
});
