/** A profile's record as a person reads it: one section a part, keys aligned, instants as local times. */
import type { Plain, ProfileReply } from '../../proto/messages.ts';
import { createPaint, formatDistance, formatInstant, formatTable, type Paint } from './terminal-text.ts';

export interface ProfileView {
  readonly profile: string;
  readonly hasColour: boolean;
  readonly nowEpochMillis: number;
  readonly timeZone?: string;
}

export function renderProfile(reply: ProfileReply, view: ProfileView): string {
  const paint = createPaint(view.hasColour);
  const lines = [`${paint.bold(view.profile)} ${paint.dim(`· state ${reply.stateSeq}`)}`];
  const single: string[][] = [];
  const sections: string[] = [];
  for (const [key, value] of Object.entries(reply.record)) {
    if (typeof value !== 'object' || value === null) single.push([paint.dim(key), valueText(key, value, view)]);
    else if (!isEmpty(value)) sections.push('', `  ${paint.bold(key)}`, ...sectionLines(value, view, paint));
  }
  lines.push(...formatTable(single, [], '  '), ...sections);
  if (reply.stateSeq === 0) {
    lines.push('', '  Nothing is known about this person yet. Tell something:');
    lines.push(`  opportune track ${view.profile} view sku=espresso-1kg`);
  }
  return `${lines.join('\n')}\n`;
}

function sectionLines(value: Plain, view: ProfileView, paint: Paint): string[] {
  if (Array.isArray(value)) {
    const items = value as readonly Plain[]; // Array.isArray does not narrow a readonly array
    return formatTable(
      items.map((item) =>
        isMap(item)
          ? Object.entries(item).map(([key, inner]) => `${paint.dim(key)} ${valueText(key, inner, view)}`)
          : [valueText('', item, view)],
      ),
      [],
      '    ',
    );
  }
  if (!isMap(value)) return [];
  return formatTable(
    Object.entries(value).map(([key, inner]) => [key, valueText(key, inner, view)]),
    [],
    '    ',
  );
}

function valueText(key: string, value: Plain, view: ProfileView): string {
  if (value === null) return '–';
  if (typeof value === 'number' && /epochMillis$/i.test(key)) {
    return `${formatInstant(value, view.nowEpochMillis, view.timeZone)} (${formatDistance(value, view.nowEpochMillis)})`;
  }
  if (Array.isArray(value)) return value.map((item) => valueText('', item as Plain, view)).join(', '); // items of a Plain array
  if (isMap(value)) {
    return Object.entries(value)
      .map(([inner, item]) => `${inner} ${valueText(inner, item, view)}`)
      .join(' · ');
  }
  return typeof value === 'number' ? value.toLocaleString('en', { maximumFractionDigits: 6 }) : String(value);
}

function isMap(value: Plain): value is { readonly [key: string]: Plain } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}
