/**
 * The command line of `opportune bench` as words, by Node's own parser and the table of flags: the
 * harness runs as a process of its own and must not load the server's command line to read its flags.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type BenchOption, benchOptions, type RawBenchOptions } from './bench-options.ts';

interface ParsedFlag {
  readonly kebab: string;
  readonly camel: string;
  readonly takesValue: boolean;
  readonly isNegated: boolean;
  readonly isList: boolean;
}

function describe(option: BenchOption): ParsedFlag {
  const match = /^--(no-)?([a-z-]+)( <)?/.exec(option.flags);
  const kebab = match?.[2] ?? '';
  return {
    kebab,
    camel: kebab.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    takesValue: match?.[3] !== undefined,
    isNegated: match?.[1] !== undefined,
    isList: option.isRepeatable === true || option.flags.includes('...'),
  };
}

/** The options by name, or a sentence about what is wrong, or `help`. */
export function parseBenchArguments(words: readonly string[]): RawBenchOptions | 'help' | string {
  if (words.includes('--help') || words.includes('-h')) return 'help';
  const flags = benchOptions.map(describe);
  const config: NonNullable<ParseArgsConfig['options']> = {};
  for (const flag of flags) {
    const name = flag.isNegated ? `no-${flag.kebab}` : flag.kebab;
    config[name] = { type: flag.takesValue ? 'string' : 'boolean', multiple: flag.isList };
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...words], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's sentence names the word; the rest of its advice is about `--`.
    return error instanceof Error ? (error.message.split('. ')[0] ?? error.message) : String(error);
  }
  const raw: { [name: string]: string | boolean | readonly string[] } = {};
  for (const flag of flags) {
    const value = parsed.values[flag.isNegated ? `no-${flag.kebab}` : flag.kebab];
    if (value === undefined) continue;
    raw[flag.camel] = flag.isNegated ? false : Array.isArray(value) ? value.map(String) : value;
  }
  const extra = parsed.positionals;
  if (extra.length > 0) {
    // `--compare A B`: the parser takes one value a flag.
    if (raw.compare === undefined) return `${extra[0]} is not a flag; did you mean --${extra[0]}?`;
    raw.compare = [...(raw.compare as readonly string[]), ...extra]; // a list: its flag ends in `...`
  }
  return raw;
}

export function benchHelp(): string {
  const width = Math.max(...benchOptions.map((option) => option.flags.length));
  const lines = benchOptions.map((option) => `  ${option.flags.padEnd(width)}  ${option.description}`);
  return [
    'opportune bench: load a running server and judge it',
    '',
    ...lines,
    '',
    'Exit: 0 passed or measured, 1 objectives missed, 2 usage or no server, 3 the generator was unfit to judge.',
    'A server that asks for a token: set OPPORTUNE_TOKEN or OPPORTUNE_TOKEN_FILE.',
    'For example: opportune bench --rate 10000 --slo p99=1ms --slo errors=0.1%',
    '',
  ].join('\n');
}
