/** `opportune catalog check FILE`: everything that is wrong with a catalog file, or what is in it. */
import { CatalogError, formatProblem } from '../../workers/catalog/catalog-error.ts';
import { readCatalogFile } from '../../workers/catalog/catalog-file.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { type CommandCall, EXIT } from './command.ts';
import { createPaint, formatCount } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const [path = ''] = call.positionals;
  const asJson = call.options.json === true;
  const paint = createPaint(call.io.hasColour);
  try {
    const source = await readCatalogFile(path);
    const catalog = compileCatalog(source.text, source.fileName);
    const counts = [
      formatCount(catalog.actions.length, 'action'),
      formatCount(catalog.products.length, 'product'),
      formatCount(catalog.slots.length, 'slot'),
      formatCount(catalog.channels.length, 'channel'),
      formatCount(catalog.traits.length, 'trait'),
    ];
    call.io.out(
      asJson
        ? `${JSON.stringify({ valid: true, name: catalog.name, version: catalog.version, problems: [] })}\n`
        : `${paint.good('valid')} ${catalog.name} ${catalog.version}: ${counts.join(', ')}\n`,
    );
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof CatalogError)) throw error;
    if (asJson) call.io.out(`${JSON.stringify({ valid: false, problems: error.problems })}\n`);
    else {
      call.io.err(`${error.problems.map(formatProblem).join('\n')}\n`);
      call.io.err(
        `${formatCount(error.problems.length, 'problem')}; a server keeps the catalog it has until they are mended\n`,
      );
    }
    return EXIT.failed;
  }
}
