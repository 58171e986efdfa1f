/**
 * Whether a TCF or GPP string is whole, of a version that is read here, and no larger inside than outside: a few
 * characters can claim ranges of millions of vendors, and whoever expands them is busy for seconds. So every field is
 * walked first, bit by bit, without expanding anything; what passes is decoded by the library.
 *
 * Called by `consent-strings.ts` and `canada-string.ts`. Layouts: IAB Tech Lab, "Consent string and vendor list formats
 * v2" and "Global Privacy Platform String".
 */

const TCF_VERSION = 2;
/** Vendors that were shown, vendors that are allowed, the publisher's own purposes. */
const TCF_SEGMENTS = [1, 2, 3];
const PUBLISHER_SEGMENT = 3;
/** Of TCF 2.2; 2.3 says 5. What was agreed to before has other purposes under the same numbers. */
const TCF_POLICY_MIN = 4;
/** Vendors named in one string; the global list has some 1,500. */
const VENDORS_MAX = 8192;
/** One a purpose and kind of restriction. */
const RESTRICTIONS_MAX = 24 * 3;
const SECTION_ID_MAX = 4095;
const FIBONACCI_BITS_MAX = 20;
const GPP_TYPE = 3;
const GPP_VERSION = 1;
const DAY_MILLIS = 86_400_000;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SIX_BITS = new Map(Array.from(ALPHABET, (character, value) => [character, value]));

/** A string that is not to be decoded; the message says why, without its content. */
export class BadString extends Error {
  override readonly name = 'BadString';
}

export class Bits {
  #values: readonly number[];
  #at = 0;

  constructor(text: string) {
    this.#values = Array.from(text, (character) => {
      const value = SIX_BITS.get(character);
      if (value === undefined) throw new BadString('has characters that are not base64url');
      return value;
    });
  }

  get left(): number {
    return this.#values.length * 6 - this.#at;
  }

  /** @param count at most 36 */
  take(count: number): number {
    if (count > this.left) throw new BadString('is truncated');
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++) {
      const six = this.#values[Math.floor(this.#at / 6)] as number; // inside, see above
      value = value * 2 + ((six >>> (5 - (this.#at % 6))) & 1);
    }
    return value;
  }

  skip(count: number): void {
    if (count > this.left) throw new BadString('is truncated');
    this.#at += count;
  }

  /** Another reader from where this one stands. */
  copy(): Bits {
    const copy = new Bits('');
    copy.#values = this.#values;
    copy.#at = this.#at;
    return copy;
  }

  /** What is left is the filling of the last characters. */
  end(): void {
    if (this.left >= 24) throw new BadString('is longer than its fields');
    while (this.left > 0) if (this.take(1) === 1) throw new BadString('is longer than its fields');
  }
}

/**
 * The fields a TCF string of any country begins with, up to the version of the vendor list.
 * @throws BadString
 * @param now for strings that claim to be of the future
 */
export function checkHead(bits: Bits, expected: number, now: number): void {
  const version = bits.take(6);
  if (version !== expected) throw new BadString(`has version ${version}; expected ${expected}`);
  const created = bits.take(36) * 100;
  const updated = bits.take(36) * 100;
  if (created > now + DAY_MILLIS || updated > now + DAY_MILLIS || updated < created)
    throw new BadString('was created or updated in the future, or updated before it was created');
  bits.skip(12 + 12 + 6); // who asked: the CMP, its version and screen
  for (let letter = 0; letter < 2; letter++)
    if (bits.take(6) > 25) throw new BadString('has no language of two letters');
  bits.skip(12); // version of the vendor list
}

/** @throws BadString @param now for strings that claim to be of the future */
export function checkTcfString(text: string, now: number): void {
  const [core = '', ...others] = text.split('.');
  const bits = new Bits(core);
  checkHead(bits, TCF_VERSION, now);
  const policy = bits.take(6);
  if (policy < TCF_POLICY_MIN)
    throw new BadString(`was agreed to under policy ${policy}, before TCF 2.2; ask the person again`);
  bits.skip(1 + 1 + 12 + 24 + 24 + 1 + 12); // what is decoded
  const vendors = new VendorReader('fixed');
  vendors.takeVector(bits);
  vendors.takeVector(bits);
  // Some write no restrictions at all in place of a count of 0.
  if (bits.left >= 12) vendors.takeRestrictions(bits);
  bits.end();
  checkSegments(others, TCF_SEGMENTS, (segment) => vendors.takeVector(segment));
}

/** Segments behind the core: each of a known type, once, whole. @param take reads one that names vendors */
export function checkSegments(
  texts: readonly string[],
  types: readonly number[],
  take: (segment: Bits) => VendorRanges,
): void {
  const seen = new Set<number>();
  for (const text of texts) {
    const segment = new Bits(text);
    const type = segment.take(3);
    if (!types.includes(type) || seen.has(type)) throw new BadString('has a segment of no known type, or one twice');
    seen.add(type);
    if (type === PUBLISHER_SEGMENT) {
      segment.skip(24 + 24);
      segment.skip(2 * segment.take(6));
    } else take(segment);
    segment.end();
  }
}

/** Vendors as they stand in a string: first and last of each range, by turns. */
export type VendorRanges = readonly number[];

export function hasVendor(ranges: VendorRanges, vendor: number): boolean {
  for (let i = 0; i < ranges.length; i += 2)
    if (vendor >= (ranges[i] as number) && vendor <= (ranges[i + 1] as number)) return true; // pairs
  return false;
}

export interface Restriction {
  /** The purpose. */
  readonly key: number;
  readonly type: number;
  readonly vendors: VendorRanges;
}

/** Vendors of one string, and no more of them than a string may name. */
export class VendorReader {
  readonly #coding: 'fixed' | 'fibonacci';
  #count = 0;
  #isExact = true;

  constructor(coding: 'fixed' | 'fibonacci') {
    this.#coding = coding;
  }

  takeVector(bits: Bits): VendorRanges {
    const most = bits.take(16);
    const ranges: number[] = [];
    if (bits.take(1) === 1) {
      const taken = this.#takeRanges(bits, most);
      if (taken.at(-1) !== most) this.#isExact = false;
      return taken;
    }
    this.#add(most);
    for (let vendor = 1; vendor <= most; vendor++) if (bits.take(1) === 1) ranges.push(vendor, vendor);
    return ranges;
  }

  takeRestrictions(bits: Bits): Restriction[] {
    const count = bits.take(12);
    if (count > RESTRICTIONS_MAX) throw new BadString(`has more than ${RESTRICTIONS_MAX} restrictions`);
    return Array.from({ length: count }, () => {
      const key = bits.take(6);
      const type = bits.take(2);
      return { key, type, vendors: this.#isFixed ? this.#takeRanges(bits, 0xffff) : this.takeVector(bits) };
    });
  }

  /** Whether all ranges so far ended with the number said to be the highest, as encoders have it. */
  get isExact(): boolean {
    return this.#isExact;
  }

  get #isFixed(): boolean {
    return this.#coding === 'fixed';
  }

  #takeRanges(bits: Bits, most: number): VendorRanges {
    const ranges: number[] = [];
    const count = bits.take(12);
    let last = 0;
    for (let i = 0; i < count; i++) {
      const isRange = bits.take(1) === 1;
      const first = this.#isFixed ? bits.take(16) : last + takeFibonacci(bits);
      if (!isRange) last = first;
      else last = this.#isFixed ? bits.take(16) : first + takeFibonacci(bits);
      if (first === 0 || last < first || last > most) throw new BadString('has a range of vendors that cannot be');
      this.#add(last - first + 1);
      ranges.push(first, last);
    }
    return ranges;
  }

  #add(count: number): void {
    this.#count += count;
    if (this.#count > VENDORS_MAX) throw new BadString(`names more than ${VENDORS_MAX} vendors`);
  }
}

/**
 * The sections of a GPP string: number and text, in their order.
 * @throws BadString
 */
export function gppSections(text: string): readonly { readonly id: number; readonly text: string }[] {
  const [header = '', ...sections] = text.split('~');
  const bits = new Bits(header);
  const type = bits.take(6);
  const version = bits.take(6);
  if (type !== GPP_TYPE) throw new BadString('does not begin as a GPP string');
  if (version !== GPP_VERSION) throw new BadString(`has version ${version}; expected ${GPP_VERSION}`);
  const ids: number[] = [];
  const ranges = bits.take(12);
  let last = 0;
  for (let i = 0; i < ranges; i++) {
    const isRange = bits.take(1) === 1;
    const first = last + takeFibonacci(bits);
    last = isRange ? first + takeFibonacci(bits) : first;
    if (last > SECTION_ID_MAX) throw new BadString(`names a section above ${SECTION_ID_MAX}`);
    if (ids.length + last - first + 1 > sections.length)
      throw new BadString('is truncated: its header names more sections');
    for (let id = first; id <= last; id++) ids.push(id);
  }
  bits.end();
  if (ids.length !== sections.length) throw new BadString('has more sections than its header names');
  return ids.map((id, i) => ({ id, text: sections[i] as string })); // as many, see above
}

/** A number in Fibonacci coding: sums of Fibonacci numbers, ended by two ones. */
function takeFibonacci(bits: Bits): number {
  let value = 0;
  let [smaller, larger] = [1, 1];
  let before = 0;
  for (let i = 0; i < FIBONACCI_BITS_MAX; i++) {
    const bit = bits.take(1);
    if (bit === 1 && before === 1) return value;
    if (bit === 1) value += larger;
    [smaller, larger] = [larger, smaller + larger];
    before = bit;
  }
  throw new BadString('has a number that does not end');
}
