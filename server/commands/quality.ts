/**
 * `opportune quality`: how good what is known of people is (completeness by trait, validity, freshness, one score), and what
 * came from where: accepted, brought into its one form, flagged, refused by why. Reads a data folder, also beside the node
 * that writes it, whose newest counts of sources are ten seconds old at most.
 */
import { join } from 'node:path';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import { readCatalogText } from '../../workers/catalog/catalog-text.ts';
import { epochMillis } from '../../workers/clock.ts';
import { countProfiles, type ProfilesQuality } from '../../workers/quality/count-profiles.ts';
import { type SourceQuality, sourceQuality } from '../../workers/quality/source-report.ts';
import { keptSources } from '../../workers/quality/source-tallies.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, type FolderConfig, recordCommand } from './command-audit.ts';
import { openLog } from './log.ts';
import { ProgressLine } from './progress-line.ts';
import {
  createPaint,
  formatBar,
  formatCount,
  formatDistance,
  formatShare,
  formatTable,
  type Paint,
} from './terminal-text.ts';

const BAR_CHARACTERS = 24;

interface Report {
  readonly profiles: ProfilesQuality;
  readonly sinceEpochMillis: number | null;
  readonly sources: readonly SourceQuality[];
}

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const path = textOption(options, 'catalog') ?? config.catalog;
  const catalog = loadCatalogText(await readCatalogText(path), path);
  const storePath = join(config.data, 'store');
  const kept = await sourcesOf(config, storePath);
  const now = epochMillis();
  const progress = new ProgressLine(io);
  let profiles: ProfilesQuality;
  try {
    profiles = await countProfiles({ storePath, catalog, nowEpochMillis: now }, (read, total) =>
      progress.show('looking at people', read, total),
    );
  } finally {
    progress.end();
  }
  const report: Report = { profiles, sinceEpochMillis: kept.sinceEpochMillis, sources: sourceQuality(kept.rows) };
  const paint = createPaint(io.hasColour);
  if (options.json === true) io.out(`${JSON.stringify({ atEpochMillis: now, ...report })}\n`);
  else io.out(`${[...profileLines(report.profiles, paint), '', ...sourceLines(report, paint, now)].join('\n')}\n`);
  return EXIT.ok;
}

async function sourcesOf(config: FolderConfig, storePath: string): Promise<ReturnType<typeof keptSources>> {
  const reader = openLog(storePath);
  try {
    await recordCommand(config, { kind: 'access', detail: { command: 'quality' } });
    return keptSources(reader);
  } finally {
    await reader.close();
  }
}

function profileLines(profiles: ProfilesQuality, paint: Paint): string[] {
  const { people, sampled, score, completeness, validity, freshness, bands, traits, contradictions } = profiles;
  const of = sampled < people ? `, by ${sampled.toLocaleString('en')} of them` : '';
  const lines = [`${paint.bold(people === 1 ? '1 person' : `${people.toLocaleString('en')} people`)}${of}`];
  if (score === null || completeness === null || validity === null || freshness === null) return lines;
  lines.push(
    `score ${paint.bold(score.toFixed(1))} of 100 · complete ${formatShare(completeness)} · valid ${formatShare(validity)} · fresh ${formatShare(freshness)}`,
    '',
  );
  const most = Math.max(...bands);
  const rows = bands.map((share, i) => [
    `${i * 10} to ${i * 10 + 10}`,
    formatBar(most === 0 ? 0 : share / most, BAR_CHARACTERS),
    share === 0 ? '' : formatShare(share),
  ]);
  lines.push(...titled([['score', '', 'people'], ...rows.toReversed()], ['right', 'left', 'right'], paint), '');
  if (traits.length > 0) {
    const known = traits
      .toSorted((a, b) => b.known - a.known)
      .map(({ trait, weight, known: share, flagged }) => [
        trait,
        formatBar(share, BAR_CHARACTERS),
        formatShare(share),
        flagged === 0 ? '' : paint.warn(formatShare(flagged)),
        weight === 1 ? '' : String(weight),
      ]);
    const head = ['trait', '', 'known', 'flagged', 'weight'];
    lines.push(...titled([head, ...known], ['left', 'left', 'right', 'right', 'right'], paint));
  }
  for (const [name, share] of Object.entries(contradictions))
    lines.push(paint.warn(`contradiction ${name}: ${formatShare(share)} of the people`));
  return lines;
}

function sourceLines({ sources, sinceEpochMillis }: Report, paint: Paint, now: number): string[] {
  if (sources.length === 0) return ['no source has told anything yet'];
  const share = (count: number, of: number): string => (of === 0 ? '-' : count === 0 ? '' : formatShare(count / of));
  const rows = sources.map((one) => [
    one.score === null ? '-' : one.score.toFixed(1),
    one.door,
    one.source,
    one.received.toLocaleString('en'),
    share(one.accepted, one.received),
    share(one.duplicates, one.received),
    share(one.cleaned, one.accepted),
    one.flagged === 0 ? '' : paint.warn(one.flagged.toLocaleString('en')),
    one.refused + one.dropped === 0 ? '' : paint.bad((one.refused + one.dropped).toLocaleString('en')),
    Object.entries(one.reasons)
      .sort(([, a], [, b]) => b - a)
      .map(([reason, count]) => `${reason} ${count.toLocaleString('en')}`)
      .join(', '),
  ]);
  const head = ['score', 'door', 'source', 'received', 'accepted', 'repeated', 'cleaned', 'flagged', 'refused', 'for'];
  const aligns = ['right', 'left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'left'] as const;
  const since = sinceEpochMillis === null ? '' : `, counted since ${formatDistance(sinceEpochMillis, now)}`;
  return [`${paint.bold(formatCount(sources.length, 'source'))}${since}`, ...titled([head, ...rows], aligns, paint)];
}

function titled(
  rows: readonly (readonly string[])[],
  aligns: Parameters<typeof formatTable>[1],
  paint: Paint,
): string[] {
  const [head = '', ...lines] = formatTable(rows, aligns, '  ');
  return [paint.dim(head), ...lines];
}
