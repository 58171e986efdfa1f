/**
 * `key=value` words of the command line as properties: numbers and true/false by their look, JSON where
 * the value begins with `{`, `[` or `"`, text otherwise. `id:=007` keeps text that looks like a number.
 */
import type { Plain } from '../../proto/messages.ts';
import { OperatorError } from '../operator-error.ts';

/** @throws OperatorError USAGE naming the word that is not a pair, or whose JSON is broken. */
export function parsePairs(words: readonly string[]): { [key: string]: Plain } {
  const pairs: { [key: string]: Plain } = Object.create(null); // a key may be called __proto__
  for (const word of words) {
    const at = word.indexOf('=');
    const isText = word[at - 1] === ':';
    const key = word.slice(0, isText ? at - 1 : at);
    if (at < 0 || key === '') {
      throw new OperatorError('USAGE', `${JSON.stringify(word)} is not key=value`, {
        advice: 'Write each property as key=value, for example revenueMinor=12900 currency=CNY.',
      });
    }
    if (key in pairs) {
      throw new OperatorError('USAGE', `${key} is given twice`, { advice: 'Give each key once.' });
    }
    const text = word.slice(at + 1);
    pairs[key] = isText ? text : valueOfText(key, text);
  }
  return pairs;
}

function valueOfText(key: string, text: string): Plain {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  // No leading zeros and no exponents: 007 and 1e5 are rather codes than numbers.
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) && Math.abs(Number(text)) <= Number.MAX_SAFE_INTEGER) return Number(text);
  if (/^[{["]/.test(text)) return parseJson(key, text);
  return text;
}

/** @throws OperatorError USAGE naming `what`. */
export function parseJson(what: string, text: string): Plain {
  try {
    return JSON.parse(text) as Plain; // JSON holds nothing else
  } catch (cause) {
    throw new OperatorError('USAGE', `${what} is not valid JSON: ${cause instanceof Error ? cause.message : text}`, {
      advice: `Quote it for the shell, for example ${what}='{"sku":"espresso-1kg"}'.`,
      cause,
    });
  }
}
