/**
 * One logged row in the words of the protocol: from cells, by the mapping. A cell that cannot be read
 * makes its row unusable, with the reason; an empty one is only left out, because logs have gaps.
 */
import type { Properties } from '../../proto/messages.ts';
import { OperatorError } from '../operator-error.ts';
import type { CsvHeader, CsvRow } from './csv-rows.ts';
import type { FieldMapping, ReplayMapping } from './replay-mapping.ts';

export interface LoggedRow {
  /** Number of the row in the log, from 0. */
  readonly index: number;
  /** The person's key in the log, or the row's number. */
  readonly person: string;
  readonly traits: Properties;
  readonly context: Properties | null;
  /** Key of the logged action. */
  readonly action: string;
  /** Probability of the logged action, in (0, 1]. */
  readonly propensity: number;
  /** In the mapping's order. */
  readonly rewards: readonly number[];
}

type Scalar = string | number | boolean;

/** Positions of the mapping's columns in one file. Throws OperatorError `MAPPING_INVALID` for one that is missing. */
export class RowReader {
  readonly #mapping: ReplayMapping;
  readonly #header: CsvHeader;

  constructor(mapping: ReplayMapping, header: CsvHeader) {
    this.#mapping = mapping;
    this.#header = header;
    const columns = [
      mapping.actionColumn,
      ...mapping.rewards.map(({ column }) => column),
      ...mapping.traits.map(({ column }) => column),
      ...mapping.context.map(({ column }) => column),
      ...(mapping.personColumn === null ? [] : [mapping.personColumn]),
      ...(mapping.propensityColumn === null ? [] : [mapping.propensityColumn]),
    ];
    const missing = columns.find((column) => !header.has(column));
    if (missing !== undefined) {
      throw new OperatorError('MAPPING_INVALID', `the log has no column ${JSON.stringify(missing)}`, {
        advice: `It has ${[...header.keys()].slice(0, 20).join(', ')}.`,
      });
    }
  }

  /** The row, or why it cannot be used. */
  read(row: CsvRow, index: number): LoggedRow | string {
    const mapping = this.#mapping;
    const cell = (column: string): string => (row.fields[this.#header.get(column) ?? -1] ?? '').trim();
    const actionCell = cell(mapping.actionColumn);
    if (actionCell === '') return `${mapping.actionColumn} is empty`;
    const action =
      mapping.actionValues === null
        ? mapping.actionTemplate.replaceAll('{}', () => actionCell)
        : mapping.actionValues.get(actionCell);
    if (action === undefined) return `${mapping.actionColumn} is ${shown(actionCell)}, which the mapping does not list`;
    let propensity = mapping.propensityConstant;
    if (mapping.propensityColumn !== null) {
      propensity = numberOf(cell(mapping.propensityColumn));
      if (!(propensity > 0 && propensity <= 1)) return `${mapping.propensityColumn} is not in (0, 1]`;
    }
    const rewards: number[] = [];
    for (const { column } of mapping.rewards) {
      const reward = numberOf(cell(column));
      if (Number.isNaN(reward)) return `${column} is ${shown(cell(column))}, not a number`;
      rewards.push(reward);
    }
    const person = mapping.personColumn === null ? String(index) : cell(mapping.personColumn);
    if (person === '') return `${mapping.personColumn} is empty`;
    const traits = fieldsOf(mapping.traits, cell);
    if (typeof traits === 'string') return traits;
    const context = fieldsOf(mapping.context, cell);
    if (typeof context === 'string') return context;
    return {
      index,
      person,
      traits,
      context: mapping.context.length === 0 ? null : context,
      action,
      propensity,
      rewards,
    };
  }
}

function fieldsOf(fields: readonly FieldMapping[], cell: (column: string) => string): Properties | string {
  const found: Record<string, Scalar> = {};
  for (const { name, column, form, values } of fields) {
    const text = cell(column);
    if (text === '') continue;
    const value = readCell(values?.get(text) ?? text, form);
    if (value === undefined) return `${column} is ${shown(text)}, not ${ARTICLE[form]}`;
    found[name] = value;
  }
  return found;
}

const ARTICLE: Readonly<Record<FieldMapping['form'], string>> = {
  text: 'a text',
  integer: 'an integer',
  number: 'a number',
  boolean: 'a boolean (1, 0, true, false, yes, no)',
  hour: 'an instant',
  weekday: 'an instant',
};
const BOOLEANS: Readonly<Record<string, boolean>> = {
  '1': true,
  '0': false,
  true: true,
  false: false,
  yes: true,
  no: false,
};

function readCell(text: string, form: FieldMapping['form']): Scalar | undefined {
  switch (form) {
    case 'text':
      return text;
    case 'integer': {
      const value = numberOf(text);
      return Number.isSafeInteger(value) ? value : undefined;
    }
    case 'number': {
      const value = numberOf(text);
      return Number.isNaN(value) ? undefined : value;
    }
    case 'boolean':
      return BOOLEANS[text.toLowerCase()];
    default: {
      // Without an offset it is UTC, whatever zone this machine is in.
      const at = new Date(/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text.replace(' ', 'T')}Z`);
      if (Number.isNaN(at.getTime())) return undefined;
      return form === 'hour' ? at.getUTCHours() : (at.getUTCDay() + 6) % 7;
    }
  }
}

/** A finite decimal number, else NaN: no hexadecimal, no blanks, no infinity. */
function numberOf(text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number.NaN;
  const value = Number(text);
  return Number.isFinite(value) ? value : Number.NaN;
}

function shown(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);
}
