/** `start --supervise`: a server that is killed is serving again soon, and nothing acknowledged is lost. */
import { afterEach, describe, expect, it } from 'vitest';
import { monotonicMillis } from '../../workers/clock.ts';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, StartedProgram, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.terminate();
});

describe('supervised server', () => {
  it('kill -9 of the server, three times: serving again, each acknowledged event is there', async () => {
    node = await RunningNode.start({ catalog, words: ['--supervise'] });
    const writer = new EventWriter(16);
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      const peer = await WirePeer.connect(node.url);
      expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
      await writer.resend(peer);
      const target = writer.acknowledgedCount + 300;
      const writing = writer.write(peer, 16);
      await until(() => writer.acknowledgedCount > target);
      const pid = node.childPid();
      expect(pid).toBeGreaterThan(0);
      const again = node.untilServingAgain();
      const startMillis = monotonicMillis();
      process.kill(pid, 'SIGKILL');
      await again;
      await (await WirePeer.connect(node.url)).must({ op: 'decide', profile: 'after', slot: 'home' });
      times.push(monotonicMillis() - startMillis);
      await writing;
    }
    const peer = await WirePeer.connect(node.url);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    await writer.resend(peer);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    expect(Math.max(...times)).toBeLessThan(10_000);
    console.log(
      `MEASURED supervise: answering again ${times.map((millis) => Math.round(millis)).join(', ')} ms after kill -9`,
    );
    expect(node.stderr).toContain('SIGKILL');
    expect(await node.stop()).toBe(0);
  });

  it('kill -9 of the supervisor at any moment of a start: no server is left behind', async () => {
    for (const afterMillis of [0, 80, 200, 500]) {
      const words = ['start', '--supervise', '--data', temporaryFolder('data'), '--workers', '1'];
      const program = new StartedProgram([...words, '--port', '0', '--admin-port', '0', '--shard-port', '0']);
      await until(() => program.childPid() > 0);
      await new Promise((resolve) => setTimeout(resolve, afterMillis));
      // Its output ends when the server, which writes to the same pipe, has ended too.
      await program.kill();
    }
  });
});
