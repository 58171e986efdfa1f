/**
 * `opportune bench`: the load harness. Goals: numbers that anyone can repeat with one command; latency
 * from the intended send time at a stated rate; a naive yardstick (a bare echo server) in the same run;
 * a verdict against objectives that never blames the server for the generator's lateness; everything
 * kept in JSON. Non-goals: finding functional defects, simulating shoppers, loading anything but the
 * WebSocket protocol, hiding a bad run by retrying it.
 *
 *     probe ─▶ populate ─▶ runs × ( peak, closed loop ─▶ echo peak ─▶ open loop ─▶ echo open loop )
 *
 * The peak is measured when it is asked for, or when the rate is a share of it. Exit codes: 0 passed or
 * measured, 1 objectives missed, 2 usage (also: no server there), 3 the generator was unfit to judge.
 */
import { realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FAULT } from '../proto/statuses.ts';
import { epochMillis } from '../workers/clock.ts';
import { benchHelp, parseBenchArguments } from './bench-arguments.ts';
import { compareResults, readComparable } from './bench-compare.ts';
import { type BenchSettings, BenchUsageError, parseBenchOptions, type RawBenchOptions } from './bench-options.ts';
import { comparisonText, count, progressLine, reportText } from './bench-report.ts';
import {
  achievedPerSecond,
  type BenchResult,
  figuresOf,
  hostFacts,
  type Phase,
  type PhaseName,
  RESULT_SCHEMA,
} from './bench-result.ts';
import { type EchoServer, type StartEcho, startEchoServer } from './echo-yardstick.ts';
import { type LaunchGenerator, launchProcess, runFleet } from './generator-fleet.ts';
import { mergeHistograms, prepareHistograms } from './latency-histogram.ts';
import type { LoadPlan, RequestPlan } from './load-plan.ts';
import { asksPrice, benchActionKey } from './load-requests.ts';
import { ConnectError } from './load-socket.ts';
import { ProbeError, type ProbeResult, probeServer } from './probe.ts';
import { EXIT, exitCodeOf, judge, judgeAll } from './verdict.ts';

const POPULATE_BATCH = 32;
const POPULATE_IN_FLIGHT = 4;
const POPULATE_MILLIS_MAX = 600_000;
const DRAIN_MILLIS = 2_000;
/** Halvings of the interval between 0 and the peak: the answer is good to 1.6 % of the peak. */
const SEARCH_STEPS = 6;

/** Where the command writes and how it starts processes; tests put their own in. */
export interface BenchEnvironment {
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** A live line is drawn on standard error only for a person. */
  readonly isTerminal: boolean;
  /** The access token, if the server asks for one. */
  readonly token: string | null;
  readonly launch: LaunchGenerator;
  readonly startEcho: StartEcho;
}

const PROCESS_ENVIRONMENT: BenchEnvironment = {
  writeOut: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
  token: process.env.OPPORTUNE_TOKEN || null,
  launch: launchProcess,
  startEcho: startEchoServer,
};

/** Runs one bench as the flags say. Resolves with the process's exit code; never throws for a user's mistake. */
export async function runBench(
  options: RawBenchOptions,
  environment: BenchEnvironment = PROCESS_ENVIRONMENT,
): Promise<number> {
  try {
    const settings = parseBenchOptions(options, environment.token);
    if (settings.compare !== null) {
      const [before, after] = settings.compare;
      const compared = compareResults(readComparable(before), readComparable(after));
      environment.writeOut(comparisonText(compared, settings.compare));
      return EXIT.passed;
    }
    await prepareHistograms();
    return await new Bench(settings, environment).run();
  } catch (error) {
    if (error instanceof BenchUsageError || error instanceof ProbeError) {
      environment.writeError(`opportune bench: ${error.message}\n`);
    } else if (error instanceof ConnectError) {
      environment.writeError(`opportune bench: ${error.message}\nStart a server with: npm start\n`);
    } else throw error;
    return EXIT.usage;
  }
}

class Bench {
  readonly #settings: BenchSettings;
  readonly #environment: BenchEnvironment;
  #request: RequestPlan;
  #phases = 0;
  #shards: LoadPlan['shards'] = null;

  constructor(settings: BenchSettings, environment: BenchEnvironment) {
    this.#settings = settings;
    this.#environment = environment;
    this.#request = {
      scenario: settings.scenario,
      slot: settings.slot,
      sku: settings.skus[0] ?? null,
      actions: Array.from({ length: settings.actions ?? 0 }, (_, i) => benchActionKey(i + 1)),
      context: settings.context,
      traits: settings.traits,
      durability: settings.durability,
      batchSize: settings.batchSize,
      decisionIdBytes: 0,
      runTag: epochMillis().toString(36),
    };
  }

  async run(): Promise<number> {
    const settings = this.#settings;
    const host = hostFacts();
    const probe = await this.#probe();
    this.#shards = probe.shards;
    const request = { ...this.#request, decisionIdBytes: probe.decisionIdBytes };
    if (settings.populate) await this.#populate();
    const echo = settings.echo ? await this.#startEcho(probe) : null;
    const runs: { phases: readonly Phase[] }[] = [];
    try {
      for (let run = 0; run < settings.runs; run += 1) runs.push({ phases: await this.#run(request, echo, run) });
    } finally {
      await echo?.stop();
    }
    const open = runs.flatMap((run) => run.phases.filter((phase) => phase.name === 'open'));
    const isSearch = settings.findMax && settings.slos.length > 0;
    const result: BenchResult = {
      schema: RESULT_SCHEMA,
      host,
      target: {
        url: settings.url,
        server: probe.server,
        replyBytes: probe.replyBytes,
        requestBytes: probe.requestBytes,
      },
      settings: { ...settings, token: settings.token === null ? null : '(given)' },
      runs,
      figures: figuresOf(runs),
      verdict: isSearch ? searchVerdict(runs) : judgeAll(open.map((phase) => phase.verdict)),
    };
    this.#write(result);
    return exitCodeOf(result.verdict.kind);
  }

  /** Asks one request of the load, with each sku in turn until the server knows it. */
  async #probe(): Promise<ProbeResult> {
    const { url, token, scenario } = this.#settings;
    const skus = asksPrice(scenario) ? this.#settings.skus : [];
    for (const sku of skus.slice(0, -1)) {
      try {
        this.#request = { ...this.#request, sku };
        return await probeServer({ url, token }, this.#request);
      } catch (error) {
        if (!(error instanceof ProbeError && error.faultCode === FAULT.unknownSku.code)) throw error;
      }
    }
    this.#request = { ...this.#request, sku: skus.at(-1) ?? null };
    return probeServer({ url, token }, this.#request);
  }

  async #populate(): Promise<void> {
    const { profiles } = this.#settings;
    // Whole batches: the last one begins again with the first keys, which does no harm.
    const requests = Math.ceil(profiles / POPULATE_BATCH) * POPULATE_BATCH;
    const title = `populating ${count(profiles)} profiles`;
    if (!this.#environment.isTerminal && profiles >= 100_000) this.#environment.writeError(`${title}\n`);
    const plan: LoadPlan = {
      ...this.#plan(
        { ...this.#request, scenario: 'populate', batchSize: POPULATE_BATCH, durability: null },
        this.#settings.url,
        0,
      ),
      loop: 'closed',
      connections: Math.min(4, this.#settings.connections),
      inFlight: POPULATE_IN_FLIGHT,
      warmupMillis: 0,
      measureMillis: POPULATE_MILLIS_MAX,
      drainMillis: POPULATE_MILLIS_MAX,
      requestCount: requests,
      // Every key in turn on any connection: the server hands on what is another shard's.
      shards: null,
      keys: { kind: 'sequential', profiles, exponent: 0, seed: 0, first: 0, stride: 1 },
    };
    const result = await runFleet(plan, 1, this.#environment.launch, (progress) => this.#live(title, progress));
    this.#endLive();
    const error = result.errors[0];
    if (error !== undefined) {
      this.#environment.writeError(
        `opportune bench: ${count(result.failed)} of ${count(requests)} profiles were not populated: ` +
          `${error.status} ${error.code}: ${error.message}\n`,
      );
    }
    const lost = result.disconnects[0];
    if (lost !== undefined && result.succeeded + result.failed < requests) {
      throw new ConnectError(
        'ECONNECT',
        `the server closed the connection while populating: ${lost.code} ${lost.reason}`,
      );
    }
  }

  async #startEcho(probe: ProbeResult): Promise<EchoServer> {
    const said = this.#settings.echoTransport;
    // Servers name their transport in `hello`; uws is the usual one.
    const transport = said ?? (/\bws\b/.test(probe.server) && !/\buws\b/i.test(probe.server) ? 'ws' : 'uws');
    return this.#environment.startEcho(transport, probe.replyBytes);
  }

  async #run(request: RequestPlan, echo: EchoServer | null, run: number): Promise<readonly Phase[]> {
    const settings = this.#settings;
    const phases: Phase[] = [];
    const isShare = settings.rate.kind === 'share';
    let peak = 0;
    if (settings.findMax || isShare || echo !== null) {
      const phase = await this.#phase('peak', request, settings.url, null, run);
      peak = achievedPerSecond(phase.result);
      phases.push(phase);
      if (echo !== null) phases.push(await this.#phase('echoPeak', request, echo.url, null, run));
    }
    if (settings.findMax) {
      if (settings.slos.length > 0) phases.push(...(await this.#search(request, peak, run)));
      return phases;
    }
    const rate =
      settings.rate.kind === 'fixed' ? settings.rate.perSecond : Math.max(1, Math.floor(peak * settings.rate.share));
    phases.push(await this.#phase('open', request, settings.url, rate, run));
    if (echo !== null) phases.push(await this.#phase('echoOpen', request, echo.url, rate, run));
    return phases;
  }

  /** Bisection on the offered rate. A rate at which the generator was unfit counts as not met. */
  async #search(request: RequestPlan, peak: number, run: number): Promise<readonly Phase[]> {
    const phases: Phase[] = [];
    let met = 0;
    let missed = peak;
    for (let step = 0; step < SEARCH_STEPS; step += 1) {
      const rate = Math.max(1, Math.floor((met + missed) / 2));
      const phase = await this.#phase('search', request, this.#settings.url, rate, run);
      phases.push(phase);
      if (phase.verdict.kind === 'PASSED') met = rate;
      else missed = rate;
    }
    return phases;
  }

  async #phase(name: PhaseName, request: RequestPlan, url: string, rate: number | null, run: number): Promise<Phase> {
    const plan = this.#plan(request, url, run);
    const title = rate === null ? name : `${name} at ${count(rate)}/s`;
    const result = await runFleet(
      rate === null ? { ...plan, loop: 'closed', inFlight: this.#settings.inFlight } : { ...plan, ratePerSecond: rate },
      this.#settings.processes,
      this.#environment.launch,
      (progress) => this.#live(title, progress),
    );
    this.#endLive();
    const isJudged = rate !== null && (name === 'open' || name === 'search');
    return {
      name,
      offeredPerSecond: rate,
      result,
      verdict: isJudged ? judge(result, this.#settings.slos) : { kind: 'MEASURED', reasons: [] },
    };
  }

  #plan(request: RequestPlan, url: string, run: number): LoadPlan {
    const settings = this.#settings;
    return {
      url,
      shards: url === settings.url && settings.shardAware ? this.#shards : null,
      token: url === settings.url ? settings.token : null,
      connections: settings.connections,
      loop: 'open',
      ratePerSecond: 1,
      inFlight: settings.window,
      warmupMillis: settings.warmupSeconds * 1000,
      measureMillis: settings.seconds * 1000,
      drainMillis: DRAIN_MILLIS,
      requestCount: null,
      keys: {
        kind: 'random',
        profiles: settings.profiles,
        exponent: settings.zipf,
        seed: settings.seed + run * 1000,
        first: 0,
        stride: 1,
      },
      // Each phase's messageIds are its own, or the second run would measure duplicates.
      request: { ...request, runTag: `${request.runTag}${(this.#phases++).toString(36)}` },
      processIndex: 0,
      processCount: 1,
      isLive: this.#environment.isTerminal,
    };
  }

  #live(title: string, progress: Parameters<typeof progressLine>[1]): void {
    if (this.#environment.isTerminal) this.#environment.writeError(`\r\x1b[2K${progressLine(title, progress)}`);
  }

  #endLive(): void {
    if (this.#environment.isTerminal) this.#environment.writeError('\r\x1b[2K');
  }

  #write(result: BenchResult): void {
    const { json, hgrm } = this.#settings;
    const text = reportText(result, this.#settings);
    if (json === '-') {
      this.#environment.writeOut(`${JSON.stringify(result, null, 2)}\n`);
      this.#environment.writeError(text);
    } else {
      this.#environment.writeOut(text);
      if (json !== null) writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
    }
    if (hgrm !== null) {
      const open = result.runs.flatMap((run) =>
        run.phases.filter((phase) => phase.name === 'open' || phase.name === 'search'),
      );
      writeFileSync(hgrm, mergeHistograms(open.map((phase) => phase.result.latency)).percentileTable());
    }
  }
}

/** A search passes when some rate met the objectives; otherwise the lowest rate tried says why. */
function searchVerdict(runs: readonly { readonly phases: readonly Phase[] }[]): BenchResult['verdict'] {
  return judgeAll(
    runs.map((run) => {
      const searched = run.phases.filter((phase) => phase.name === 'search');
      return (
        searched.find((phase) => phase.verdict.kind === 'PASSED')?.verdict ??
        searched.at(-1)?.verdict ?? { kind: 'MEASURED', reasons: [] }
      );
    }),
  );
}

/** The process `opportune bench` starts, so that it shares neither heap nor event loop with anything measured. */
async function main(words: readonly string[]): Promise<number> {
  const parsed = parseBenchArguments(words);
  if (parsed === 'help') {
    process.stdout.write(benchHelp());
    return EXIT.passed;
  }
  if (typeof parsed === 'string') {
    process.stderr.write(`opportune bench: ${parsed}\nSee opportune bench --help\n`);
    return EXIT.usage;
  }
  return runBench(parsed);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
