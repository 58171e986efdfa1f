/**
 * Files that operators write, and the handshake that strangers write: catalogs, rules, mappings of logged files,
 * CSV rows, upgrade requests. Whatever is in them, the answer is a result or the error each promises, soon.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { parseImportMapping } from '../../../server/import/import-mapping.ts';
import { readRow } from '../../../server/import/import-row.ts';
import { OperatorError } from '../../../server/operator-error.ts';
import { CsvSplitter, LineSplitter } from '../../../server/replay/csv-rows.ts';
import { parseMapping } from '../../../server/replay/replay-mapping.ts';
import { judgeUpgrade, refusePlainRequest } from '../../../server/websocket-rules.ts';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { loadCatalogText } from '../../../workers/catalog/catalog-file.ts';
import { compileCatalogSource } from '../../../workers/catalog/catalog-source.ts';
import { CounterRegistry } from '../../../workers/catalog/counter-registry.ts';
import { compileRule } from '../../../workers/catalog/rule-function.ts';
import { RuleParser } from '../../../workers/catalog/rule-parser.ts';
import { COFFEE, catalogText } from '../../actors/test-catalog.ts';
import { anyRule, anyState, SPECS } from '../../workers/catalog/any-rule.ts';
import { CelOracle, NAMES, readNamesOf } from '../../workers/catalog/cel-oracle.ts';
import { ProfileScope, type ProfileState } from '../../workers/catalog/profile-scope.ts';
import { bytesOf, demand, type FuzzSubject, type FuzzTarget, fold, foldLetters } from '../fuzz-target.ts';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Runs `work`; an error of the promised kind becomes a signature, any other is a crash. */
function outcome(work: () => void, isPromised: (error: unknown) => error is Error): number {
  try {
    work();
    return 1;
  } catch (error) {
    if (isPromised(error)) return foldLetters(2, error.message.slice(0, 200));
    throw error;
  }
}

const CATALOG_SEEDS = [
  catalogText({
    traits: 'age: { type: integer, min: 0, max: 130 }, loyalty: { type: enum, values: [none, gold] }',
    products: COFFEE,
    actions: `{ key: a, channels: [app], slots: [home], valueMinor: 90, eligibility: 'profile.age > 17 && count("buy", "7d") < 3' }`,
  }),
  'version: 1\nname: &a x\ncurrency: *a\n? [1]\n: !!binary 2\n',
  'a: [[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]',
  'version: 1\nprofile: { traits: { __proto__: { type: integer }, constructor: { type: string } } }\n',
];
const YAML_DICTIONARY = bytesOf([
  ': ',
  '- ',
  '\n',
  '\n  ',
  '{',
  '}',
  '[',
  ']',
  '&a ',
  '*a',
  '!!str ',
  '"',
  "'",
  '|\n',
  '>\n',
  '#',
  '---\n',
  '? ',
  '<<: *a',
  '__proto__',
  'null',
  '.nan',
  '.inf',
  '1e999',
  '-1',
  '9007199254740993',
  '7d',
  'PT1H',
  'Europe/Paris',
  'key',
  'channels',
  'slots',
  'eligibility',
  'traits',
  'caps',
  'count',
  'per',
  'values',
  'column',
  'template',
  'rewards',
  '\u0000',
  '\ufeff',
]);

const RULE_PARTS = [
  'profile.age',
  'profile.city',
  'profile.loyalty',
  'context.x',
  'context["y"]',
  'now.hour',
  'count("buy", "7d")',
  '&&',
  '||',
  '!',
  '(',
  ')',
  '==',
  '!=',
  '<',
  '>=',
  ' in ',
  '[1, 2]',
  '"gold"',
  '1.5',
  '-',
  '+',
  '*',
  '/',
  '%',
  '? 1 : 2',
  'has(',
  '.startsWith(',
  'size(',
  'matches',
  'true',
  'null',
  '"\\u0041"',
  'r"',
  "b'",
  '0x7fffffffffffffff',
  '1u',
  '1e400',
  '//',
  '{',
  '__proto__',
  'constructor',
  '.all(x, x)',
  'lastSeen(',
  'sum(',
];

class RuleSubject implements FuzzSubject {
  readonly #traits = new Map(SPECS.map((spec) => [spec.name, spec]));
  readonly #oracle = new CelOracle(SPECS);
  readonly #states: readonly ProfileState[] = fc.sample(anyState, { seed: 7, numRuns: 6 });

  run(input: Uint8Array): number {
    const source = decoder.decode(input);
    const counters = new CounterRegistry();
    const parser = new RuleParser(this.#traits, counters, NAMES);
    const check = parser.check(source);
    if (check.expression === null) {
      for (const { offset } of check.problems)
        demand(offset >= 0 && offset <= source.length, 'a problem outside the rule');
      return foldLetters(3, check.problems.map(({ reason }) => reason).join());
    }
    const rule = compileRule(source, check.expression, () => 'UTC', readNamesOf(counters));
    let signature = check.expression.op.length;
    for (const state of this.#states) {
      const scope = new ProfileScope(SPECS, counters.counters, state, counters.valueReadings);
      const answer = rule.evaluate(scope);
      demand(typeof answer === 'boolean', 'a rule that is neither true nor false');
      demand(
        rule.clauses.every((clause) => clause.evaluate(scope)) === answer,
        'the clauses say otherwise than the whole',
      );
      for (const clause of rule.clauses) clause.explain(scope);
      // Overflow and division are where doubles and 64-bit integers part, as docs/CATALOG.md says.
      if (!/[/%]|\d{9}/.test(source)) {
        const expected = this.#oracle.evaluate(source, state);
        demand((expected === true) === answer, `our rule says ${answer}, cel-js ${expected}`);
      }
      signature = fold(signature, answer ? 1 : 0);
    }
    return signature;
  }
}

class CsvSubject implements FuzzSubject {
  run(input: Uint8Array): number {
    const whole = this.#rows(input, input.length || 1);
    demand(whole === this.#rows(input, 1 + (input.length % 3)), 'in pieces there are other rows than in one');
    return fold(foldLetters(0, whole.slice(0, 40)), whole.length >> 3);
  }

  #rows(bytes: Uint8Array, pieceLength: number): string {
    const lines = new LineSplitter();
    const splitter = new CsvSplitter(',');
    const rows: unknown[] = [];
    for (let at = 0; at < bytes.length; at += pieceLength)
      rows.push(...splitter.push(lines.push(bytes.subarray(at, at + pieceLength))));
    rows.push(...splitter.push(lines.end()), ...splitter.end());
    return JSON.stringify(rows);
  }
}

const UPGRADE_FIELDS = [
  'path',
  'query',
  'key',
  'version',
  'protocols',
  'origin',
  'authorization',
  'address',
  'gpc',
] as const;
const UPGRADE_LIMITS = { frameBytesMax: 1, sendBufferBytesMax: 1, idleTimeoutSeconds: 60, connectionsMax: 10 };

/** A line a field of the handshake, as a transport hands them over. */
function judgeLines(input: Uint8Array): number {
  const lines = decoder.decode(input).split('\n');
  const fields = Object.fromEntries(UPGRADE_FIELDS.map((name, index) => [name, lines[index] ?? '']));
  const verdict = judgeUpgrade(
    fields as Record<(typeof UPGRADE_FIELDS)[number], string>, // made of these names just above
    {
      onUpgrade: ({ subprotocols }) =>
        subprotocols[0] === undefined
          ? { accept: false, httpStatus: 400, reason: 'none' }
          : { accept: true, subprotocol: subprotocols[0] },
      onOpen: () => {},
      onMessage: () => {},
      onDrain: () => {},
      onClose: () => {},
    },
    UPGRADE_LIMITS,
    lines.length,
  );
  if (verdict instanceof Promise) throw new Error('the handler judged at once, so the rules do');
  if (verdict.accept) demand(/^[\x21-\x7e]+$/.test(verdict.subprotocol), 'a subprotocol that would break the answer');
  else demand(/^[\x20-\x7e]*$/.test(verdict.reason), 'a reason that would break the answer');
  const plain = refusePlainRequest(fields.path ?? '', fields.origin ?? '');
  return fold(verdict.accept ? 1 : verdict.httpStatus, plain.httpStatus);
}

const HANDSHAKE =
  '/v1/ws\ntoken=a%20b\ndGhlIHNhbXBsZSBub25jZQ==\n13\na, opportune.v1.json\nhttps://shop.example\nBearer x\n127.0.0.1';

function mappings(folder = resolve('mappings')): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return names.map((name) => readFileSync(join(folder, name), 'utf8'));
}

export const TEXT_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'upgrade',
    about: 'a handshake is judged with a status and words that fit into a header',
    share: 10,
    inputBytesMax: 512,
    covers: ['server/websocket-rules'],
    dictionary: bytesOf([
      '\n',
      '/v1/ws',
      '13',
      ', ',
      '%',
      '%ff',
      'token=',
      '\r\n',
      '\u0000',
      'ü',
      'dGhlIHNhbXBsZSBub25jZQ==',
    ]),
    seeds: () => bytesOf([HANDSHAKE, HANDSHAKE.replaceAll('\n', '\n\n'), '']),
    create: () => ({ run: judgeLines }),
  },
  {
    name: 'csv',
    about: 'rows, and what is wrong with those that are none, are the same however the bytes are cut',
    share: 6,
    inputBytesMax: 512,
    covers: ['server/replay/csv-rows'],
    dictionary: bytesOf(['"', '""', ',', '\r\n', '\n', '\r', '","', '"\n']),
    seeds: () => bytesOf(['a,b\r\n1,"x ""y"", z"\n\n3,4', '"', 'a,b\rc,d\r', '"a\nb",c\n']),
    create: () => new CsvSubject(),
  },
  {
    name: 'mapping',
    about: 'a mapping file is read, or refused with MAPPING_INVALID',
    share: 0.4,
    inputBytesMax: 1500,
    covers: ['server/replay/replay-mapping', 'workers/catalog/yaml-source'],
    dictionary: YAML_DICTIONARY,
    seeds: () => bytesOf(mappings()),
    create: () => ({
      run: (input) =>
        outcome(
          () => void parseMapping(decoder.decode(input), 'fuzz.yaml'),
          (error): error is OperatorError => error instanceof OperatorError && error.code === 'MAPPING_INVALID',
        ),
    }),
  },
  {
    name: 'import',
    about: 'a mapping of an import is refused with MAPPING_INVALID, or each row is taken, skipped or rejected by it',
    share: 0.4,
    inputBytesMax: 1500,
    covers: ['server/import/import-mapping', 'server/import/import-row', 'server/import/import-time'],
    dictionary: [...YAML_DICTIONARY, ...bytesOf(['dmy', 'Europe/Berlin', '+01:00', 'money', 'decimalComma: true'])],
    seeds: () => bytesOf(mappings(resolve('mappings/import'))),
    create: () => ({
      run: (input) =>
        outcome(
          () => {
            const mapping = parseImportMapping(decoder.decode(input), 'fuzz.yaml');
            for (const text of ['', '1.234,50', '26.11.2026 18:03', '__proto__', '\0']) {
              const content = (): unknown => text;
              const row = { line: 1, origin: 1, size: 0, problem: null, cellOf: () => text, content };
              const read = readRow(mapping, row);
              if (typeof read === 'string') demand(read !== '', 'a rejected row without a reason');
              else if (read !== null) demand(read.profile !== '', 'a row of nobody');
            }
          },
          (error): error is OperatorError => error instanceof OperatorError && error.code === 'MAPPING_INVALID',
        ),
    }),
  },
  {
    name: 'catalog',
    about: 'a catalog is compiled, or refused with CATALOG_INVALID',
    share: 0.3,
    inputBytesMax: 1500,
    covers: ['workers/catalog/'],
    dictionary: [...YAML_DICTIONARY, ...bytesOf(RULE_PARTS)],
    seeds: () => bytesOf(CATALOG_SEEDS),
    create: () => ({
      run: (input) =>
        outcome(
          () => void compileCatalogSource(loadCatalogText(decoder.decode(input), 'fuzz.yaml')),
          (error): error is CatalogError => error instanceof CatalogError && error.code === 'CATALOG_INVALID',
        ),
    }),
  },
  {
    name: 'rules',
    about: 'a rule is refused with a place in it, or answers as cel-js does',
    share: 0.6,
    inputBytesMax: 300,
    covers: ['workers/catalog/rule'],
    dictionary: bytesOf(RULE_PARTS),
    seeds: (seed) => bytesOf([...fc.sample(anyRule as fc.Arbitrary<string>, { seed, numRuns: 400 }), ...RULE_PARTS]), // texts
    create: () => new RuleSubject(),
  },
];
