/** From the options of a command line to the node's configuration, for `start`, `config` and `doctor`. */
import { type FlagValues, type ResolvedConfig, readConfigFile, resolveConfig } from '../config.ts';
import { type CommandCall, textOption } from './command.ts';

/** Options of the commands themselves, which are not the node's. */
const OTHER_OPTIONS = ['config', 'json', 'supervise'];

/** @throws OperatorError as `resolveConfig`. */
export function configOf(call: CommandCall): ResolvedConfig {
  const flags: Record<string, string | boolean | undefined> = {};
  for (const [name, value] of Object.entries(call.options)) {
    if (!OTHER_OPTIONS.includes(name)) flags[name] = value;
  }
  const file = readConfigFile(textOption(call.options, 'config'), call.io.environment);
  return resolveConfig(flags satisfies FlagValues, call.io.environment, file);
}
