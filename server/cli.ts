#!/usr/bin/env node
/**
 * The `opportune` program: reads the command line, loads the one command it names, and turns what comes
 * back into an exit code and, when something is wrong, lines on stderr that say what, where, and what
 * to do. Nothing else of the server imports commander or ends the process.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { type CommandIo, type CommandOptions, type CommandSpec, EXIT } from './commands/command.ts';
import { COMMANDS } from './commands/command-table.ts';
import { OperatorError } from './operator-error.ts';
import { packageVersion } from './package-version.ts';

/** Runs one command line (without `node` and the script). Resolves to the exit code; does not throw. */
export async function runCli(words: readonly string[], io: CommandIo, commands = COMMANDS): Promise<number> {
  const outcome = { code: EXIT.ok as number };
  const program = buildProgram(io, commands, outcome);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return outcome.code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return reportFailure(error, io);
  }
}

function buildProgram(io: CommandIo, commands: readonly CommandSpec[], outcome: { code: number }): Command {
  const program = prepare(new Command('opportune'), io)
    .description('Real-time decisioning: what to offer, at what price, and when to speak.')
    .version(packageVersion(), '-v, --version')
    .enablePositionalOptions()
    .showHelpAfterError('See opportune --help.');
  const groups = new Map<string, Command>();
  for (const spec of commands) {
    const [first, second] = spec.name.split(' ') as [string, string | undefined]; // split gives at least one
    const parent = second === undefined ? program : groupOf(first, program, groups, io);
    const command = prepare(new Command(second ?? first), io)
      .summary(spec.summary)
      .description(spec.summary);
    parent.addCommand(command);
    for (const option of spec.options) command.option(option.flags, option.description);
    if (spec.isPassThrough === true)
      command.argument('[words...]').allowUnknownOption().passThroughOptions().helpOption(false);
    else if (spec.usage !== '') for (const argument of spec.usage.split(' ')) command.argument(argument);
    command.action(async () => {
      const { run } = await spec.load();
      outcome.code = await run({ positionals: command.args, options: command.opts<CommandOptions>(), io });
    });
  }
  return program;
}

function groupOf(name: string, program: Command, groups: Map<string, Command>, io: CommandIo): Command {
  const known = groups.get(name);
  if (known !== undefined) return known;
  const group = prepare(new Command(name), io).description(`commands about the ${name}`);
  program.addCommand(group);
  groups.set(name, group);
  return group;
}

function prepare(command: Command, io: CommandIo): Command {
  return command.exitOverride().configureOutput({
    writeOut: (text) => io.out(text),
    writeErr: (text) => io.err(text),
    getOutHelpWidth: () => io.columns,
    getErrHelpWidth: () => io.columns,
  });
}

const USAGE_CODES = /^(CONFIG_|ACCESS_|TLS_FILES$|REMOTE_REFUSED|USAGE$)/;

/** What, where, what to do. Our own bugs show their stack, for the report. */
function reportFailure(error: unknown, io: CommandIo): number {
  if (error instanceof OperatorError) {
    io.err(`opportune: ${error.message}\n${indent(error.advice)}\n`);
    if (error.code === 'SERVER_UNREACHABLE') return EXIT.unreachable;
    if (error.code === 'REQUEST_REFUSED') return EXIT.refused;
    return USAGE_CODES.test(error.code) ? EXIT.usage : EXIT.failed;
  }
  const known = codeAndMessageOf(error);
  if (known !== undefined) io.err(`opportune: ${known}\n`);
  else io.err(`opportune: this is a bug of ours. Please report it with these lines:\n${indent(stackOf(error))}\n`);
  return EXIT.failed;
}

/** Errors of other modules with a stable code of their own are the machine's or the operator's, not bugs. */
function codeAndMessageOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  if (error.code.startsWith('ERR_')) return undefined;
  return `${error.message} (${error.code})`;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}

function processIo(): CommandIo {
  const { stdout, env } = process;
  // no-color.org: any value but the empty one turns colours off.
  const hasColour = stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void process.stderr.write(text),
    hasColour,
    columns: stdout.isTTY === true ? Math.max(60, stdout.columns) : 100,
    environment: env,
  };
}

function isMain(): boolean {
  const script = process.argv[1];
  return script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url);
}

if (isMain()) {
  // A reader that closes the pipe early (`opportune log | head`) is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
  });
  process.exitCode = await runCli(process.argv.slice(2), processIo());
  // A stopped server must not be kept by a native handle or a stray timer; the others end by themselves.
  if (process.argv[2] === 'start') process.exit();
}
