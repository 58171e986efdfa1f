/**
 * What a command of the `opportune` program is: a line in the command table (command-table.ts) and a
 * module loaded only when it is called, so that `opportune decide` never loads the server. A command
 * writes through `CommandIo`, returns an exit code, and never ends the process itself.
 */

/** What the process says to the shell; printed in docs/OPERATING.md. */
export const EXIT = {
  /** Done. For `start`: stopped as asked. */
  ok: 0,
  /** The operation failed, or a check found something wrong; stderr says what. */
  failed: 1,
  /** The command line or the configuration is wrong; trying again will not help. */
  usage: 2,
  /** No server answers at the address. */
  unreachable: 3,
  /** The server answered with an error status. */
  refused: 4,
} as const;

export interface CommandIo {
  out(text: string): void;
  err(text: string): void;
  /** Whether stdout is a terminal that shows colours. */
  readonly hasColour: boolean;
  /** Characters in a line of the terminal; 100 when not a terminal. */
  readonly columns: number;
  readonly environment: { readonly [name: string]: string | undefined };
}

/** Options by camel-case name, as commander gives them. */
export type CommandOptions = { readonly [name: string]: string | boolean | undefined };

export interface CommandCall {
  /** Positional arguments; a variadic one is spread at the end. */
  readonly positionals: readonly string[];
  readonly options: CommandOptions;
  readonly io: CommandIo;
}

export interface CommandModule {
  run(call: CommandCall): Promise<number>;
}

export interface CommandOption {
  /** As commander wants it: `--slot <name>`, `--json`. */
  readonly flags: string;
  readonly description: string;
}

export interface CommandSpec {
  /** One word, or two for a command of a group: `catalog check`. */
  readonly name: string;
  /** Positional arguments as commander wants them: `<profile> [pairs...]`. */
  readonly usage: string;
  readonly summary: string;
  readonly options: readonly CommandOption[];
  /** The module parses everything after the name itself; `usage` and `options` are not used. */
  readonly isPassThrough?: true;
  load(): Promise<CommandModule>;
}

/** The text of an option, or undefined; a bare switch has none. */
export function textOption(options: CommandOptions, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}
