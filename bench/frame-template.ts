/**
 * Request frames encoded once and patched in place: a load generator that encodes each request anew
 * measures its own encoder. A template is a whole WebSocket frame (one request, or an array of them);
 * only fixed-width fields change: `id`, always 0xce and four bytes as the first map entry, the seven
 * digits of the profile key, the ten digits of a messageId, and a decision id of known length.
 *
 *     82 | 80+len … | 00 00 00 00 | 8x a2 'id' ce IIIIIIII a2 'op' … a8 'p' DDDDDDD …
 *     header          mask key      payload
 *
 * The mask key is zero: RFC 6455 §5.3 wants a client to send one and the server to unmask with it, and
 * unmasking costs the server the same whatever the key; it only saves the generator the XOR.
 */
export type TemplateValue =
  | string
  | number
  | boolean
  | null
  | Placeholder
  | readonly TemplateValue[]
  | { readonly [key: string]: TemplateValue };

/** A string in the frame whose bytes are written per request. */
export class Placeholder {
  readonly field: 'profile' | 'messageId' | 'decisionId';
  readonly prefix: string;
  /** Bytes after the prefix that are patched. */
  readonly width: number;

  constructor(field: Placeholder['field'], prefix: string, width: number) {
    this.field = field;
    this.prefix = prefix;
    this.width = width;
  }
}

export const PROFILE_DIGITS = 7;
export const MESSAGE_DIGITS = 10;
/** Keys have seven digits. */
export const PROFILES_MAX = 10_000_000;

/** Offsets are bytes from the start of the frame; −1 when the request has no such field. */
interface TemplateItem {
  readonly idOffset: number;
  readonly profileOffset: number;
  readonly messageIdOffset: number;
  readonly decisionIdOffset: number;
  readonly decisionIdBytes: number;
  /** Index into the plan's operations, for histograms apart. */
  readonly operation: number;
}

export interface FrameTemplate {
  readonly bytes: Uint8Array;
  readonly payloadBytes: number;
  readonly items: readonly TemplateItem[];
}

interface Marks {
  idOffset: number;
  profileOffset: number;
  messageIdOffset: number;
  decisionIdOffset: number;
  decisionIdBytes: number;
}

const TEXT = new TextEncoder();

class PayloadWriter {
  readonly #bytes: number[] = [];
  readonly items: TemplateItem[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  toBytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** A request map: `id` first, at a known place, then the other fields in their order. */
  request(fields: { readonly [key: string]: TemplateValue }, operation: number): void {
    const marks: Marks = {
      idOffset: 0,
      profileOffset: -1,
      messageIdOffset: -1,
      decisionIdOffset: -1,
      decisionIdBytes: 0,
    };
    const entries = Object.entries(fields);
    this.#header(entries.length + 1, 0x80, 15, 0xde);
    this.#string('id');
    this.#bytes.push(0xce, 0, 0, 0, 0);
    marks.idOffset = this.length - 4;
    for (const [key, value] of entries) {
      this.#string(key);
      this.#value(value, marks);
    }
    this.items.push({ ...marks, operation });
  }

  arrayHeader(count: number): void {
    this.#header(count, 0x90, 15, 0xdc);
  }

  #value(value: TemplateValue, marks: Marks): void {
    if (value instanceof Placeholder) this.#placeholder(value, marks);
    else if (value === null) this.#bytes.push(0xc0);
    else if (typeof value === 'boolean') this.#bytes.push(value ? 0xc3 : 0xc2);
    else if (typeof value === 'string') this.#string(value);
    else if (typeof value === 'number') this.#number(value);
    else if (isArray(value)) {
      this.arrayHeader(value.length);
      for (const item of value) this.#value(item, marks);
    } else {
      const entries = Object.entries(value);
      this.#header(entries.length, 0x80, 15, 0xde);
      for (const [key, item] of entries) {
        this.#string(key);
        this.#value(item, marks);
      }
    }
  }

  #placeholder(placeholder: Placeholder, marks: Marks): void {
    this.#string(placeholder.prefix + '0'.repeat(placeholder.width));
    const offset = this.length - placeholder.width;
    if (placeholder.field === 'profile') marks.profileOffset = offset;
    else if (placeholder.field === 'messageId') marks.messageIdOffset = offset;
    else {
      marks.decisionIdOffset = offset;
      marks.decisionIdBytes = placeholder.width;
    }
  }

  #header(count: number, fixed: number, fixedMax: number, wide: number): void {
    if (count <= fixedMax) this.#bytes.push(fixed | count);
    else if (count <= 0xffff) this.#bytes.push(wide, count >>> 8, count & 0xff);
    else throw new RangeError(`a template container holds ${count} entries; at most 65535`);
  }

  #string(text: string): void {
    const bytes = TEXT.encode(text);
    if (bytes.length <= 31) this.#bytes.push(0xa0 | bytes.length);
    else if (bytes.length <= 0xff) this.#bytes.push(0xd9, bytes.length);
    else if (bytes.length <= 0xffff) this.#bytes.push(0xda, bytes.length >>> 8, bytes.length & 0xff);
    else throw new RangeError(`a template string is ${bytes.length} bytes; at most 65535`);
    for (const byte of bytes) this.#bytes.push(byte);
  }

  #number(value: number): void {
    const view = new DataView(new ArrayBuffer(9));
    let size = 9;
    if (Number.isInteger(value) && value >= 0 && value <= 0x7f) {
      view.setUint8(0, value);
      size = 1;
    } else if (Number.isInteger(value) && value >= -32 && value < 0) {
      view.setInt8(0, value);
      size = 1;
    } else if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) {
      view.setUint8(0, 0xce);
      view.setUint32(1, value);
      size = 5;
    } else {
      view.setUint8(0, 0xcb);
      view.setFloat64(1, value);
    }
    for (let i = 0; i < size; i += 1) this.#bytes.push(view.getUint8(i));
  }
}

function isArray(value: object): value is readonly TemplateValue[] {
  return Array.isArray(value);
}

export interface TemplateRequest {
  readonly operation: number;
  readonly fields: { readonly [key: string]: TemplateValue };
}

/**
 * One request alone, or several as one array frame (`asArray`; a single request may also be an array).
 * Throws RangeError when `requests` is empty or the frame could not be written.
 */
export function frameTemplate(requests: readonly TemplateRequest[], asArray: boolean): FrameTemplate {
  if (requests.length === 0 || (!asArray && requests.length > 1)) {
    throw new RangeError(
      `a frame that is ${asArray ? 'an array' : 'no array'} cannot hold ${requests.length} requests`,
    );
  }
  const writer = new PayloadWriter();
  if (asArray) writer.arrayHeader(requests.length);
  for (const request of requests) writer.request(request.fields, request.operation);
  const header = clientFrameHeader(0x2, writer.length);
  const bytes = new Uint8Array(header.length + writer.length);
  bytes.set(header, 0);
  bytes.set(writer.toBytes(), header.length);
  const moved = (offset: number): number => (offset < 0 ? -1 : offset + header.length);
  const items = writer.items.map((item) => ({
    ...item,
    idOffset: moved(item.idOffset),
    profileOffset: moved(item.profileOffset),
    messageIdOffset: moved(item.messageIdOffset),
    decisionIdOffset: moved(item.decisionIdOffset),
  }));
  return { bytes, payloadBytes: writer.length, items };
}

/** Header of an unfragmented client frame, with the zero mask key. */
export function clientFrameHeader(opcode: number, payloadBytes: number): Uint8Array {
  if (payloadBytes <= 125) return Uint8Array.of(0x80 | opcode, 0x80 | payloadBytes, 0, 0, 0, 0);
  if (payloadBytes <= 0xffff) {
    return Uint8Array.of(0x80 | opcode, 0x80 | 126, payloadBytes >>> 8, payloadBytes & 0xff, 0, 0, 0, 0);
  }
  const header = new Uint8Array(14);
  const view = new DataView(header.buffer);
  header[0] = 0x80 | opcode;
  header[1] = 0x80 | 127;
  view.setUint32(6, payloadBytes);
  return header;
}

/** Writes `id` big-endian at `offset`. */
export function patchId(bytes: Uint8Array, offset: number, id: number): void {
  bytes[offset] = id >>> 24;
  bytes[offset + 1] = id >>> 16;
  bytes[offset + 2] = id >>> 8;
  bytes[offset + 3] = id;
}

/** Writes `value` as exactly `width` decimal digits; higher digits of a longer value are cut. */
export function patchDigits(bytes: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value;
  for (let i = offset + width - 1; i >= offset; i -= 1) {
    const tenth = Math.floor(rest / 10);
    bytes[i] = 48 + (rest - tenth * 10);
    rest = tenth;
  }
}

export function profileKey(index: number): string {
  return `p${index.toString().padStart(PROFILE_DIGITS, '0')}`;
}
