/**
 * The result as text worth pasting into an issue: host line, what was asked, one row a phase, what the
 * answers were, how fit the generator was, the verdict. Units everywhere; a closed loop is labelled.
 */
import type { ComparedFigure } from './bench-compare.ts';
import type { BenchSettings } from './bench-options.ts';
import {
  achievedPerSecond,
  type BenchResult,
  bestRate,
  type HostFacts,
  type Phase,
  type PhaseName,
} from './bench-result.ts';
import { mergeHistograms } from './latency-histogram.ts';
import type { LoadProgress, LoadResult } from './load-plan.ts';
import { BUSY_SHARE_MAX } from './verdict.ts';

const SHED_STATUSES: readonly string[] = ['RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE'];

const PHASE_TITLES: { readonly [name in PhaseName]: string } = {
  peak: 'peak, closed loop',
  open: 'open loop',
  echoPeak: 'echo peak, closed loop',
  echoOpen: 'echo, open loop',
  search: 'search, open loop',
};

/** 1234567 → `1,234,567`. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Microseconds in the unit a person would choose: `87 µs`, `1.25 ms`, `2.10 s`. */
export function duration(micros: number): string {
  if (micros < 999.5) return `${micros.toFixed(0)} µs`;
  if (micros < 999_500) return `${(micros / 1000).toFixed(micros < 99_500 ? 2 : 0)} ms`;
  return `${(micros / 1_000_000).toFixed(2)} s`;
}

export function bytes(value: number): string {
  if (value < 10_000) return `${count(value)} B`;
  if (value < 10_000_000) return `${(value / 1000).toFixed(1)} kB`;
  return `${(value / 1_000_000).toFixed(1)} MB`;
}

function share(value: number): string {
  return `${(value * 100).toFixed(1)} %`;
}

export function hostLine(host: HostFacts): string {
  return `${host.cpuModel}, ${host.cores} cores, ${bytes(host.memoryBytes)}, Node ${host.node}, ${host.platform}, ${host.at}, load ${host.loadAverage.toFixed(2)}`;
}

function settingsLine(settings: BenchSettings): string {
  const keys = settings.zipf === 0 ? 'uniform' : `Zipf ${settings.zipf}`;
  const processes = settings.processes > 1 ? `, ${settings.processes} generators` : '';
  return (
    `${settings.connections} connections, ${count(settings.profiles)} profiles (${keys}), ` +
    `${settings.seconds} s after ${settings.warmupSeconds} s warm-up${processes}`
  );
}

export function progressLine(title: string, progress: LoadProgress): string {
  const failed = progress.failed > 0 ? `  ${count(progress.failed)} failed` : '';
  return (
    `${title}  ${(progress.elapsedMillis / 1000).toFixed(0)} s  ${count(progress.answered)}/s  ` +
    `p50 ${duration(progress.p50Micros)}  p99 ${duration(progress.p99Micros)}  ${progress.inFlight} in flight${failed}`
  );
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .map((line) => line.trimEnd())
    .join('\n');
}

function phaseRow(phase: Phase): readonly string[] {
  const { result } = phase;
  const isOpen = phase.offeredPerSecond !== null;
  const latency = mergeHistograms([result.latency]);
  const sheds = result.errors.reduce((sum, e) => sum + (SHED_STATUSES.includes(e.status) ? e.count : 0), 0);
  return [
    PHASE_TITLES[phase.name],
    isOpen ? count(phase.offeredPerSecond ?? 0) : '-',
    count(achievedPerSecond(result)),
    // A closed loop waits for the server: its latencies would be read as something they are not.
    ...[50, 90, 99, 99.9].map((p) => (isOpen ? duration(latency.percentile(p)) : '-')),
    isOpen ? duration(latency.maxMicros) : '-',
    count(Math.max(0, result.failed - sheds)),
    count(sheds),
    count(result.unsent + result.unanswered),
  ];
}

function serverLine(result: LoadResult): string[] {
  const server = mergeHistograms([result.serverTime]);
  if (server.count === 0) return [];
  const at = [50, 90, 99, 99.9].map((p) => `p${p} ${duration(server.percentile(p))}`).join('  ');
  return [`server    ${at}  max ${duration(server.maxMicros)} (its own time, as its replies say)`];
}

function operationLines(result: LoadResult): string[] {
  const entries = Object.entries(result.latencyByOperation);
  if (entries.length < 2) return [];
  return entries.map(([name, encoded]) => {
    const latency = mergeHistograms([encoded]);
    const at = [50, 99, 99.9].map((p) => `p${p} ${duration(latency.percentile(p))}`).join('  ');
    return `${name.padEnd(8)}  ${count(latency.count)} requests  ${at}  max ${duration(latency.maxMicros)}`;
  });
}

function outcomeLines(result: LoadResult): string[] {
  const lines = result.errors
    .slice(0, 5)
    .map(
      (e) =>
        `${SHED_STATUSES.includes(e.status) ? 'shed ' : 'error'}     ${count(e.count)} × ${e.status} ${e.code}: ${e.message}`,
    );
  for (const d of result.disconnects.slice(0, 3)) lines.push(`lost      ${d.count} connections: ${d.code} ${d.reason}`);
  if (result.heldBack > 0)
    lines.push(`held back ${count(result.heldBack)} requests left late because the in-flight limit was reached`);
  if (result.unexpectedReplies > 0)
    lines.push(`stray     ${count(result.unexpectedReplies)} replies to no request in flight`);
  const { answers } = result;
  if (answers.decisions > 0) {
    const of = (value: number): string => share(value / answers.decisions);
    lines.push(
      `answers   of ${count(answers.decisions)} decoded in full: action ${of(answers.withAction)}, price ${of(answers.withPrice)}, ` +
        `send-time ${of(answers.withSendTime)}, fallback ${of(answers.fallback)}; ${answers.distinctActions.length} distinct actions`,
    );
  }
  if (answers.malformed > 0) lines.push(`broken    ${answers.malformed} sampled replies could not be decoded`);
  lines.push(
    `bytes     ${bytes(result.sentBytes)} sent, ${bytes(result.receivedBytes)} received; answer checksum ${result.checksum.toString(16).padStart(8, '0')}`,
  );
  return lines;
}

function generatorLine(phase: Phase): string {
  const { generator } = phase.result;
  const slip = mergeHistograms([generator.sendSlip]);
  const turn = mergeHistograms([generator.turn]);
  const own =
    slip.count === 0
      ? ''
      : `, late sends p50 ${duration(slip.percentile(50))} p99 ${duration(slip.percentile(99))}, turns p99 ${duration(turn.percentile(99))}`;
  return `generator busy ${share(generator.busyShare)} of the time, ${generator.cpuShare.toFixed(2)} cores${own}`;
}

function last(phases: readonly Phase[], name: PhaseName): Phase | undefined {
  return phases.findLast((phase) => phase.name === name);
}

export function reportText(result: BenchResult, settings: BenchSettings): string {
  const lines = [
    `opportune bench  ${settings.scenario}  ${result.target.url}  ${result.target.server}`,
    `host      ${hostLine(result.host)}`,
    `load      ${settingsLine(settings)}`,
    `frames    request ${bytes(result.target.requestBytes)}, reply ${bytes(result.target.replyBytes)}`,
    '',
  ];
  const header = ['', 'offered/s', 'achieved/s', 'p50', 'p90', 'p99', 'p99.9', 'max', 'errors', 'sheds', 'unanswered'];
  result.runs.forEach((run, index) => {
    if (result.runs.length > 1) lines.push(`run ${index + 1} of ${result.runs.length}`);
    lines.push(table([header, ...run.phases.map(phaseRow)]), '');
  });
  const phases = result.runs.at(-1)?.phases ?? [];
  const main = last(phases, 'open') ?? phases.findLast((phase) => phase.name === 'search') ?? last(phases, 'peak');
  if (main !== undefined) {
    lines.push(
      ...serverLine(main.result),
      ...operationLines(main.result),
      ...outcomeLines(main.result),
      generatorLine(main),
    );
  }
  lines.push(...peakNotes(phases, settings));
  const best = bestRate(phases);
  if (best !== null) {
    lines.push(
      best > 0 ? `highest rate that met the objectives: ${count(best)}/s` : 'no rate that was tried met the objectives',
    );
  }
  lines.push(...ratioLines(result));
  if (result.runs.length > 1) lines.push('', figuresTable(result));
  lines.push('', verdictLine(result));
  return `${lines.join('\n')}\n`;
}

function peakNotes(phases: readonly Phase[], settings: BenchSettings): string[] {
  const notes: string[] = [];
  for (const phase of phases) {
    if (phase.name !== 'peak' && phase.name !== 'echoPeak') continue;
    const isBound = phase.result.generator.busyShare >= BUSY_SHARE_MAX;
    const bound = isBound
      ? `; generator-bound (busy ${share(phase.result.generator.busyShare)}), so this is a lower bound`
      : '';
    const name = phase.name === 'peak' ? 'peak      ' : 'echo peak ';
    notes.push(
      `${name}${count(achievedPerSecond(phase.result))}/s with ${settings.inFlight} in flight on each of ${settings.connections} connections${bound}`,
    );
  }
  return notes;
}

function ratioLines(result: BenchResult): string[] {
  const of = (name: string): number | undefined => result.figures[name]?.median;
  const rate = of('ratio.peak.rate');
  const p99 = of('ratio.open.p99');
  const p999 = of('ratio.open.p99.9');
  const parts = [
    ...(rate === undefined ? [] : [`throughput ${rate.toFixed(2)} ×`]),
    ...(p99 === undefined ? [] : [`p99 ${p99.toFixed(2)} ×`]),
    ...(p999 === undefined ? [] : [`p99.9 ${p999.toFixed(2)} ×`]),
  ];
  return parts.length === 0 ? [] : [`against a bare echo server: ${parts.join(', ')}`];
}

function figuresTable(result: BenchResult): string {
  const rows = Object.entries(result.figures).map(([name, figure]) => [
    name,
    quantity(figure.median, figure.unit),
    quantity(figure.min, figure.unit),
    quantity(figure.max, figure.unit),
  ]);
  return table([['figure', 'median', 'lowest', 'highest'], ...rows]);
}

function quantity(value: number, unit: string): string {
  if (unit === 'µs') return duration(value);
  if (unit === 'share') return share(value);
  if (unit === 'ns') return `${value.toFixed(1)} ns`;
  return `${value >= 100 ? count(value) : value.toFixed(2)} ${unit}`;
}

function verdictLine(result: BenchResult): string {
  const { kind, reasons } = result.verdict;
  if (kind === 'MEASURED') return 'verdict   measured (no --slo was given)';
  if (kind === 'PASSED') return 'verdict   PASSED: every objective was met';
  const head = kind === 'SLO_FAILED' ? 'SLO FAILED' : 'GENERATOR SATURATED: this says nothing about the server';
  return [`verdict   ${head}`, ...reasons.map((reason) => `          ${reason}`)].join('\n');
}

export function comparisonText(compared: readonly ComparedFigure[], names: readonly [string, string]): string {
  const rows = compared.map((one) => [
    one.name,
    quantity(one.before, one.unit),
    quantity(one.after, one.unit),
    Number.isNaN(one.ratio) ? '-' : `${one.ratio.toFixed(3)} ×`,
    one.change,
  ]);
  return `A ${names[0]}\nB ${names[1]}\n${table([['figure', 'A', 'B', 'B / A', ''], ...rows])}\n`;
}
