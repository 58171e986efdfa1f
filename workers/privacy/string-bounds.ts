/**
 * Whether a TCF or GPP string is whole, of a version that is read here, and no larger inside than outside: a few
 * characters can claim ranges of millions of vendors, and whoever expands them is busy for seconds. So every field is
 * walked first, bit by bit, without expanding anything; what passes is decoded by the library.
 *
 * Called by `consent-strings.ts` only. Layouts: IAB Tech Lab, "Consent string and vendor list formats v2" and "Global
 * Privacy Platform String".
 */

const TCF_VERSION = 2;
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

class Bits {
  readonly #values: number[];
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

  /** What is left is the filling of the last characters. */
  end(): void {
    if (this.left >= 24) throw new BadString('is longer than its fields');
    while (this.left > 0) if (this.take(1) === 1) throw new BadString('is longer than its fields');
  }
}

/** @throws BadString @param now for strings that claim to be of the future */
export function checkTcfString(text: string, now: number): void {
  const [core = '', ...others] = text.split('.');
  const bits = new Bits(core);
  const version = bits.take(6);
  if (version !== TCF_VERSION) throw new BadString(`has version ${version}; expected ${TCF_VERSION}`);
  const created = bits.take(36) * 100;
  const updated = bits.take(36) * 100;
  if (created > now + DAY_MILLIS || updated > now + DAY_MILLIS || updated < created)
    throw new BadString('was created or updated in the future, or updated before it was created');
  bits.skip(12 + 12 + 6); // who asked: the CMP, its version and screen
  for (let letter = 0; letter < 2; letter++)
    if (bits.take(6) > 25) throw new BadString('has no language of two letters');
  bits.skip(12); // version of the vendor list
  const policy = bits.take(6);
  if (policy < TCF_POLICY_MIN)
    throw new BadString(`was agreed to under policy ${policy}, before TCF 2.2; ask the person again`);
  bits.skip(1 + 1 + 12 + 24 + 24 + 1 + 12); // what is decoded
  const vendors = new VendorCount();
  vendors.walkVector(bits);
  vendors.walkVector(bits);
  // Some write no restrictions at all in place of a count of 0.
  if (bits.left >= 12) {
    const restrictions = bits.take(12);
    if (restrictions > RESTRICTIONS_MAX) throw new BadString(`has more than ${RESTRICTIONS_MAX} restrictions`);
    for (let i = 0; i < restrictions; i++) {
      bits.skip(6 + 2);
      vendors.walkRanges(bits, 0xffff);
    }
  }
  bits.end();
  const seen = new Set<number>();
  for (const other of others) {
    const segment = new Bits(other);
    const type = segment.take(3);
    if (type < 1 || type > 3 || seen.has(type)) throw new BadString('has a segment of no known type, or one twice');
    seen.add(type);
    if (type === 3) {
      segment.skip(24 + 24);
      segment.skip(2 * segment.take(6));
    } else vendors.walkVector(segment);
    segment.end();
  }
}

class VendorCount {
  #count = 0;

  walkVector(bits: Bits): void {
    const most = bits.take(16);
    if (bits.take(1) === 1) this.walkRanges(bits, most);
    else {
      this.#add(most);
      bits.skip(most);
    }
  }

  walkRanges(bits: Bits, most: number): void {
    const ranges = bits.take(12);
    for (let i = 0; i < ranges; i++) {
      const isRange = bits.take(1) === 1;
      const first = bits.take(16);
      const last = isRange ? bits.take(16) : first;
      if (first === 0 || last < first || last > most) throw new BadString('has a range of vendors that cannot be');
      this.#add(last - first + 1);
    }
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
  throw new BadString('has a number in its header that does not end');
}
