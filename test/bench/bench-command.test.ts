/** The whole command against a small server on this thread: exit codes, what is printed, what is kept. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BenchEnvironment, runBench } from '../../bench/bench-command.ts';
import { parseBenchOptions } from '../../bench/bench-options.ts';
import { type BenchResult, figuresOf, median } from '../../bench/bench-result.ts';
import { launchHere } from '../../bench/generator-fleet.ts';
import {
  answerPlainly,
  errorReply,
  FAULTS,
  type FakeBehaviour,
  type FakeServer,
  startFakeServer,
} from './fake-server.ts';
import { histogramOf, loadResult } from './load-result-fixture.ts';

let folder = '';
const servers: FakeServer[] = [];
let out = '';
let complaint = '';
const echoes: { transport: string; replyBytes: number; isStopped: boolean }[] = [];

const environment: BenchEnvironment = {
  writeOut: (text) => {
    out += text;
  },
  writeError: (text) => {
    complaint += text;
  },
  isTerminal: false,
  token: null,
  launch: launchHere,
  startEcho: async (transport, replyBytes) => {
    const server = await fake();
    const echo = { transport, replyBytes, isStopped: false };
    echoes.push(echo);
    return {
      url: server.url,
      transport,
      stop: async () => {
        echo.isStopped = true;
      },
    };
  },
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-'));
  out = '';
  complaint = '';
  echoes.length = 0;
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  rmSync(folder, { recursive: true });
});

async function fake(behaviour: FakeBehaviour = {}): Promise<FakeServer> {
  const server = await startFakeServer(behaviour);
  servers.push(server);
  return server;
}

const QUICK = { seconds: '0.2', warmup: '0', connections: '2', inFlight: '2', profiles: '64', rate: '200' };

describe('runBench', () => {
  it('bench: populates, measures, prints a report and keeps the result', async () => {
    const { url, requests } = await fake();
    const json = join(folder, 'result.json');
    const hgrm = join(folder, 'result.hgrm');
    const code = await runBench({ ...QUICK, url, json, hgrm, slo: ['p99=10s', 'errors=0%'] }, environment);
    expect(complaint).toBe('');
    expect(code).toBe(0);
    expect(out).toMatch(/verdict {3}PASSED/);
    expect(out).toMatch(/host {6}.+cores.+Node v/);
    expect(out).toContain('open loop');
    expect(out).toContain('fake 1.0');
    expect(out).toMatch(/answer checksum [0-9a-f]{8}/);
    // hello, one probe, 64 profiles, 40 measured.
    expect(requests).toHaveLength(1 + 1 + 64 + 40);
    const result = JSON.parse(readFileSync(json, 'utf8')) as BenchResult; // the bench's own file
    expect(result.schema).toBe('opportune-bench/1');
    expect(result.figures['open.p99']?.values).toHaveLength(1);
    expect(result.verdict.kind).toBe('PASSED');
    expect(readFileSync(hgrm, 'utf8')).toMatch(/Percentile/);
  });

  it('bench: a scenario without a price names no product, in the load as in populating', async () => {
    const { url, requests } = await fake();
    expect(await runBench({ ...QUICK, url, scenario: 'action' }, environment)).toBe(0);
    const decides = requests.filter(({ op }) => op === 'decide');
    expect(decides.length).toBeGreaterThan(64);
    expect(decides.filter(({ sku }) => sku !== undefined)).toEqual([]);
    expect(decides.at(-1)?.want).toEqual(['action']);
  });

  it('bench: exits with 1 when the server misses an objective', async () => {
    const { url } = await fake({ delayMillis: () => 80 });
    const code = await runBench({ ...QUICK, url, populate: false, slo: ['p50=1ms'] }, environment);
    expect(code).toBe(1);
    expect(out).toMatch(/SLO FAILED\n\s+p50 \d+\.\d+ ms, objective 1\.000 ms/);
  });

  it('bench: exits with 2 when nobody listens, saying how to start a server', async () => {
    const { url, close } = await startFakeServer();
    await close();
    expect(await runBench({ ...QUICK, url }, environment)).toBe(2);
    expect(complaint).toContain('cannot connect');
    expect(complaint).toContain('npm start');
  });

  it('bench: exits with 2 and the server’s words when the request itself is refused', async () => {
    const { url } = await fake({
      answer: (request) =>
        request.op === 'decide'
          ? errorReply(request.id, FAULTS.unknownSlot, 'slot "home" is not in the catalog')
          : answerPlainly(request),
    });
    expect(await runBench({ ...QUICK, url }, environment)).toBe(2);
    expect(complaint).toContain('NOT_FOUND 1301: slot "home" is not in the catalog');
  });

  it('bench: takes the bench catalog’s product where the sample one is unknown', async () => {
    const { url, requests } = await fake({
      answer: (request) =>
        request.sku === 'espresso-1kg'
          ? errorReply(request.id, FAULTS.unknownSku, 'unknown sku')
          : answerPlainly(request),
    });
    expect(await runBench({ ...QUICK, url, populate: false }, environment)).toBe(0);
    expect(requests.at(-1)?.sku).toBe('bench-product');
    expect(await runBench({ ...QUICK, url, populate: false, sku: 'espresso-1kg' }, environment)).toBe(2);
  });

  it('bench: exits with 2 on a nonsense flag', async () => {
    expect(await runBench({ rate: 'fast' }, environment)).toBe(2);
    expect(complaint).toContain('--rate is fast');
  });

  it('bench: echo runs the same load on a server with this reply’s size and prints the ratio', async () => {
    const { url } = await fake();
    const json = join(folder, 'echo.json');
    const code = await runBench({ ...QUICK, url, populate: false, echo: true, json }, environment);
    expect(code).toBe(0);
    expect(echoes).toEqual([
      { transport: 'uws', replyBytes: answerPlainly({ id: 7, op: 'decide' }).length, isStopped: true },
    ]);
    expect(out).toMatch(/against a bare echo server: throughput \d+\.\d\d ×, p99 \d+\.\d\d ×, p99\.9 \d+\.\d\d ×/);
    const { runs } = JSON.parse(readFileSync(json, 'utf8')) as BenchResult; // the bench's own file
    expect(runs[0]?.phases.map((phase) => phase.name)).toEqual(['peak', 'echoPeak', 'open', 'echoOpen']);
  });

  it('bench: find-max with an objective searches below the peak and names the best rate', async () => {
    const { url } = await fake();
    const code = await runBench(
      {
        ...QUICK,
        rate: undefined,
        seconds: '0.1',
        url,
        populate: false,
        findMax: true,
        slo: ['p99=10s', 'errors=100%'],
      },
      environment,
    );
    expect(code).toBe(0);
    expect(out).toContain('peak, closed loop');
    expect(out).toMatch(/highest rate that met the objectives: [\d,]+\/s/);
  });

  it('bench: json to standard output leaves it parseable', async () => {
    const { url } = await fake();
    await runBench({ ...QUICK, url, populate: false, runs: '2', json: '-' }, environment);
    const result = JSON.parse(out) as BenchResult; // the bench's own output
    expect(result.runs).toHaveLength(2);
    expect(result.figures['open.p50']?.values).toHaveLength(2);
    expect(complaint).toContain('run 2 of 2');
  });

  it('bench: a token is sent but not kept', async () => {
    const { url } = await fake();
    await runBench({ ...QUICK, url, populate: false, json: '-' }, { ...environment, token: 'sesame' });
    expect(out).not.toContain('sesame');
    expect(() => parseBenchOptions({ token: 'sesame' })).toThrow('not a flag');
  });
});

describe('compare', () => {
  function write(name: string, p99s: readonly number[], rates: readonly number[]): string {
    const file = join(folder, name);
    const runs = p99s.map((p99, i) => ({
      phases: [
        {
          name: 'open' as const,
          offeredPerSecond: rates[i] ?? 1,
          result: loadResult({ latency: histogramOf([p99]), succeeded: rates[i] ?? 1 }),
          verdict: { kind: 'MEASURED' as const, reasons: [] },
        },
      ],
    }));
    writeFileSync(file, JSON.stringify({ schema: 'opportune-bench/1', figures: figuresOf(runs) }));
    return file;
  }

  it('compare: ratios per figure, and a word where the ranges are apart', async () => {
    const a = write('a.json', [100, 110, 120], [1000, 1010, 1020]);
    const b = write('b.json', [200, 220, 240], [1015, 1025, 1035]);
    expect(await runBench({ compare: [a, b] }, environment)).toBe(0);
    expect(out).toMatch(/open\.p99 +110 µs +220 µs +2\.000 × +worse/);
    expect(out).toMatch(/open\.rate +1,010 answers\/s +1,025 answers\/s +1\.015 × +same/);
  });

  it('compare: a missing file, another schema and a file that is no result are refused', async () => {
    const a = write('a.json', [1], [1]);
    const other = join(folder, 'other.json');
    writeFileSync(other, JSON.stringify({ schema: 'opportune-micro/1', figures: {} }));
    const none = join(folder, 'none.json');
    writeFileSync(none, '{"figures":{}}');
    for (const [files, part] of [
      [[a, join(folder, 'absent.json')], 'ENOENT'],
      [[a, other], 'cannot be compared'],
      [[a, none], 'not a result'],
    ] as const) {
      complaint = '';
      expect(await runBench({ compare: files }, environment)).toBe(2);
      expect(complaint).toContain(part);
    }
  });

  it('median: odd, even and none', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });
});
