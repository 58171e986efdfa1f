/**
 * Phone numbers into E.164, the form in which one number is one text. Sole importer of libphonenumber-js, Google's
 * numbering plans in their smallest edition (83 KB), which is loaded with the first catalog that declares a phone
 * number and by nothing else. Edition "min" knows lengths and prefixes of a country, not which numbers are mobile.
 * Called through the rules that `compile-cleaning.ts` makes.
 */
import { createRequire } from 'node:module';

type Library = typeof import('libphonenumber-js/min');

let library: Library | null = null;

function loaded(): Library {
  // Its CommonJS form, because a catalog is compiled in one synchronous step.
  library ??= createRequire(import.meta.url)('libphonenumber-js/min') as Library; // the package's own types
  return library;
}

/** Whether numbering plans know the region. */
export function isPhoneRegion(region: string): boolean {
  return loaded().isSupportedCountry(region);
}

/**
 * A reader of numbers.
 * @param region ISO 3166 code of numbers without country code; null: those are refused
 * @returns E.164, or null for what is no number that can be dialled as it is: an extension, letters, too few digits
 */
export function phoneReader(region: string | null): (text: string) => string | null {
  const { parsePhoneNumberFromString, isSupportedCountry } = loaded();
  const defaultCountry = region !== null && isSupportedCountry(region) ? region : undefined;
  return (text) => {
    if (/\p{L}/u.test(text)) return null;
    const options = { extract: false, ...(defaultCountry === undefined ? {} : { defaultCountry }) };
    const number = parsePhoneNumberFromString(text, options);
    if (number?.isValid() !== true || number.ext !== undefined) return null;
    // What E.164 cannot say again would become another number at the next reading.
    return parsePhoneNumberFromString(number.number, { extract: false })?.number === number.number
      ? number.number
      : null;
  };
}
