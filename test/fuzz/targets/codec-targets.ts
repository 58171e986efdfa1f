/**
 * The codec held against itself and against others: the quick MessagePack decoder against the general one, JSON
 * against the platform's parser and against MessagePack, and the pull readers against their own `skip`, their
 * own writers and the bounds they promise.
 */
import type { DocumentWriter } from '../../../proto/document-writer.ts';
import { JsonReader } from '../../../proto/json.ts';
import { LIMITS } from '../../../proto/limits.ts';
import { MessagePackReader } from '../../../proto/messagepack.ts';
import type { Plain } from '../../../proto/messages.ts';
import { createWriter } from '../../../proto/reply.ts';
import { FrameDecoder, type FrameSink, type Request } from '../../../proto/request.ts';
import { READ_FAULT, type ReadLimits, type ValueReader } from '../../../proto/value-reader.ts';
import { bytesOf, demand, type FuzzSubject, type FuzzTarget, fold } from '../fuzz-target.ts';
import { drawFrames, JSON_DICTIONARY, MSGPACK_DICTIONARY, ODD_JSON, ODD_MSGPACK, pack } from './any-request.ts';
import { RequestDigest } from './request-digest.ts';

const SEEDS_DRAWN = 400;

function log2(value: number): number {
  return 32 - Math.clz32(value);
}

/** Keeps the bytes of each valid request, as a shard that forwards them does. */
class RawKeeper implements FrameSink {
  readonly raws: Uint8Array[] = [];

  onRequest(request: Request): void {
    this.raws.push(request.copyRaw());
  }
  onInvalid(): void {}
}

class MessagePackSubject implements FuzzSubject {
  readonly #quick = new FrameDecoder('msgpack');
  readonly #plain = new FrameDecoder('msgpack', false);
  readonly #left = new RequestDigest();
  readonly #right = new RequestDigest();
  #runs = 0;

  run(input: Uint8Array): number {
    const [left, right] = [this.#left, this.#right];
    left.clear();
    right.clear();
    const isQuick = this.#quick.decode(input, left);
    const isPlain = this.#plain.decode(input, right);
    demand(isQuick === isPlain, `the quick decoder says ${isQuick}, the general one ${isPlain}`);
    demand(left.hash === right.hash, 'the quick decoder and the general one told different things');
    if (left.valid > 0 && (this.#runs++ & 7) === 0) this.#forward(input, left);
    return fold(fold(left.signature, isQuick ? 1 : 2), log2(input.length));
  }

  /** Each valid request alone, as it goes to another worker, means what it meant in its frame. */
  #forward(input: Uint8Array, whole: RequestDigest): void {
    const keeper = new RawKeeper();
    this.#quick.decode(input, keeper);
    demand(keeper.raws.length === whole.valid, 'a second decoding gave another number of requests');
    if (whole.refused > 0) return;
    const alone = new RequestDigest();
    for (const raw of keeper.raws) demand(this.#quick.decode(raw, alone), 'a request alone cannot be decoded');
    demand(alone.hash === whole.hash, 'a request alone means something else');
  }
}

class JsonSubject implements FuzzSubject {
  readonly #json = new FrameDecoder('json');
  readonly #msgpack = new FrameDecoder('msgpack', false);
  readonly #left = new RequestDigest(true);
  readonly #right = new RequestDigest(true);
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  run(input: Uint8Array): number {
    const left = this.#left;
    left.clear();
    const isDecoded = this.#json.decode(input, left);
    let value: unknown;
    let isJson = true;
    try {
      value = JSON.parse(this.#decoder.decode(input));
    } catch {
      isJson = false; // what the platform refuses must be refused here, which is demanded next
    }
    demand(isDecoded === isJson, `our decoder says ${isDecoded}, the platform's parser ${isJson}`);
    if (left.valid > 0 && left.refused === 0) this.#compare(value, left);
    return fold(fold(left.signature, isDecoded ? 1 : 2), log2(input.length));
  }

  /** A valid frame means the same in MessagePack. */
  #compare(value: unknown, left: RequestDigest): void {
    const packed = pack(value);
    if (packed.length > LIMITS.frameBytesMax) return;
    const right = this.#right;
    right.clear();
    demand(this.#msgpack.decode(packed, right), 'the same frame in MessagePack cannot be decoded');
    demand(left.hash === right.hash, 'the same frame in MessagePack means something else');
  }
}

const READ_LIMITS: ReadLimits = {
  nestingMax: LIMITS.nestingMax,
  containerItemsMax: LIMITS.containerItemsMax,
  stringBytesMax: LIMITS.stringBytesMax,
  magnitudeMax: Number.MAX_SAFE_INTEGER,
};

/** The first byte chooses the encoding, the rest is a value. */
class ReaderSubject implements FuzzSubject {
  readonly #readers: readonly ValueReader[] = [new MessagePackReader(READ_LIMITS), new JsonReader(READ_LIMITS)];
  readonly #writers: readonly DocumentWriter[] = [createWriter('msgpack'), createWriter('json')];

  run(input: Uint8Array): number {
    if (input.length < 2) return 0;
    const choice = (input[0] as number) & 1; // at least two bytes
    const reader = this.#readers[choice] as ValueReader; // two of them
    const bytes = input.subarray(1);
    reader.open(bytes);
    const isWhole = reader.skip();
    const end = reader.position;
    demand(isWhole ? end <= bytes.length : reader.isMalformed(), 'skip went beyond the frame or gave no reason');
    reader.rewind(0);
    const value = reader.readPlain();
    const { fault } = reader;
    demand(reader.depth <= LIMITS.nestingMax, 'nested deeper than the limit');
    demand((value === undefined) === (fault !== READ_FAULT.none), 'a value and a fault, or neither');
    if (value !== undefined) {
      demand(isWhole && reader.position === end, 'reading and skipping end at different places');
      this.#writeBack(choice, value);
    }
    return fold(fold(choice, fault), fold(log2(input.length), reader.depth));
  }

  /** What was read, written and read again, is written the same. */
  #writeBack(choice: number, value: Plain): void {
    const writer = this.#writers[choice] as DocumentWriter; // two of them
    const reader = this.#readers[choice] as ValueReader; // two of them
    writer.reset();
    writer.plain(value);
    const first = writer.finish().slice();
    reader.open(first);
    const again = reader.readPlain();
    demand(again !== undefined && reader.isAtEnd(), 'what was written cannot be read');
    writer.reset();
    writer.plain(again ?? null);
    demand(Buffer.compare(first, writer.finish()) === 0, 'what was written and read is written differently');
  }
}

const json = (value: unknown): string => JSON.stringify(value) ?? 'null';

function hexBytes(hexes: readonly string[]): Uint8Array[] {
  return hexes.map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
}

/** Nests and lists at and beyond the bounds, one of each kind. */
function largeValues(): unknown[] {
  let nest: unknown = 1;
  for (let level = 0; level < 12; level++) nest = level % 2 === 0 ? [nest] : { a: nest };
  return [
    { id: 1, op: 'ping', z: nest },
    { id: 1, op: 'ping', z: Array.from({ length: 1025 }, () => 0) },
    { id: 1, op: 'track', profile: 'x'.repeat(257), event: 'e'.repeat(300), properties: { s: 'x'.repeat(4097) } },
    Array.from({ length: 1025 }, () => 0),
  ];
}

export const CODEC_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'codec-msgpack',
    about: 'the quick and the general decoder tell the same, and a request means the same alone',
    share: 40,
    inputBytesMax: 512,
    covers: ['proto/'],
    dictionary: MSGPACK_DICTIONARY,
    seeds: (seed) => [...drawFrames(seed, SEEDS_DRAWN), ...largeValues()].map(pack).concat(hexBytes(ODD_MSGPACK)),
    create: () => new MessagePackSubject(),
  },
  {
    name: 'codec-json',
    about: "decodes what the platform's parser takes and nothing else, to what MessagePack gives",
    share: 20,
    inputBytesMax: 512,
    covers: ['proto/'],
    dictionary: JSON_DICTIONARY,
    seeds: (seed) => bytesOf([...[...drawFrames(seed, SEEDS_DRAWN), ...largeValues()].map(json), ...ODD_JSON]),
    create: () => new JsonSubject(),
  },
  {
    name: 'codec-values',
    about: 'reading ends where skipping ends, within the bounds, and what is written reads the same',
    share: 20,
    inputBytesMax: 512,
    covers: ['proto/'],
    dictionary: [...MSGPACK_DICTIONARY, ...JSON_DICTIONARY],
    seeds: (seed) => {
      const values = [...drawFrames(seed, SEEDS_DRAWN), ...largeValues()];
      const inPack = [...values.map(pack), ...hexBytes(ODD_MSGPACK)].map((bytes) => [0, ...bytes]);
      const inJson = bytesOf([...values.map(json), ...ODD_JSON]).map((bytes) => [1, ...bytes]);
      return [...inPack, ...inJson].map((bytes) => Uint8Array.from(bytes));
    },
    create: () => new ReaderSubject(),
  },
];
