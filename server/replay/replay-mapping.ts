/**
 * What a logged file's columns mean, read from a mapping file (docs/REPLAY.md): who the person was, what
 * was known, what was done and how likely that was, and what came of it. Checked in full before the
 * first row; a problem names file, line and key, with the nearest match for a misspelt one.
 */
import { readFileSync } from 'node:fs';
import { nearestMatch } from '../../workers/catalog/nearest-match.ts';
import { type DocumentPath, parseYamlSource, type YamlSource } from '../../workers/catalog/yaml-source.ts';
import { OperatorError } from '../operator-error.ts';

export const FIELD_FORMS = ['text', 'integer', 'number', 'boolean', 'hour', 'weekday'] as const;
export type FieldForm = (typeof FIELD_FORMS)[number];

/** One trait or context key, and the column it comes from. */
export interface FieldMapping {
  readonly name: string;
  readonly column: string;
  /** How the cell is read; `hour` and `weekday` (0 Monday) are those of an instant, in UTC. */
  readonly form: FieldForm;
  /** Replaces cells by other texts; a cell that is not listed is kept. */
  readonly values: ReadonlyMap<string, string> | null;
}

export interface RewardMapping {
  readonly name: string;
  readonly column: string;
  /** Event tracked for a matched row whose reward is above 0; null: measured only. */
  readonly event: string | null;
  /** For a purchase: its currency, and minor units a unit of the column; sent as `revenueMinor`. */
  readonly currency: string | null;
  readonly minorUnits: number;
}

export interface ReplayMapping {
  readonly name: string;
  readonly delimiter: string;
  /** Catalog the server should run, for advice. */
  readonly catalog: string | null;
  /** Null: every row is a person of its own. */
  readonly personColumn: string | null;
  readonly slot: string | null;
  readonly channel: string | null;
  readonly traits: readonly FieldMapping[];
  readonly context: readonly FieldMapping[];
  readonly actionColumn: string;
  /** Cell to action key; null: by the template. */
  readonly actionValues: ReadonlyMap<string, string> | null;
  /** Action key with `{}` for the cell. */
  readonly actionTemplate: string;
  readonly propensityColumn: string | null;
  readonly propensityConstant: number;
  /** At least one; the first is the one the report leads with. */
  readonly rewards: readonly RewardMapping[];
}

/** @throws OperatorError `MAPPING_INVALID` */
export function readMappingFile(path: string): ReplayMapping {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as { code?: unknown }).code; // Node's file errors carry one
    throw invalid(`the mapping ${path} cannot be read (${String(code)})`, cause);
  }
  return parseMapping(text, path);
}

/** @throws OperatorError `MAPPING_INVALID` with the first problem. */
export function parseMapping(text: string, fileName: string): ReplayMapping {
  let first: string | undefined;
  const source = parseYamlSource(text, ({ line, column }, _, reason) => {
    first ??= `${fileName}:${line}:${column}: ${reason}`;
  });
  if (source === null) throw invalid(first ?? `${fileName} is not YAML`);
  const root = new MappingNode(source, fileName, [], source.value);
  root.allow([
    'version',
    'name',
    'log',
    'catalog',
    'person',
    'slot',
    'channel',
    'traits',
    'context',
    'action',
    'propensity',
    'rewards',
  ]);
  if (root.get('version')?.value !== 1) throw root.problem('version', 'must be 1');
  const log = root.get('log')?.allow(['format', 'delimiter']);
  const format = log?.text('format') ?? 'csv';
  if (format !== 'csv') throw root.problem('log', `has format ${JSON.stringify(format)}; only csv is read`);
  const delimiter = log?.text('delimiter') ?? ',';
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter))
    throw root.problem('log', 'needs a delimiter of one character');
  const person = root.get('person')?.allow(['column']);
  const action = root.need('action').allow(['column', 'values', 'template']);
  const values = action.get('values')?.texts() ?? null;
  const template = action.text('template');
  if (values !== null && template !== null) throw root.problem('action', 'has both values and template; one is enough');
  if (template !== null && !template.includes('{}')) throw action.problem('template', 'needs {} where the cell goes');
  const propensity = root.need('propensity').allow(['column', 'constant']);
  const propensityColumn = propensity.text('column');
  const constant = propensity.number('constant');
  if ((propensityColumn === null) === (constant === null)) {
    throw root.problem('propensity', 'needs either column or constant');
  }
  if (constant !== null && !(constant > 0 && constant <= 1)) throw propensity.problem('constant', 'must be in (0, 1]');
  const rewards = root.need('rewards').items().map(readReward);
  if (rewards.length === 0) throw root.problem('rewards', 'needs at least one');
  return {
    name: root.needText('name'),
    delimiter,
    catalog: root.text('catalog'),
    personColumn: person?.text('column') ?? null,
    slot: root.text('slot'),
    channel: root.text('channel'),
    traits: root.get('traits')?.entries().map(readField) ?? [],
    context: root.get('context')?.entries().map(readField) ?? [],
    actionColumn: action.needText('column'),
    actionValues: values,
    actionTemplate: template ?? '{}',
    propensityColumn,
    propensityConstant: constant ?? Number.NaN,
    rewards,
  };
}

function readField([name, node]: readonly [string, MappingNode]): FieldMapping {
  node.allow(['column', 'as', 'values']);
  const form = node.text('as') ?? 'text';
  const known = FIELD_FORMS.find((word) => word === form);
  if (known === undefined) throw node.problem('as', `must be one of ${FIELD_FORMS.join(', ')}`);
  return { name, column: node.needText('column'), form: known, values: node.get('values')?.texts() ?? null };
}

function readReward(node: MappingNode): RewardMapping {
  node.allow(['name', 'column', 'event', 'currency', 'minorUnits']);
  const event = node.text('event');
  const currency = node.text('currency');
  const minorUnits = node.number('minorUnits');
  if ((currency === null) !== (minorUnits === null)) throw node.problem('currency', 'and minorUnits go together');
  if (currency !== null && event === null) throw node.problem('currency', 'needs an event to be sent with');
  if (minorUnits !== null && !(minorUnits > 0 && minorUnits <= 1e6)) {
    throw node.problem('minorUnits', 'must be above 0 and at most 1,000,000');
  }
  return { name: node.needText('name'), column: node.needText('column'), event, currency, minorUnits: minorUnits ?? 1 };
}

/** A value of the file with its place, so that every complaint can name it. */
class MappingNode {
  readonly value: unknown;
  readonly #source: YamlSource;
  readonly #fileName: string;
  readonly #path: DocumentPath;

  constructor(source: YamlSource, fileName: string, path: DocumentPath, value: unknown) {
    this.#source = source;
    this.#fileName = fileName;
    this.#path = path;
    this.value = value;
  }

  problem(key: string, reason: string): OperatorError {
    const path = key === '' ? this.#path : [...this.#path, key];
    const { line, column } = this.#source.locate(path, 'key');
    return invalid(`${this.#fileName}:${line}:${column}: ${path.join('.') || 'the file'} ${reason}`);
  }

  #map(): Readonly<Record<string, unknown>> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) {
      throw this.problem('', 'must be a map');
    }
    return this.value as Record<string, unknown>; // a map of the YAML reader
  }

  #child(key: string | number, value: unknown): MappingNode {
    return new MappingNode(this.#source, this.#fileName, [...this.#path, key], value);
  }

  allow(keys: readonly string[]): this {
    for (const key of Object.keys(this.#map())) {
      if (keys.includes(key)) continue;
      const nearest = nearestMatch(key, keys);
      throw this.problem(key, `is no key here${nearest === undefined ? '' : `; did you mean ${nearest}?`}`);
    }
    return this;
  }

  get(key: string): MappingNode | null {
    const value = this.#map()[key];
    return value === undefined || value === null ? null : this.#child(key, value);
  }

  need(key: string): MappingNode {
    const child = this.get(key);
    if (child === null) throw this.problem('', `needs ${key}`);
    return child;
  }

  text(key: string): string | null {
    const child = this.get(key);
    if (child === null) return null;
    if (typeof child.value !== 'string' || child.value === '') throw this.problem(key, 'must be a text');
    return child.value;
  }

  needText(key: string): string {
    const text = this.text(key);
    if (text === null) throw this.problem('', `needs ${key}`);
    return text;
  }

  number(key: string): number | null {
    const child = this.get(key);
    if (child === null) return null;
    if (typeof child.value !== 'number' || !Number.isFinite(child.value)) throw this.problem(key, 'must be a number');
    return child.value;
  }

  entries(): [string, MappingNode][] {
    return Object.entries(this.#map()).map(([key, value]) => [key, this.#child(key, value)]);
  }

  /** Texts and numbers by text key, all as text. */
  texts(): ReadonlyMap<string, string> {
    return new Map(
      this.entries().map(([key, { value }]) => {
        if (typeof value !== 'string' && typeof value !== 'number') throw this.problem(key, 'must be a text');
        return [key, String(value)];
      }),
    );
  }

  items(): MappingNode[] {
    if (!Array.isArray(this.value)) throw this.problem('', 'must be a list');
    return this.value.map((item, index) => this.#child(index, item));
  }
}

function invalid(message: string, cause?: unknown): OperatorError {
  return new OperatorError('MAPPING_INVALID', message, {
    advice: 'See docs/REPLAY.md and the examples in mappings/.',
    ...(cause === undefined ? {} : { cause }),
  });
}
