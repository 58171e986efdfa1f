/**
 * A minimal reader of the protobuf wire format (protobuf.dev/programming-guides/encoding), independent
 * of the library that writes it: length-delimited, varint, 32- and 64-bit fields by number.
 */
export interface WireField {
  readonly number: number;
  readonly bytes: Uint8Array;
  /** Varints and fixed-width values. */
  readonly value: bigint;
}

export function readFields(bytes: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('truncated varint');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    const none = new Uint8Array();
    switch (tag & 7) {
      case 0:
        fields.push({ number, bytes: none, value: varint() });
        break;
      case 1:
        fields.push({ number, bytes: bytes.subarray(at, at + 8), value: view.getBigUint64(at, true) });
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (at + length > bytes.length) throw new Error('truncated field');
        fields.push({ number, bytes: bytes.subarray(at, at + length), value: 0n });
        at += length;
        break;
      }
      case 5:
        fields.push({ number, bytes: bytes.subarray(at, at + 4), value: BigInt(view.getUint32(at, true)) });
        at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7}`);
    }
  }
  return fields;
}

/** The contents of every field reached by the path of field numbers. */
export function readPath(bytes: Uint8Array, path: readonly number[]): Uint8Array[] {
  const [first, ...rest] = path;
  if (first === undefined) return [bytes];
  return readFields(bytes)
    .filter(({ number }) => number === first)
    .flatMap((field) => readPath(field.bytes, rest));
}

export function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes ?? new Uint8Array());
}

export function hexOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? new Uint8Array()).toString('hex');
}

/** OpenTelemetry's KeyValue list: strings as they are, other scalars as bigint or number. */
export function readAttributes(list: readonly Uint8Array[]): Map<string, string | bigint | number> {
  return new Map(
    list.map((pair): [string, string | bigint | number] => {
      const value = readFields(readPath(pair, [2])[0] ?? new Uint8Array())[0];
      const key = textOf(readPath(pair, [1])[0]);
      if (value === undefined) return [key, ''];
      if (value.number === 1) return [key, textOf(value.bytes)];
      if (value.number === 4) return [key, new DataView(value.bytes.slice().buffer).getFloat64(0, true)];
      return [key, value.value];
    }),
  );
}
