/**
 * Holds the tables of docs/OPERATING.md against the code. To write them anew after a change:
 *   OPERATING_DOC=write npx vitest run test/server/operating-doc.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../server/commands/command.ts';
import { CONFIG_KEYS, flagOf, OPTIONS } from '../../server/config-options.ts';
import { packageRoot } from '../../server/package-version.ts';
import {
  COUNTERS,
  GAUGES,
  HISTOGRAMS,
  type MetricInfo,
  NODE_COUNTERS,
  NODE_GAUGES,
  REQUESTS,
} from '../../workers/metrics-layout.ts';

const path = join(packageRoot(), 'docs', 'OPERATING.md');

const EXIT_TEXT: Record<keyof typeof EXIT, string> = {
  ok: 'done; for `start`: stopped as asked',
  failed: 'the operation failed or a check found something wrong; stderr says what and what to do',
  usage: 'the command line or the configuration is wrong; trying again will not help',
  unreachable: 'no server answers at the address',
  refused: 'the server answered with an error status',
};

function optionRows(): string[] {
  return CONFIG_KEYS.map((key) => {
    const { byDefault, defaultText, description, isSecret } = OPTIONS[key];
    const value = Array.isArray(byDefault) ? '(empty)' : `\`${String(byDefault)}\``;
    return `| \`${key}\` | ${isSecret === true ? '' : `\`--${flagOf(key)}\``} | ${defaultText ?? value} | ${description} |`;
  });
}

function metricRows(): string[] {
  const rows = new Map<string, { kind: string; description: string; labels: string[] }>();
  const add = (kind: string, infos: readonly MetricInfo[]): void => {
    for (const info of infos) {
      const name = kind === 'counter' ? `${info.name}_total` : info.name;
      const row = rows.get(name) ?? { kind, description: info.description, labels: [] };
      for (const [label, value] of Object.entries(info.labels ?? {})) row.labels.push(`${label}="${value}"`);
      rows.set(name, row);
    }
  };
  add('counter', [{ ...REQUESTS, labels: { op: '…', status: '…' } }, ...Object.values(COUNTERS)]);
  add('gauge', Object.values(GAUGES));
  add('histogram', Object.values(HISTOGRAMS));
  add('gauge', Object.values(NODE_GAUGES));
  add('counter', Object.values(NODE_COUNTERS));
  return [...rows].map(([name, { kind, description, labels }]) => {
    const braces = labels.length === 0 ? '' : ` \`{${labels.join(', ')}}\``;
    return `| \`${name}\` | ${kind} | ${description}${braces} |`;
  });
}

const TABLES = {
  options: ['| key | flag | default | meaning |', '|---|---|---|---|', ...optionRows()],
  exits: [
    '| code | meaning |',
    '|---|---|',
    ...Object.entries(EXIT).map(([name, code]) => `| ${code} | ${EXIT_TEXT[name as keyof typeof EXIT]} |`), // its own keys
  ],
  metrics: ['| name | kind | meaning |', '|---|---|---|', ...metricRows()],
};

describe('operating doc', () => {
  it.each(Object.entries(TABLES))('operating doc: the table of %s is what the code has', (name, lines) => {
    const text = readFileSync(path, 'utf8');
    const pattern = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`);
    if (process.env.OPERATING_DOC === 'write') {
      writeFileSync(
        path,
        text.replace(pattern, () => `<!-- ${name} -->\n${lines.join('\n')}\n<!-- /${name} -->`),
      );
      return;
    }
    expect(pattern.exec(text)?.[1]?.trimEnd().split('\n')).toEqual(lines);
  });
  it('operating doc: names every drill and endpoint of the admin server', () => {
    const text = readFileSync(path, 'utf8');
    for (const place of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/v1/schema/catalog.json',
      '/v1/drill/worker-error',
      '/v1/drill/worker-exit',
    ]) {
      expect(text).toContain(place);
    }
  });
});
