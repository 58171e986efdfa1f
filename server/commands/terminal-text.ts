/**
 * How numbers, instants and tables look in a terminal: aligned, with units, coloured only where colours
 * are shown. Pure functions of their arguments (the current time included), so tests hold the exact text.
 */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

export function createPaint(hasColour: boolean): Paint {
  const style =
    (open: number, close: number) =>
    (text: string): string =>
      hasColour && text !== '' ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return { bold: style(1, 22), dim: style(2, 22), good: style(32, 39), bad: style(31, 39), warn: style(33, 39) };
}

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');

/** Columns a text takes: escapes take none, East Asian wide characters two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text.replace(ESCAPES, '')) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0x300 && code <= 0x36f) continue; // combining marks
    const isWide =
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0x1f300 && code <= 0x1faff) ||
      (code >= 0x20000 && code <= 0x3fffd);
    width += isWide ? 2 : 1;
  }
  return width;
}

export type Align = 'left' | 'right';

/** Lines of a table without borders, two spaces between columns; rows may be ragged. */
export function formatTable(
  rows: readonly (readonly string[])[],
  aligns: readonly Align[] = [],
  margin = '',
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const padding = ' '.repeat((widths[column] ?? 0) - widthOf(cell));
      return aligns[column] === 'right' ? padding + cell : cell + padding;
    });
    return (margin + cells.join('  ')).trimEnd();
  });
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar for a share in [0, 1], in eighths of a character, padded to `width`. */
export function formatBar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, Number.isNaN(share) ? 0 : share)) * width * 8);
  const bar = '█'.repeat(eighths >> 3) + (EIGHTHS[eighths & 7] ?? '');
  return bar + '·'.repeat(width - bar.length);
}

/** A bar that grows left of the middle for negative values and right of it for positive ones. */
export function formatSignedBar(value: number, largest: number, halfWidth: number): string {
  const share = largest > 0 ? Math.min(1, Math.abs(value) / largest) : 0;
  const length = value === 0 ? 0 : Math.max(1, Math.round(share * halfWidth));
  const bar = '█'.repeat(length);
  return value < 0
    ? `${bar.padStart(halfWidth)}│${' '.repeat(halfWidth)}`
    : `${' '.repeat(halfWidth)}│${bar.padEnd(halfWidth)}`;
}

/** `31.2 %`, with more digits where the share is small. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0) return '0 %';
  const digits = Math.abs(percent) >= 10 ? 1 : Math.abs(percent) >= 0.1 ? 2 : 4;
  return `${percent.toFixed(digits)} %`;
}

/** Integer minor units as an amount with its ISO 4217 code: `129.00 CNY`, `1,200 JPY`. */
export function formatMoney(minor: number, currency: string): string {
  const digits = fractionDigitsOf(currency);
  const amount = new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${amount.format(minor / 10 ** digits)} ${currency}`;
}

function fractionDigitsOf(currency: string): number {
  try {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency });
    return format.resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 0; // not a code Intl knows: show the minor units as they are
  }
}

/** `0.21 ms`, `3.4 s`, `2 min 5 s`, `7 d`. */
export function formatDuration(millis: number): string {
  const size = Math.abs(millis);
  if (size < 1) return `${Math.round(millis * 1000)} µs`;
  if (size < 1000) return `${Number(millis.toPrecision(3))} ms`;
  if (size < 60_000) return `${Number((millis / 1000).toPrecision(3))} s`;
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const;
  const parts: string[] = [];
  let rest = Math.round(size / 1000) * 1000;
  for (const [unit, length] of units) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0 && parts.length < 2) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break; // the second unit only where it follows the first
  }
  return (millis < 0 ? '-' : '') + parts.join(' ');
}

/** `in 2 min`, `3 h ago`, `now`. */
export function formatDistance(atEpochMillis: number, nowEpochMillis: number): string {
  const distance = atEpochMillis - nowEpochMillis;
  if (Math.abs(distance) < 1000) return 'now';
  return distance > 0 ? `in ${formatDuration(distance)}` : `${formatDuration(-distance)} ago`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** An instant in the terminal's own zone: `22:15:00` today, `Mon 23 Nov 20:00:00` another day. */
export function formatInstant(atEpochMillis: number, nowEpochMillis: number, timeZone?: string): string {
  const day = { weekday: 'short', day: 'numeric', month: 'short' } as const;
  const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false } as const;
  const zone = timeZone === undefined ? {} : { timeZone };
  const at = new Date(atEpochMillis);
  if (Number.isNaN(at.getTime())) return 'never';
  const dayText = new Intl.DateTimeFormat('en-GB', { ...day, ...zone });
  const time = new Intl.DateTimeFormat('en-GB', { ...clock, ...zone }).format(at);
  const isToday = dayText.format(at) === dayText.format(new Date(nowEpochMillis));
  return isToday ? time : `${dayText.format(at).replace(',', '')} ${time}`;
}

/** `1 worker`, `2 workers`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
