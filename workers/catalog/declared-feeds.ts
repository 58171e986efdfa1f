/**
 * The context feeds that a catalog declares, read from the raw values before anything else is checked, because rules
 * name them. What is wrong with a declaration is told by the shape check and `feed-check.ts`; here it only makes the
 * feed unknown. The server's own feed is behind those of the file (`decision/usual-feed.ts`).
 */
import type { FeedType } from '../../decision/feed-table.ts';
import { usualFeed } from '../../decision/usual-feed.ts';
import { mapOf, textOf } from './raw-values.ts';
import type { RuleType } from './rule-syntax.ts';

interface DeclaredFeed {
  readonly index: number;
  /** In the order of the file. */
  readonly fields: readonly { readonly name: string; readonly type: RuleType }[];
  /** Whether it has a key of its own, sound or not. */
  readonly hasKey: boolean;
  readonly key: string | null;
}

/** Declared feeds by name; null where the fields are wrong, which the shape check says. */
export type DeclaredFeeds = ReadonlyMap<string, DeclaredFeed | null>;

export const FEED_TYPES: readonly string[] = ['number', 'boolean', 'text'] satisfies FeedType[];

export function readFeeds(root: unknown): DeclaredFeeds {
  const feeds = new Map<string, DeclaredFeed | null>();
  for (const [name, raw] of Object.entries(mapOf(mapOf(root).feeds))) {
    const { fields, key } = mapOf(raw);
    const read = Object.entries(mapOf(fields)).map(([field, declared]) => ({
      name: field,
      type: textOf(mapOf(declared).type) as RuleType, // or the feed is not sound
    }));
    const isSound = read.every(({ type }) => FEED_TYPES.includes(type));
    const feed = { index: feeds.size, fields: read, hasKey: key !== undefined, key: textOf(key) };
    feeds.set(name, isSound && read.length > 0 ? feed : null);
  }
  if (mapOf(mapOf(root).abuse).usual !== undefined) {
    const { name, fields } = usualFeed();
    const numbers = fields.map((field) => ({ name: field.name, type: 'number' as const }));
    feeds.set(name, { index: feeds.size, fields: numbers, hasKey: false, key: null });
  }
  return feeds;
}
