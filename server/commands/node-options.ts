/** From the options of a command line to the node's configuration, for `start`, `config` and `doctor`. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
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

/** The data folder alone: the node's own option, with its environment variable, file and default. */
export function dataFolderOf({ options, io }: CommandCall): string {
  const file = readConfigFile(textOption(options, 'config'), io.environment);
  const flag = textOption(options, 'data');
  return resolveConfig(flag === undefined ? {} : { data: flag }, io.environment, file).data;
}

/** What a command that works on one data folder has left alone: a sentence a tenant, with the option to name its folder. */
export function tenantsLeftOut(data: string): readonly string[] {
  const folder = join(data, 'tenants');
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names.map((name) => `tenant ${name} is not in it; do the same with --data ${join(folder, name)}`);
}
