/**
 * JSON (RFC 8259) written straight to bytes, without building a value first. Strings are escaped as
 * `JSON.stringify` does (short plain ASCII is copied, the rest is its work), lone surrogates as escapes;
 * NaN and the infinities become null. Commas are this writer's business, balance is the caller's.
 */
import { ByteWriter } from './document-writer.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const ARRAY_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const ARRAY_CLOSE = 0x5d;
const MAP_OPEN = 0x7b;
const MAP_CLOSE = 0x7d;

const TRUE = new TextEncoder().encode('true');
const FALSE = new TextEncoder().encode('false');
const NULL = new TextEncoder().encode('null');

export class JsonWriter extends ByteWriter {
  /** Whether the next value or key of the open container comes after another one. */
  #needsComma = false;

  override reset(): void {
    this.position = 0;
    this.#needsComma = false;
  }

  #byte(byte: number): void {
    this.reserve(1);
    this.bytes[this.position++] = byte;
  }

  #beforeValue(): void {
    if (this.#needsComma) this.#byte(COMMA);
    this.#needsComma = true;
  }

  #open(byte: number): void {
    this.#beforeValue();
    this.#byte(byte);
    this.#needsComma = false;
  }

  #close(byte: number): void {
    this.#byte(byte);
    this.#needsComma = true;
  }

  override beginMap(): void {
    this.#open(MAP_OPEN);
  }

  override endMap(): void {
    this.#close(MAP_CLOSE);
  }

  override beginArray(): void {
    this.#open(ARRAY_OPEN);
  }

  override endArray(): void {
    this.#close(ARRAY_CLOSE);
  }

  protected override beforeKey(): void {
    if (this.#needsComma) this.#byte(COMMA);
    this.#needsComma = false;
  }

  protected override encodeKey(name: string): Uint8Array {
    const writer = new JsonWriter(16);
    writer.foreignKey(name);
    return writer.finish();
  }

  protected override foreignKey(name: string): void {
    this.beforeKey();
    this.#text(name);
    this.#byte(COLON);
  }

  override string(value: string): void {
    this.#beforeValue();
    this.#text(value);
  }

  #text(value: string): void {
    this.#byte(QUOTE);
    if (!this.writeAscii(value, 0x20, QUOTE, BACKSLASH)) {
      // JSON.stringify escapes lone surrogates (well-formed since ES2019), so what is left is UTF-8.
      const quoted = JSON.stringify(value);
      this.position--;
      this.writeUtf8(quoted);
      return;
    }
    this.#byte(QUOTE);
  }

  override boolean(value: boolean): void {
    this.#beforeValue();
    this.#raw(value ? TRUE : FALSE);
  }

  override null(): void {
    this.#beforeValue();
    this.#raw(NULL);
  }

  #raw(text: Uint8Array): void {
    this.reserve(text.length);
    this.bytes.set(text, this.position);
    this.position += text.length;
  }

  override number(value: number): void {
    if (!Number.isFinite(value)) {
      this.null();
      return;
    }
    this.#beforeValue();
    // String(-0) is "0"; numbers are ASCII and never longer than 25 characters.
    this.writeAscii(String(value), 0, -1, -1);
  }
}
