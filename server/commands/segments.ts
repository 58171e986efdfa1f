/**
 * `opportune segments [--rule RULE]`: how many people hold each tag of the catalog, and how many a rule would match, with
 * what each of its clauses cuts. Reads a data folder, also beside the node that writes it.
 */
import { join } from 'node:path';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import { readCatalogText } from '../../workers/catalog/catalog-text.ts';
import { countSegments, type SegmentCounts } from '../../workers/segments/count-segments.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { openLog } from './log.ts';
import { ProgressLine } from './progress-line.ts';
import { createPaint, formatBar, formatShare, formatTable } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const path = textOption(options, 'catalog') ?? config.catalog;
  const catalog = loadCatalogText(await readCatalogText(path), path);
  const rule = textOption(options, 'rule') ?? null;
  const sample = readSample(textOption(options, 'sample'));
  const storePath = join(config.data, 'store');
  // Where no node has run, that is what is said.
  await openLog(storePath).close();
  await recordCommand(config, { kind: 'access', detail: { command: 'segments' } });
  const progress = new ProgressLine(io);
  let counts: SegmentCounts;
  try {
    counts = await countSegments({ storePath, catalog, rule, sample }, (read, total) =>
      progress.show('reading records', read, total),
    );
  } finally {
    progress.end();
  }
  if (options.json === true) io.out(`${JSON.stringify(counts)}\n`);
  else io.out(render(counts, io.hasColour));
  return EXIT.ok;
}

function readSample(text: string | undefined): number | null {
  if (text === undefined) return null;
  const people = Number(text);
  if (!Number.isSafeInteger(people) || people < 1)
    throw new OperatorError('USAGE', `--sample: expected how many people to look at, got ${JSON.stringify(text)}`, {
      advice: 'Some thousand give a share to within a percent; leave it out to count everybody.',
    });
  return people;
}

/** Characters of the longest bar. */
const BAR = 30;

function numberOf(count: number): string {
  return count.toLocaleString('en');
}

function render(
  { people, restricted, tags, journeys, rule, sample, unkept }: SegmentCounts,
  hasColour: boolean,
): string {
  const paint = createPaint(hasColour);
  const share = (count: number): string => (people === 0 ? '-' : `${((100 * count) / people).toFixed(1)} %`);
  const aside = restricted === 0 ? '' : `; ${numberOf(restricted)} more keep their data unused`;
  const of = sample === null ? '' : `, a sample of ${numberOf(sample.records)} records`;
  const lines = [`${people === 1 ? '1 person' : `${numberOf(people)} people`}${of}${aside}`];
  if (tags.length > 0) {
    const rows = tags.map((one) => [one.tag, one.family, numberOf(one.people), share(one.people)]);
    lines.push(
      ...formatTable([['tag', 'family', 'people', 'share'], ...rows], ['left', 'left', 'right', 'right'], '  '),
    );
  }
  for (const { journey, stages, left, reached } of journeys) {
    const most = Math.max(1, ...stages.map((one) => one.people));
    const rows = stages.map((one) => [
      one.stage,
      numberOf(one.people),
      share(one.people),
      formatBar(one.people / most, BAR),
    ]);
    const aside = [`${numberOf(reached)} reached the goal`, ...(left === 0 ? [] : [`${numberOf(left)} left`])].join(
      ', ',
    );
    lines.push(...formatTable([['journey', journey, '', aside], ...rows], ['left', 'right', 'right', 'left'], '  '));
  }
  if (rule !== null) {
    const { matches, clauses } = rule;
    const ofAll = sample?.share ?? null;
    const between = ofAll === null ? '' : `; of all ${formatShare(ofAll.low)} to ${formatShare(ofAll.high)}, at 95 %`;
    lines.push(
      paint.bold(`the rule matches ${numberOf(matches)} of ${numberOf(people)} (${share(matches)}${between})`),
    );
    const most = clauses.reduce((best, one, i) => (one.without > (clauses[best]?.without ?? -1) ? i : best), 0);
    const rows = clauses.map(({ clause, alone, without }, i) => [
      `${i + 1}  ${clause}`,
      numberOf(alone),
      numberOf(without),
      clauses.length > 1 && i === most && without > matches ? 'cuts most' : '',
    ]);
    const head = ['clause', 'alone', 'without it', ''];
    lines.push(...formatTable([head, ...rows], ['left', 'right', 'right', 'left'], '  '));
  }
  if (unkept.length > 0)
    lines.push(
      `not kept, or not for so long, under the catalog in force: ${unkept.join(', ')}; the rule saw what is there`,
    );
  return `${lines.join('\n')}\n`;
}
