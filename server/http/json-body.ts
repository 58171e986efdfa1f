/** The body of a request as JSON, gzipped or not: bounded when it is unpacked, and what is wrong with it as a text. */
import { gunzipSync } from 'node:zlib';
import type { Plain } from '../../proto/messages.ts';
import type { Unreadable } from './incoming-event.ts';

const JSON_TYPES = /^(?:application\/json|text\/plain|application\/cloudevents(?:-batch)?\+json)\b/;

/** @param bytesMax of what is unpacked */
export function readJson(
  headers: { readonly [name: string]: string | string[] | undefined },
  body: Buffer,
  bytesMax: number,
): { readonly value: Plain } | Unreadable {
  const contentType = headers['content-type'];
  if (typeof contentType === 'string' && !JSON_TYPES.test(contentType) && headers['ce-specversion'] === undefined)
    return { problem: 'content-type: expected application/json' };
  try {
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity' && encoding !== 'gzip')
      return { problem: 'content-encoding: expected gzip, or none' };
    const bytes = encoding === 'gzip' ? gunzipSync(body, { maxOutputLength: bytesMax }) : body;
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Plain }; // JSON has no other values
  } catch (error) {
    const { code } = error as { code?: unknown };
    const limit = `the content may have ${bytesMax} bytes at most`;
    return { problem: code === 'ERR_BUFFER_TOO_LARGE' ? `body: ${limit}` : 'body: is not valid JSON' };
  }
}
