/**
 * How the cold part of a profile, an event's properties and a request's context lie on disk: plain MessagePack by
 * msgpackr, whose only importer this is. What is decoded was encoded by this file, or copied from a frame that the
 * strict reader of `proto/` has been through: no extensions, no duplicate keys, integers within 2^53.
 */
import { addExtension, Packr } from 'msgpackr';
import type { ColdCodec, ColdRecord } from '../actors/ports.ts';
import { SealedTrait } from '../actors/sealed-trait.ts';
import type { Plain, Properties } from '../proto/messages.ts';

/** The one extension on disk. The wire knows none, so no caller can hand in what looks sealed. */
const SEALED_EXTENSION = 0x53;
addExtension({
  Class: SealedTrait,
  type: SEALED_EXTENSION,
  pack: (sealed: SealedTrait) => Buffer.from(sealed.bytes),
  unpack: (bytes: Uint8Array) => new SealedTrait(Uint8Array.from(bytes)),
});

// Wire bytes may hold small numbers as 64-bit integers.
const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'number' });

export const coldCodec: ColdCodec = {
  encode(record: ColdRecord): Uint8Array {
    return packr.pack(record);
  },
  decode(bytes: Uint8Array): ColdRecord {
    const { traits, keyIds, sections } = packr.unpack(bytes) as ColdRecord; // written by `encode` only, behind a checksum
    return {
      traits,
      ...(keyIds === undefined ? {} : { keyIds }),
      ...(sections === undefined ? {} : { sections }),
    };
  },
  encodeProperties(properties: { readonly [key: string]: Plain | SealedTrait }): Uint8Array {
    return packr.pack(properties);
  },
  decodeProperties(bytes: Uint8Array): Properties {
    return bytes.length === 0 ? {} : (packr.unpack(bytes) as Properties); // of a map of plain values, see above
  },
};
