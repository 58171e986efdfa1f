/**
 * `opportune suspects`: who holds a tag that is a suspicion, since when, and what its rule counts of them; with `--unusual`
 * who does more of something than others do. Reads a data folder, also beside the node that writes it.
 */
import { join } from 'node:path';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import { readCatalogText } from '../../workers/catalog/catalog-text.ts';
import { listSuspects, type SuspectList } from '../../workers/segments/list-suspects.ts';
import { listUnusual, type UnusualList } from '../../workers/segments/list-unusual.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { openLog } from './log.ts';
import { ProgressLine } from './progress-line.ts';
import { createPaint, formatDistance, formatTable } from './terminal-text.ts';

/** Lines of the table; `--json` has all that are named. */
const SHOWN_MAX = 50;

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const path = textOption(options, 'catalog') ?? config.catalog;
  const catalog = loadCatalogText(await readCatalogText(path), path);
  const storePath = join(config.data, 'store');
  // Where no node has run, that is what is said.
  await openLog(storePath).close();
  await recordCommand(config, { kind: 'access', detail: { command: 'suspects' } });
  const progress = new ProgressLine(io);
  const onProgress = (read: number, total: number): void => progress.show('reading records', read, total);
  const isUnusual = options.unusual === true;
  let found: SuspectList | UnusualList;
  try {
    found = await (isUnusual ? listUnusual : listSuspects)({ storePath, catalog }, onProgress);
  } finally {
    progress.end();
  }
  if (options.json === true) io.out(`${JSON.stringify(found)}\n`);
  else io.out('unusual' in found ? renderUnusual(found, io.hasColour) : render(found, io.hasColour));
  return EXIT.ok;
}

function renderUnusual({ people, of, unusual, devices }: UnusualList, hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const lines = [paint.bold(`${numberOf(people)} of ${numberOf(of)} people do more of something than is usual`)];
  if (unusual.length > 0) {
    const rows = unusual
      .slice(0, SHOWN_MAX)
      .map(({ person, score, because }) => [
        person,
        score.toFixed(1),
        because.map(({ reading, value, usual }) => `${reading} = ${value}, usual ${usual}`).join('; '),
      ]);
    lines.push(...formatTable([['person', 'score', 'because'], ...rows], ['left', 'right', 'left'], '  '));
    if (unusual.length > SHOWN_MAX) lines.push(`  and more: --json names ${unusual.length}`);
  }
  if (devices.length > 0) {
    const rows = devices
      .slice(0, SHOWN_MAX)
      .map(({ device, persons, usual, deviations }) => [
        device,
        deviations.toFixed(1),
        `${persons} people, usual ${usual}`,
      ]);
    lines.push('', ...formatTable([['device', 'score', 'because'], ...rows], ['left', 'right', 'left'], '  '));
    if (devices.length > SHOWN_MAX) lines.push(`  and more: --json names ${devices.length}`);
  }
  return `${lines.join('\n')}\n`;
}

function numberOf(count: number): string {
  return count.toLocaleString('en');
}

function render({ atEpochMillis, people, tags, suspects }: SuspectList, hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const counts = Object.entries(tags);
  if (counts.length === 0) return 'the catalog declares no suspicion: a tag with suspicion: true is one\n';
  const lines = [
    paint.bold(people === 1 ? '1 person is suspected' : `${people.toLocaleString('en')} people are suspected`),
  ];
  lines.push(
    ...formatTable([...counts.map(([tag, count]) => [tag, count.toLocaleString('en')])], ['left', 'right'], '  '),
  );
  if (suspects.length > 0) {
    const rows = suspects
      .slice(0, SHOWN_MAX)
      .map(({ person, tag, sinceEpochMillis, isRestricted, evidence }) => [
        person,
        tag,
        formatDistance(sinceEpochMillis, atEpochMillis),
        [
          ...evidence.map(({ reading, value }) => `${reading} = ${value}`),
          ...(isRestricted ? ['restricted'] : []),
        ].join(', '),
      ]);
    lines.push('', ...formatTable([['person', 'suspicion', 'since', 'now'], ...rows], [], '  '));
    if (suspects.length > SHOWN_MAX) lines.push(`  and more: --json names ${suspects.length}`);
  }
  return `${lines.join('\n')}\n`;
}
