/**
 * Every command, in the order `opportune --help` lists them. To add one: write its module beside this
 * file with a `run` function, and add its line here.
 */
import { ROLES } from '../access/roles.ts';
import { CONFIG_KEYS, flagOf, OPTIONS } from '../config-options.ts';
import type { CommandOption, CommandSpec } from './command.ts';

const JSON_OPTION: CommandOption = { flags: '--json', description: 'print the raw answer as JSON' };
const URL_OPTION: CommandOption = {
  flags: '--url <url>',
  description: 'server address (OPPORTUNE_URL, default ws://127.0.0.1:7400/v1/ws)',
};
const TIMEOUT_OPTION: CommandOption = { flags: '--timeout <millis>', description: 'longest wait (default 5000)' };
const ASKING: readonly CommandOption[] = [URL_OPTION, TIMEOUT_OPTION, JSON_OPTION];

const ASKING_ADMIN: readonly CommandOption[] = [
  {
    flags: '--admin <url>',
    description: 'HTTP address of the node (OPPORTUNE_ADMIN_URL, default http://127.0.0.1:7401)',
  },
  { flags: '--timeout <millis>', description: 'longest wait (default 30000)' },
  JSON_OPTION,
];

const DATA_OPTIONS: readonly CommandOption[] = [
  { flags: '--data <folder>', description: 'data folder of the node (OPPORTUNE_DATA, default ./data)' },
  { flags: '--config <file>', description: 'YAML file of the options of the node (OPPORTUNE_CONFIG)' },
];
const KEY_FILE_OPTIONS: readonly CommandOption[] = [
  { flags: '--key-file <file>', description: 'file of API keys (OPPORTUNE_API_KEY_FILE)' },
  { flags: '--config <file>', description: 'YAML file of the options of the node (OPPORTUNE_CONFIG)' },
];

const CONFIG_OPTIONS: readonly CommandOption[] = [
  { flags: '--config <file>', description: 'YAML file of these options (OPPORTUNE_CONFIG)' },
  // A secret on a command line can be read by every process of the machine, so it has no flag.
  ...CONFIG_KEYS.filter((key) => OPTIONS[key].isSecret !== true).map((key) => {
    const { form, description, byDefault, defaultText } = OPTIONS[key];
    const argument = form === 'switch' ? '' : form === 'number' ? ' <number>' : form === 'list' ? ' <list>' : ' <text>';
    const shown = defaultText ?? (form === 'list' ? 'none' : String(byDefault));
    return {
      flags: `--${flagOf(key)}${argument}`,
      description: `${description} ${form === 'switch' ? '' : `[${shown}]`}`.trim(),
    };
  }),
];

const TENANT_OPTION: CommandOption = {
  flags: '--tenant <name>',
  description: 'whose part of the data folder (default)',
};
/** Of commands that work on one tenant's part. */
const PART_OPTIONS: readonly CommandOption[] = [...DATA_OPTIONS, TENANT_OPTION];

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'start',
    usage: '',
    summary: 'run the server',
    options: [...CONFIG_OPTIONS, { flags: '--supervise', description: 'restart the server when it ends unexpectedly' }],
    load: () => import('./start.ts'),
  },
  {
    name: 'decide',
    usage: '<profile>',
    summary: 'ask what to offer to one person, at what price, and when',
    options: [
      { flags: '--slot <name>', description: 'place where it will be shown' },
      { flags: '--channel <name>', description: 'medium it will be sent by' },
      { flags: '--sku <sku>', description: 'product to price' },
      { flags: '--count <number>', description: 'actions wanted (1)' },
      { flags: '--want <list>', description: 'any of action,price,sendTime (all that can be answered)' },
      { flags: '--context <json>', description: 'what is known about this moment, as a JSON map' },
      { flags: '--why', description: 'explain: counts, contributions, what was rejected and why' },
      { flags: '--dry-run', description: 'answer without counting anything' },
      ...ASKING,
    ],
    load: () => import('./decide.ts'),
  },
  {
    name: 'track',
    usage: '<profile> <event> [pairs...]',
    summary: 'tell what a person did: opportune track c-1042 purchase revenueMinor=12900 currency=CNY',
    options: [
      { flags: '--decision <id>', description: 'decision this is an outcome of' },
      { flags: '--quote <id>', description: 'price quote this used' },
      { flags: '--message-id <id>', description: 'makes a retry harmless: the same id is applied once' },
      {
        flags: '--at <time>',
        description: 'when it happened: epoch milliseconds or ISO 8601, UTC where it has no offset (now)',
      },
      { flags: '--durability <word>', description: 'applied or committed (committed)' },
      ...ASKING,
    ],
    load: () => import('./track.ts'),
  },
  {
    name: 'identify',
    usage: '<profile> <traits...>',
    summary: 'set traits: opportune identify c-1042 loyalty=gold age=34',
    options: ASKING,
    load: () => import('./identify.ts'),
  },
  {
    name: 'consent',
    usage: '<profile> [purposes...]',
    summary: 'what a person allows: opportune consent c-1042 personalisation=granted contact.push=withdrawn',
    options: [
      ...ASKING,
      { flags: '--source <text>', description: 'where they said so, kept as proof (this command)' },
      { flags: '--tcf <string>', description: 'TCF 2.2 or 2.3 string: proof, and without purposes what it says' },
      { flags: '--gpp <string>', description: 'GPP string, likewise' },
    ],
    load: () => import('./consent.ts'),
  },
  {
    name: 'alias',
    usage: '<from> [to]',
    summary: 'join what is known under two keys to one person; --undo takes a key out again',
    options: [...ASKING, { flags: '--undo', description: 'let <from> stand alone again' }],
    load: () => import('./alias.ts'),
  },
  {
    name: 'restrict',
    usage: '<profile>',
    summary: 'store what is known of a person and use it no more; --lift ends that',
    options: [
      ...ASKING,
      { flags: '--lift', description: 'use it again' },
      { flags: '--reason <text>', description: 'why, kept as proof' },
    ],
    load: () => import('./restrict.ts'),
  },
  {
    name: 'profile',
    usage: '<profile>',
    summary: 'show what is known about a person',
    options: ASKING,
    load: () => import('./profile.ts'),
  },
  {
    name: 'export',
    usage: '<profile>',
    summary: 'everything that is kept of a person, as JSON: record, whole timeline, decisions',
    options: [
      { flags: '--out <file>', description: 'write it to a file of its own (mode 0600)' },
      URL_OPTION,
      TIMEOUT_OPTION,
    ],
    load: () => import('./export.ts'),
  },
  {
    name: 'data-use',
    usage: '<profile>',
    summary: "which of a person's data was used for which decision, as NDJSON, the newest first",
    options: [URL_OPTION, TIMEOUT_OPTION],
    load: () => import('./data-use.ts'),
  },
  {
    name: 'erase',
    usage: '<profile>',
    summary: 'erase a person from records, log and models; prints the receipt when it is done',
    options: [
      { flags: '--out <file>', description: 'write the receipt to a file' },
      { flags: '--no-wait', description: 'do not wait until the receipt is final' },
      URL_OPTION,
      TIMEOUT_OPTION,
    ],
    load: () => import('./erase.ts'),
  },
  {
    name: 'dead-letters',
    usage: '',
    summary: 'what was refused of people: list, show, tell again when the catalog is mended',
    options: [
      { flags: '--show <id>', description: 'one, with what it says' },
      { flags: '--redrive [id]', description: 'tell one again, or those of --reason or --older, or --all' },
      { flags: '--drop [id]', description: 'let one go, or those of --reason or --older, or --all' },
      { flags: '--all', description: 'every one' },
      { flags: '--reason <reason>', description: 'those refused for it: type, range, value, format, size, required …' },
      { flags: '--older <duration>', description: 'those refused last so long ago: 12h, 90d' },
      { flags: '--limit <number>', description: 'rows shown (50)' },
      ...ASKING_ADMIN,
    ],
    load: () => import('./dead-letters.ts'),
  },
  {
    name: 'compact',
    usage: '',
    summary: 'write the data file of a stopped node anew: nothing of the erased is left in it, and it shrinks',
    options: PART_OPTIONS,
    load: () => import('./compact.ts'),
  },
  {
    name: 'receipt verify',
    usage: '<file>',
    summary: 'check that the node of a data folder gave out this receipt of an erasure',
    options: PART_OPTIONS,
    load: () => import('./receipt-verify.ts'),
  },
  {
    name: 'log',
    usage: '',
    summary: 'print the decision log as NDJSON, also while the server runs',
    options: [
      ...PART_OPTIONS,
      { flags: '--follow', description: 'go on with what is logged later' },
      { flags: '--since <time>', description: 'an age such as 15m, epoch milliseconds or ISO 8601' },
      { flags: '--type <list>', description: 'any of decision,event,identify,release,expire (all)' },
      { flags: '--limit <number>', description: 'end after so many lines' },
      { flags: '--out <file>', description: 'write a file instead' },
    ],
    load: () => import('./log.ts'),
  },
  {
    name: 'import',
    usage: '<file>',
    summary: 'take in an export of another system: what it says of people, and what they did',
    options: [
      { flags: '--mapping <file>', description: 'what the columns mean (see mappings/import/ and docs/IMPORT.md)' },
      { flags: '--dry-run', description: 'read all of it, send nothing; show three rows, and why others are rejected' },
      { flags: '--timeout <millis>', description: 'longest wait for a server that takes nothing (default 300000)' },
      URL_OPTION,
      { flags: '--json', description: 'print the report as JSON' },
    ],
    load: () => import('./import.ts'),
  },
  {
    name: 'replay',
    usage: '<log>',
    summary: 'stream a logged customer file through the server and judge what it learnt',
    options: [
      { flags: '--mapping <file>', description: 'what the columns mean (see mappings/ and docs/REPLAY.md)' },
      { flags: '--passes <number>', description: 'times the log is replayed (1)' },
      { flags: '--seed <number>', description: 'of the orders of later passes (1)' },
      { flags: '--shuffle', description: 'shuffle the first pass too' },
      { flags: '--limit <number>', description: 'rows of the log, from its beginning (all)' },
      { flags: '--concurrency <number>', description: 'rows in flight (32)' },
      URL_OPTION,
      { flags: '--json', description: 'print the report as JSON' },
    ],
    load: () => import('./replay.ts'),
  },
  {
    name: 'evaluate',
    usage: '<log>',
    summary: 'judge another policy on logged decisions, without trying it',
    options: [
      { flags: '--policy <policy>', description: 'logged, random, greedy, action:KEY or current' },
      { flags: '--data <folder>', description: 'for current: data folder of the node that wrote the log' },
      { flags: '--models <file>', description: 'for current: model snapshot to judge (the newest of the folder)' },
      { flags: '--unseen', description: 'for current: only decisions made after that snapshot' },
      { flags: '--mapping <file>', description: 'for a CSV log: what its columns mean' },
      {
        flags: '--reward <name>',
        description: 'response, revenue or an event (response); with --mapping one of its rewards',
      },
      { flags: '--clip <weight>', description: 'cut larger weights to this (never)' },
      { flags: '--limit <number>', description: 'decisions of the log, from its beginning (all)' },
      { flags: '--force', description: 'print figures the log cannot carry, too' },
      { flags: '--json', description: 'print the report as JSON' },
    ],
    load: () => import('./evaluate.ts'),
  },
  {
    name: 'replay-decision',
    usage: '[id]',
    summary: 'compute a logged decision again, bit for bit, and say what differs',
    options: [
      { flags: '--all', description: 'every decision of the log' },
      ...PART_OPTIONS,
      { flags: '--differences <number>', description: 'differences shown in full (20)' },
      { flags: '--json', description: 'print the result as JSON' },
    ],
    load: () => import('./replay-decision.ts'),
  },
  {
    name: 'fit',
    usage: '[models...]',
    summary: 'fit what the log says of people and products: purchases, segments, churn, related (all)',
    options: [
      ...PART_OPTIONS,
      { flags: '--churn-days <number>', description: 'somebody silent for so many days has left (30)' },
      { flags: '--json', description: 'print the result as JSON' },
    ],
    load: () => import('./fit.ts'),
  },
  {
    name: 'related',
    usage: '<sku>',
    summary: 'what goes with a product, as the last fit found',
    options: [...PART_OPTIONS, { flags: '--json', description: 'print as JSON' }],
    load: () => import('./related.ts'),
  },
  {
    name: 'segments',
    usage: '',
    summary: 'how many people hold each tag, and how many a rule would match',
    options: [
      ...PART_OPTIONS,
      { flags: '--catalog <file>', description: 'the catalog in force' },
      { flags: '--rule <rule>', description: 'a rule in CEL, counted whole and clause by clause' },
      { flags: '--sample <people>', description: 'look at about so many people, and say how far off that may be' },
      { flags: '--json', description: 'print as JSON' },
    ],
    load: () => import('./segments.ts'),
  },
  {
    name: 'suspects',
    usage: '',
    summary: 'who is withheld from offers for a suspicion, since when, and what its rule counts',
    options: [
      ...PART_OPTIONS,
      { flags: '--catalog <file>', description: 'the catalog in force' },
      { flags: '--unusual', description: 'instead: who does more of something than others do, the most unusual first' },
      { flags: '--json', description: 'print as JSON' },
    ],
    load: () => import('./suspects.ts'),
  },
  {
    name: 'quality',
    usage: '',
    summary:
      'how good what is known of people is, by trait; and what came from where, accepted, cleaned, refused by why',
    options: [
      ...PART_OPTIONS,
      { flags: '--catalog <file>', description: 'the catalog in force' },
      { flags: '--json', description: 'print as JSON' },
    ],
    load: () => import('./quality.ts'),
  },
  {
    name: 'backup',
    usage: '<folder>',
    summary: 'copy the data folder as of this moment, also while the server runs',
    options: [
      ...DATA_OPTIONS,
      { flags: '--without-secret', description: 'leave the secret out; a restore then asks for it' },
      { flags: '--json', description: 'print the result as JSON' },
    ],
    load: () => import('./backup.ts'),
  },
  {
    name: 'restore',
    usage: '<backup>',
    summary: 'put a backup where a server can start on it',
    options: [
      ...DATA_OPTIONS,
      { flags: '--replace', description: 'move a folder that is there aside; it is kept' },
      { flags: '--secret-file <file>', description: 'for a backup without the secret: the file that holds it' },
      { flags: '--json', description: 'print the result as JSON' },
    ],
    load: () => import('./restore.ts'),
  },
  {
    name: 'verify',
    usage: '[backup]',
    summary: 'check every record, the log and the budgets of a data folder or a backup',
    options: [...DATA_OPTIONS, { flags: '--json', description: 'print the result as JSON' }],
    load: () => import('./verify.ts'),
  },
  {
    name: 'bench',
    usage: '',
    summary: 'load test, in its own process (opportune bench --help)',
    options: [],
    isPassThrough: true,
    load: () => import('./bench.ts'),
  },
  {
    name: 'key create',
    usage: '',
    summary: 'make an API key; it is printed once and kept nowhere',
    options: [
      ...KEY_FILE_OPTIONS,
      { flags: '--roles <list>', description: `what it may do: ${ROLES.join(', ')}` },
      { flags: '--tenant <name>', description: 'whose data it works on (default)' },
      { flags: '--expires-days <number>', description: 'when it ends (never)' },
      { flags: '--note <text>', description: 'who has it, for `key list`' },
    ],
    load: () => import('./key-create.ts'),
  },
  {
    name: 'key list',
    usage: '',
    summary: 'list API keys: id, tenant, roles, end, note',
    options: [...KEY_FILE_OPTIONS, { flags: '--json', description: 'print as JSON' }],
    load: () => import('./key-list.ts'),
  },
  {
    name: 'key revoke',
    usage: '<id>',
    summary: 'remove an API key; its connections end within seconds',
    options: KEY_FILE_OPTIONS,
    load: () => import('./key-revoke.ts'),
  },
  {
    name: 'doctor',
    usage: '',
    summary: 'check this machine: Node, transport, store, ports, limits, clock',
    options: [...CONFIG_OPTIONS, { flags: '--json', description: 'print the checks as JSON' }],
    load: () => import('./doctor.ts'),
  },
  {
    name: 'config',
    usage: '',
    summary: 'print every option, its value and where it came from',
    options: [...CONFIG_OPTIONS, { flags: '--json', description: 'print as JSON' }],
    load: () => import('./config.ts'),
  },
  {
    name: 'audit list',
    usage: '',
    summary: 'print records of the audit log: who changed what, and who saw whose data',
    options: [
      ...DATA_OPTIONS,
      { flags: '--kind <list>', description: 'any of access,consent,catalog,start,… (all)' },
      { flags: '--profile <key>', description: 'only those about this person' },
      { flags: '--since <time>', description: 'an age such as 15m, epoch milliseconds or ISO 8601' },
      { flags: '--limit <number>', description: 'the newest so many (50)' },
      { flags: '--json', description: 'print the records as NDJSON' },
    ],
    load: () => import('./audit-list.ts'),
  },
  {
    name: 'audit verify',
    usage: '',
    summary: 'check that the audit log is what was written, byte for byte',
    options: [
      ...DATA_OPTIONS,
      { flags: '--head <hash>', description: 'a head kept elsewhere, which must be in the log' },
      { flags: '--json', description: 'print the result as JSON' },
    ],
    load: () => import('./audit-verify.ts'),
  },
  {
    name: 'keys rotate',
    usage: '',
    summary: 'put the keys of sensitive traits under a new master key (server stopped)',
    options: [
      ...PART_OPTIONS,
      { flags: '--new-key-file <file>', description: 'the new master key, where it is not kept in the data folder' },
      { flags: '--new-key-command <command>', description: 'a command that prints the new master key' },
    ],
    load: () => import('./keys-rotate.ts'),
  },
  {
    name: 'keys erase',
    usage: '<profile>',
    summary: "erase a person's keys: sensitive traits are unreadable in every copy, backups included",
    options: PART_OPTIONS,
    load: () => import('./keys-erase.ts'),
  },
  {
    name: 'catalog check',
    usage: '<file>',
    summary: 'validate a catalog file',
    options: [{ flags: '--json', description: 'print the problems as JSON' }],
    load: () => import('./catalog-check.ts'),
  },
  {
    name: 'catalog schema',
    usage: '',
    summary: 'print the JSON Schema of the catalog file',
    options: [],
    load: () => import('./catalog-schema.ts'),
  },
];
