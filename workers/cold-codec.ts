/**
 * How the cold part of a profile and an event's properties lie on disk: plain MessagePack by msgpackr,
 * whose only importer this is. Wire bytes never come here; what is decoded was encoded by this file.
 */
import { Packr } from 'msgpackr';
import type { ColdCodec, ColdRecord } from '../actors/ports.ts';
import type { Properties } from '../proto/messages.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });

export const coldCodec: ColdCodec = {
  encode(record: ColdRecord): Uint8Array {
    return packr.pack(record);
  },
  decode(bytes: Uint8Array): ColdRecord {
    const { traits } = packr.unpack(bytes) as ColdRecord; // written by `encode` only, behind a checksum
    return { traits };
  },
  encodeProperties(properties: Properties): Uint8Array {
    return packr.pack(properties);
  },
  decodeProperties(bytes: Uint8Array): Properties {
    return bytes.length === 0 ? {} : (packr.unpack(bytes) as Properties); // written by `encodeProperties` only
  },
};
