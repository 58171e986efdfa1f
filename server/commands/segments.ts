/**
 * `opportune segments [--rule RULE]`: how many people hold each tag of the catalog, and how many a rule would match, with
 * what each of its clauses cuts. Reads the records of a data folder, also beside the node that writes them.
 */
import { join } from 'node:path';
import { textHash } from '../../proto/murmur3.ts';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import { type CatalogSource, compileCatalogSource } from '../../workers/catalog/catalog-source.ts';
import { readCatalogText } from '../../workers/catalog/catalog-text.ts';
import { epochMillis } from '../../workers/clock.ts';
import { countSegments, type SegmentCounts, unkeptBy } from '../../workers/segments/count-segments.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { openLog } from './log.ts';
import { ProgressLine } from './progress-line.ts';
import { createPaint, formatTable } from './terminal-text.ts';

/** No tag of a catalog has this name: keys begin with a letter or digit. */
const PREVIEW = 'rule.preview';

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const path = textOption(options, 'catalog') ?? config.catalog;
  const source = loadCatalogText(await readCatalogText(path), path);
  const rule = textOption(options, 'rule');
  const inForce = compileCatalogSource(source);
  const catalog = rule === undefined ? inForce : compileCatalogSource(withRule(source, rule));
  const asked = rule === undefined ? null : (catalog.tagByKey.get(PREVIEW)?.when ?? null);
  const reader = openLog(join(config.data, 'store'));
  const progress = new ProgressLine(io);
  let counts: SegmentCounts;
  try {
    await recordCommand(config, { kind: 'access', detail: { command: 'segments' } });
    const total = reader.recordCount();
    counts = countSegments(reader, catalog, asked, createZoneTable(textHash), epochMillis(), (read) =>
      progress.show('reading records', read, total),
    );
  } finally {
    progress.end();
    await reader.close();
  }
  const unkept = unkeptBy(inForce, catalog);
  if (options.json === true) io.out(`${JSON.stringify({ ...counts, unkept })}\n`);
  else io.out(render(counts, unkept, io.hasColour));
  return EXIT.ok;
}

/** The catalog with one more tag; JSON is YAML, so that it is checked, and complained about, as any. */
function withRule({ file, fileName }: CatalogSource, rule: string): CatalogSource {
  const tags = { ...file.profile?.tags, [PREVIEW]: { family: 'attributes', when: rule } };
  return loadCatalogText(JSON.stringify({ ...file, profile: { ...file.profile, tags } }), `${fileName} with --rule`);
}

function numberOf(count: number): string {
  return count.toLocaleString('en');
}

function render(
  { people, restricted, tags, rule }: SegmentCounts,
  unkept: readonly string[],
  hasColour: boolean,
): string {
  const paint = createPaint(hasColour);
  const share = (count: number): string => (people === 0 ? '-' : `${((100 * count) / people).toFixed(1)} %`);
  const aside = restricted === 0 ? '' : `; ${numberOf(restricted)} more keep their data unused`;
  const lines = [`${numberOf(people)} people${aside}`];
  if (tags.length > 0) {
    const rows = tags.map((one) => [one.tag, one.family, numberOf(one.people), share(one.people)]);
    lines.push(
      ...formatTable([['tag', 'family', 'people', 'share'], ...rows], ['left', 'left', 'right', 'right'], '  '),
    );
  }
  if (rule !== null) {
    const { matches, clauses } = rule;
    lines.push(paint.bold(`the rule matches ${numberOf(matches)} of ${numberOf(people)} (${share(matches)})`));
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
