/** docs/PROTOCOL.md says what the code does: limits, codes, operations, hashes and examples. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../proto/limits.ts';
import { OP } from '../../proto/messages.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { partitionOfDecisionId, partitionOfKey } from '../../proto/partition.ts';
import { FrameDecoder } from '../../proto/request.ts';
import {
  EVENT_CHARACTERS_MAX,
  FIELD_NAMES,
  hasField,
  ID_CHARACTERS_MAX,
  neededFields,
} from '../../proto/request-fields.ts';
import { FAULT } from '../../proto/statuses.ts';

const document = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8');

/** Rows of the table that follows the heading, as trimmed cells, without its head. */
function tableAfter(heading: string): string[][] {
  const section = document.slice(document.indexOf(heading) + heading.length).split(/\n#+ /)[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const unquote = (cell = ''): string => cell.replaceAll('`', '');

describe('PROTOCOL.md', () => {
  test('limits: the table is limits.ts', () => {
    const table = Object.fromEntries(tableAfter('## Limits').map(([name, value]) => [unquote(name), Number(value)]));
    expect(table).toEqual(LIMITS);
    expect(document).toContain(`event names to ${EVENT_CHARACTERS_MAX} characters`);
    expect(document).toContain(`quote ids to ${ID_CHARACTERS_MAX} characters`);
  });

  test('codes: the table is statuses.ts', () => {
    const rows = tableAfter('### Codes').map(([code, name, status, retry, hint]) => [
      unquote(name),
      { code: Number(code), status: unquote(status), retry: unquote(retry), retryAfterMillis: Number(hint) },
    ]);
    expect(Object.fromEntries(rows)).toEqual(FAULT);
    expect(rows).toHaveLength(Object.keys(FAULT).length);
  });

  test('operations: the table has the fields the decoder knows, marked as it needs them', () => {
    const rows = tableAfter('## Operations');
    for (const [op, fields] of rows) {
      const number = OP[unquote(op) as keyof typeof OP]; // undefined fails below
      expect(number).toBeGreaterThan(0);
      const listed = (fields ?? '')
        .split(',')
        .map((cell) => cell.trim())
        .filter((cell) => cell !== '');
      const known = FIELD_NAMES.filter((_name, field) => field > 3 && hasField(number, field)).map((name) => {
        const isNeeded = (neededFields(number) & (1 << FIELD_NAMES.indexOf(name))) !== 0;
        return `\`${name}\`${isNeeded ? '' : '?'}`;
      });
      expect([...listed].sort()).toEqual([...known].sort());
    }
    expect(rows).toHaveLength(14);
    for (const name of Object.keys(OP)) expect(document).toContain(`\`${name}\``);
  });

  test('hash: the vectors hold', () => {
    const rows = tableAfter('## Partitions and ids');
    expect(rows).toHaveLength(6);
    for (const [key, hash, partition] of rows) {
      expect(murmur3Text(unquote(key), 0).toString(16).padStart(8, '0')).toBe(unquote(hash));
      expect(partitionOfKey(unquote(key))).toBe(Number(partition));
    }
  });

  test('examples: every request frame decodes, every reply is JSON, the refusal is the decoder’s own', () => {
    const decoder = new FrameDecoder('json');
    const lines = document.split('\n').filter((line) => /^ {4}[<>] /.test(line));
    expect(lines.length).toBeGreaterThan(5);
    const refusals: unknown[] = [];
    for (const line of lines) {
      const text = line.slice(6);
      if (line.startsWith('    < ')) {
        JSON.parse(text);
        continue;
      }
      let count = 0;
      const isDecoded = decoder.decode(new TextEncoder().encode(text), {
        onRequest: ({ decisionId, op }) => {
          count++;
          if (op === OP.confirm) expect(partitionOfDecisionId(decisionId)).toBe(partitionOfKey('customer-12345'));
        },
        onInvalid: (id, { status, code, retry }, message) =>
          refusals.push({ id, ok: false, status, code, message, retry }),
      });
      expect(isDecoded && count + refusals.length > 0).toBe(true);
    }
    expect(refusals).toEqual([JSON.parse((lines.at(-1) ?? '').slice(6))]);
  });
});
