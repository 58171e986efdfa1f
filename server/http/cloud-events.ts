/**
 * CloudEvents 1.0 as events of ours: `subject` is the person, `type` the event's name, `id` what makes a repetition
 * harmless, `time` when it happened, `data` its properties. Pure, for the three ways of HTTP: binary (attributes in
 * headers), structured, and batch. Source: CloudEvents 1.0.2, its JSON format and its HTTP binding.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Properties } from '../../proto/messages.ts';
import { readUtcInstant } from '../instant-text.ts';
import type { IncomingEvent, Unreadable } from './incoming-event.ts';

export interface CloudEvent {
  readonly messageId: string;
  readonly parts: readonly IncomingEvent[];
}

/** One event in the JSON format. */
export function readCloudEvent(event: unknown, receivedAt: number): CloudEvent | Unreadable {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return { problem: 'event: expected a map' };
  const attributes = event as Properties; // of JSON.parse
  if (attributes.data_base64 !== undefined)
    return { problem: 'data_base64: expected data as JSON; binary data is not taken' };
  return read(attributes, attributes.data, receivedAt);
}

/** One event with its attributes in `ce-` headers, percent-encoded, and its data in the body. */
export function readBinaryCloudEvent(
  headers: IncomingHttpHeaders,
  data: unknown,
  receivedAt: number,
): CloudEvent | Unreadable {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-') || typeof value !== 'string') continue;
    try {
      attributes[name.slice(3)] = decodeURIComponent(value);
    } catch {
      return { problem: `${name}: expected percent-encoded UTF-8` };
    }
  }
  return read(attributes, data, receivedAt);
}

function read(attributes: Properties, data: unknown, receivedAt: number): CloudEvent | Unreadable {
  if (attributes.specversion !== '1.0') return { problem: 'specversion: expected 1.0' };
  for (const name of ['id', 'source', 'type'] as const) {
    if (typeof attributes[name] !== 'string' || attributes[name] === '')
      return { problem: `${name}: expected a non-empty string` };
  }
  const { id, source, type, subject, time } = attributes as { readonly [name: string]: string | undefined }; // the three above are; the others are looked at
  if (typeof subject !== 'string' || subject === '' || Buffer.byteLength(subject) > 256)
    return { problem: 'subject: expected the key of the person, a string of 1 to 256 bytes' };
  const at = time === undefined ? receivedAt : readUtcInstant(time);
  if (Number.isNaN(at)) return { problem: 'time: expected an instant of RFC 3339' };
  const properties = data ?? {};
  if (typeof properties !== 'object' || Array.isArray(properties)) return { problem: 'data: expected a map' };
  // An id is unique for its source only.
  const name = `${source} ${id}`;
  const messageId = name.length <= 256 ? name : `ce-${createHash('sha256').update(name).digest('base64url')}`;
  const { decisionId, quoteId, ...others } = properties as Properties; // of JSON.parse
  return {
    messageId: id as string,
    parts: [
      {
        op: 'track',
        profile: subject,
        event: type as string,
        messageId,
        atEpochMillis: Math.max(0, at),
        ...(typeof decisionId === 'string' ? { decisionId } : {}),
        ...(typeof quoteId === 'string' ? { quoteId } : {}),
        ...(Object.keys(others).length === 0 ? {} : { properties: others }),
      },
    ],
  };
}
