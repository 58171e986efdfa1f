/**
 * The section of GPP for Canada, `tcfcav1`: purposes by express and by implied consent, vendors of each, what publishers
 * restrict, and which vendors were shown.
 *
 * It is read here and not by IAB's library: vendors may be written in two codings, Fibonacci numbers as the specification
 * has it or numbers of 16 bits as in Europe, and nothing in the string says which. The library tries one and then the
 * other and expands all ranges on the way: 318 characters kept it busy for 1.2 s. Here both are walked within bounds;
 * where both are whole, the one counts whose vendors end with the highest that was announced, and of two such a vendor
 * has what both give it, and is restricted by either.
 *
 * Source: IAB Tech Lab, Global Privacy Platform, `Sections/Canada/GPPExtension: IAB Canada TCF.md`. Called by
 * `consent-strings.ts`; the tests hold it against strings by the library's encoder.
 */
import {
  BadString,
  Bits,
  checkHead,
  checkSegments,
  hasVendor,
  type Restriction,
  VendorReader,
} from './string-bounds.ts';

const VERSION = 1;
const FEATURES = 12;
const PURPOSES = 24;
/** Vendors that were shown, the publisher's own purposes. */
const SEGMENTS = [1, 3];
/** As the specification has it first: its error is the one to tell. */
const CODINGS = ['fibonacci', 'fixed'] as const;

export interface CanadaString {
  /** By number less one. */
  readonly features: readonly boolean[];
  readonly express: readonly boolean[];
  readonly implied: readonly boolean[];
  /** Whether the vendor has express consent, implied consent, and was shown; true for who is no vendor. */
  readonly hasExpress: boolean;
  readonly hasImplied: boolean;
  readonly isShown: boolean;
  /** Those of the vendor. */
  readonly restrictions: readonly Pick<Restriction, 'key' | 'type'>[];
}

/** One way to read the vendors of a string. */
interface Reading {
  readonly isExact: boolean;
  readonly hasExpress: boolean;
  readonly hasImplied: boolean;
  readonly isShown: boolean;
  readonly restrictions: readonly Pick<Restriction, 'key' | 'type'>[];
}

/**
 * @param vendor number in the Global Vendor List, or null for who is no vendor
 * @throws BadString where neither coding makes sense of it
 */
export function readCanadaString(text: string, vendor: number | null, now: number): CanadaString {
  const [core = '', ...others] = text.split('.');
  const bits = new Bits(core);
  checkHead(bits, VERSION, now);
  bits.skip(6 + 1); // policy, whether stacks are the standard ones
  const features = takeFlags(bits, FEATURES);
  const express = takeFlags(bits, PURPOSES);
  const implied = takeFlags(bits, PURPOSES);
  const readings: Reading[] = [];
  let problem: BadString | null = null;
  for (const coding of CODINGS) {
    try {
      readings.push(readVendors(bits.copy(), others, new VendorReader(coding), vendor));
    } catch (error) {
      if (!(error instanceof BadString)) throw error;
      problem ??= error;
    }
  }
  if (readings.length === 0 && problem !== null) throw problem;
  const exact = readings.filter((one) => one.isExact);
  const likely = exact.length > 0 ? exact : readings;
  return {
    features,
    express,
    implied,
    hasExpress: likely.every((one) => one.hasExpress),
    hasImplied: likely.every((one) => one.hasImplied),
    isShown: likely.every((one) => one.isShown),
    restrictions: likely.flatMap((one) => one.restrictions),
  };
}

function readVendors(bits: Bits, others: readonly string[], reader: VendorReader, vendor: number | null): Reading {
  const express = reader.takeVector(bits);
  const implied = reader.takeVector(bits);
  const restrictions = reader.takeRestrictions(bits);
  bits.end();
  let isShown = true;
  checkSegments(others, SEGMENTS, (segment) => {
    const shown = reader.takeVector(segment);
    isShown = vendor === null || hasVendor(shown, vendor);
    return shown;
  });
  return {
    isExact: reader.isExact,
    hasExpress: vendor === null || hasVendor(express, vendor),
    hasImplied: vendor === null || hasVendor(implied, vendor),
    isShown,
    restrictions: vendor === null ? [] : restrictions.filter(({ vendors }) => hasVendor(vendors, vendor)),
  };
}

function takeFlags(bits: Bits, count: number): boolean[] {
  return Array.from({ length: count }, () => bits.take(1) === 1);
}
