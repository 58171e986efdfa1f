/**
 * The result for people: a line for the machine, a row a peer with its ratio to Opportune, and under it what the
 * rows do not say by themselves. A peer without figures has its reason in their place.
 */

const COLUMNS = [
  'peer',
  'peak/s',
  '× Opp.',
  'p50',
  'p99',
  'CPU µs',
  '× Opp.',
  'open p50',
  'open p99',
  '× Opp.',
  'durability',
];
const TEXT_COLUMNS = ['peer', 'durability'];

/** @param {number} value */
const count = (value) => Math.round(value).toLocaleString('en-US');
/** @param {number} micros */
const millis = (micros) => `${(micros / 1000).toFixed(micros < 10_000 ? 2 : 1)} ms`;
/** @param {number | null | undefined} value @param {number | null | undefined} base */
const ratio = (value, base) => (value == null || base == null || base === 0 ? '-' : (value / base).toFixed(2));

export function peersText({ host, settings, ratePerSecond, rows }) {
  const ours = rows.find((row) => row.name === 'opportune' && row.reason === null);
  const table = [COLUMNS];
  const notes = [];
  for (const { title, reason, peak, open, durability, generator } of rows) {
    if (reason !== null || peak === null || open === null) {
      table.push([title, 'not measured', ...Array(8).fill(''), reason ?? 'not asked']);
      continue;
    }
    table.push([
      title,
      count(peak.perSecond),
      ratio(peak.perSecond, ours?.peak.perSecond),
      millis(peak.p50Micros),
      millis(peak.p99Micros),
      peak.processorMicros === null ? '-' : count(peak.processorMicros),
      ratio(peak.processorMicros, ours?.peak.processorMicros),
      millis(open.p50Micros),
      millis(open.p99Micros),
      ratio(open.p99Micros, ours?.open.p99Micros),
      durability,
    ]);
    const failed = peak.failed + open.failed === 0 ? '' : `; ${count(peak.failed + open.failed)} requests failed`;
    notes.push(`  ${title}: asked by ${generator} (${peak.generatorCpuShare.toFixed(2)} cores at the peak)${failed}`);
  }
  const widths = COLUMNS.map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) =>
        TEXT_COLUMNS.includes(COLUMNS[column] ?? '') ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd(),
  );
  return `${[
    `${host.cores} × ${host.cpuModel}, ${host.platform}, Node ${host.node}, load ${host.loadAverage.toFixed(1)}, ${host.at}`,
    `peak: closed loop, ${settings.connections} connections, 1 in flight each; open: ${count(ratePerSecond)}/s, from when due; ` +
      `${count(settings.profiles)} profiles, Zipf ${settings.zipf}; ${settings.runs} × ${settings.seconds} s`,
    'CPU: processor time a decision of all its processes at the peak, generator apart; it holds on a busy machine too',
    '',
    ...lines,
    '',
    ...notes,
    '',
  ].join('\n')}`;
}
