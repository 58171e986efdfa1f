/**
 * ISO 4217: which codes are currencies and how many digits each has behind the point, so that amounts of other systems
 * become whole minor units and an unknown code is refused instead of counted. The table is the standard's own: what
 * `Intl` says follows customary use, which gives the Iraqi dinar no digits where the standard has three. Codes that
 * were withdrawn since 2023 (ANG, BGN, HRK) stay, because histories have them. Called by `clean-value.ts`, and by the
 * doors that read major units.
 */

const CODES: ReadonlySet<string> = new Set(
  (
    'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF ' +
    'CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF ' +
    'GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR ' +
    'LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK ' +
    'PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND ' +
    'TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG'
  ).split(' '),
);
const OTHER_DIGITS: Readonly<Record<string, string>> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};
const DIGITS: ReadonlyMap<string, number> = new Map(
  Object.entries(OTHER_DIGITS).flatMap(([digits, codes]) => codes.split(' ').map((code) => [code, Number(digits)])),
);

/** Far inside the integers a double holds exactly; the same bound as a catalog's money. */
export const MONEY_MINOR_MAX = 1_000_000_000_000;
const DECIMAL = /^[+-]?\d{1,13}(?:\.(\d{1,10}))?$/;

/** Digits behind the point of a currency: 2 for EUR, 0 for JPY, 3 for KWD; null where there is no such currency. */
export function currencyDigits(code: string): number | null {
  return CODES.has(code) ? (DIGITS.get(code) ?? 2) : null;
}

/**
 * The amount in minor units; NaN when it is no amount in that currency: no decimal text, not finite, beyond 10^12, or
 * with more digits than the currency has, because half a cent is a mistake of somebody's and not ours to round. What a
 * double's own rounding adds (0.1 + 0.2) is no such digit.
 * @param amount major units: a number, or its plain decimal text
 */
export function exactMinor(amount: unknown, digits: number): number {
  let major = Number.NaN;
  if (typeof amount === 'number') major = amount;
  else if (typeof amount === 'string') {
    const match = DECIMAL.exec(amount);
    if (match === null || /[1-9]/.test((match[1] ?? '').slice(digits))) return Number.NaN;
    major = Number(amount);
  }
  const scaled = major * 10 ** digits;
  const minor = Math.round(scaled);
  const isWhole = Math.abs(scaled - minor) <= 1e-6 + Math.abs(scaled) * 2 ** -51;
  return isWhole && Math.abs(minor) <= MONEY_MINOR_MAX ? minor + 0 : Number.NaN;
}
