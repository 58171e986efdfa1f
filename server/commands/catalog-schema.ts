/** `opportune catalog schema`: the JSON Schema of the catalog file, for editors. */
import { catalogJsonSchema } from '../../workers/catalog/catalog-schema.ts';
import { type CommandCall, EXIT } from './command.ts';

export function run(call: CommandCall): Promise<number> {
  call.io.out(`${JSON.stringify(catalogJsonSchema(), null, 2)}\n`);
  return Promise.resolve(EXIT.ok);
}
