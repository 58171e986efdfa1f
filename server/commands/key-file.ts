/** Which file of API keys the `key` commands work on: the flag's, else the node's own option. */
import { readConfigFile, resolveConfig } from '../config.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';

/** @throws OperatorError USAGE when neither the flag nor the options name one. */
export function keyFileOf({ options, io }: CommandCall): string {
  const flag = textOption(options, 'keyFile');
  if (flag !== undefined) return flag;
  const path = resolveConfig(
    {},
    io.environment,
    readConfigFile(textOption(options, 'config'), io.environment),
  ).apiKeyFile;
  if (path !== null) return path;
  throw new OperatorError('USAGE', 'no file of API keys is named', {
    advice: 'Give it with --key-file, or as the node does: OPPORTUNE_API_KEY_FILE, or apiKeyFile in its YAML file.',
  });
}
