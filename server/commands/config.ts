/** `opportune config`: every option with its value and where it came from. Secrets are not shown. */
import { shownValue } from '../config.ts';
import { CONFIG_KEYS } from '../config-options.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOf } from './node-options.ts';
import { createPaint, formatTable } from './terminal-text.ts';

export function run(call: CommandCall): Promise<number> {
  const config = configOf(call);
  const paint = createPaint(call.io.hasColour);
  if (call.options.json === true) {
    const entries = CONFIG_KEYS.map((key) => [key, { value: shownValue(config, key), source: config.sources[key] }]);
    call.io.out(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return Promise.resolve(EXIT.ok);
  }
  const rows = CONFIG_KEYS.map((key) => {
    const value = shownValue(config, key);
    const source = config.sources[key];
    const shown = value === null || value === '' ? paint.dim('(none)') : String(value);
    return [key, source === 'default' ? shown : paint.bold(shown), paint.dim(source)];
  });
  call.io.out(`${formatTable(rows).join('\n')}\n`);
  return Promise.resolve(EXIT.ok);
}
