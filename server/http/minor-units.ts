/**
 * Amounts as other systems send them (major units, a decimal fraction or text) into whole minor units of an ISO 4217
 * currency, as everything here has them. How many digits a currency has is the standard's word; of those withdrawn long
 * ago it is what `Intl` knows.
 */
import { currencyDigits } from '../../decision/cleaning/currency.ts';

const digits = new Map<string, number>();
const CURRENCIES: ReadonlySet<string> = new Set(Intl.supportedValuesOf('currency'));
const DECIMAL = /^-?\d{1,13}(?:\.\d{1,10})?$/;

/** Digits after the decimal point of a currency: 2 for EUR, 0 for JPY, 3 for KWD; null where there is no such currency. */
export function minorDigits(currency: string): number | null {
  const standard = currencyDigits(currency);
  if (standard !== null || !CURRENCIES.has(currency)) return standard;
  let known = digits.get(currency);
  if (known === undefined) {
    known = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2;
    digits.set(currency, known);
  }
  return known;
}

/**
 * The amount in minor units, rounded half away from zero; null when it is no amount (not a number nor its decimal text, not finite, or
 * beyond 2^53). Rounded by its decimal digits, so that 1.005 is 101 cents although no double is.
 */
export function toMinor(amount: unknown, currencyDigits: number): number | null {
  const text = typeof amount === 'number' && Number.isFinite(amount) ? plainText(amount) : amount;
  if (typeof text !== 'string' || !DECIMAL.test(text)) return null;
  const isNegative = text.startsWith('-');
  const [whole = '0', fraction = ''] = (isNegative ? text.slice(1) : text).split('.');
  const kept = fraction.slice(0, currencyDigits).padEnd(currencyDigits, '0');
  const minor = Number(whole + kept) + (Number(fraction[currencyDigits] ?? '0') >= 5 ? 1 : 0);
  if (!Number.isSafeInteger(minor)) return null;
  return isNegative && minor !== 0 ? -minor : minor;
}

/** Without an exponent: 1e-7 is nothing of any currency. */
function plainText(amount: number): string {
  return /e/.test(String(amount)) ? amount.toFixed(4) : String(amount).replace(/(\.\d{10})\d+$/, '$1');
}
