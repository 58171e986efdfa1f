/**
 * Mail addresses as keys: trimmed and lower-cased, so that one person's is one text, and checked for the form that mail
 * servers take (RFC 5321 without quoted parts and address literals). Whether anybody reads there is not known from the
 * text. Letters of two alphabets in one word are how addresses are imitated, so that is said and not refused. Called
 * by `clean-value.ts`.
 */

const LENGTH_MAX = 254;
const LOCAL = /^[^\s@"(),:;<>[\\\]\p{Cc}\p{Cf}]{1,64}$/u;
const LABEL = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?$/u;
const LAST_LABEL = /^(?:xn--[a-z0-9-]{1,59}|[\p{L}\p{M}]{2,63})$/u;
const GMAIL = new Set(['gmail.com', 'googlemail.com']);
const WORD_BREAK = /[^\p{L}\p{M}]+/u;

/**
 * The address in its one form, or null when it is none.
 * @param foldsGmail whether dots and what follows a plus are left out where the provider ignores both
 */
export function cleanMail(text: string, foldsGmail: boolean): string | null {
  const address = text.trim().toLowerCase().normalize('NFC');
  const at = address.lastIndexOf('@');
  if (address.length > LENGTH_MAX || at < 1) return null;
  const local = address.slice(0, at);
  const domain = address.slice(at + 1);
  const labels = domain.split('.');
  if (!LOCAL.test(local) || local.startsWith('.') || local.endsWith('.') || local.includes('..')) return null;
  if (labels.length < 2 || !labels.every((label) => LABEL.test(label)) || !LAST_LABEL.test(labels.at(-1) ?? ''))
    return null;
  if (!foldsGmail || !GMAIL.has(domain)) return address;
  const name = (local.split('+')[0] ?? '').replaceAll('.', '');
  return name === '' ? null : `${name}@gmail.com`;
}

/** Whether one word has Latin letters and others that look like them. */
export function mixesScripts(text: string): boolean {
  return text
    .split(WORD_BREAK)
    .some((word) => /\p{Script=Latin}/u.test(word) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(word));
}
