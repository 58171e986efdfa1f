/** Calls a command of the program in this process, without a terminal, and keeps what it prints. */
import type { CommandCall, CommandIo } from '../../server/commands/command.ts';

export async function runCommand(
  run: (call: CommandCall) => Promise<number>,
  positionals: string[],
  options: Record<string, string | boolean>,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number; out: string }> {
  let out = '';
  const io: CommandIo = {
    out: (text) => {
      out += text;
    },
    err: () => undefined,
    hasColour: false,
    columns: 100,
    environment,
  };
  return { code: await run({ positionals, options, io }), out };
}
