/** The context feeds of a checked catalog as decisions see them: durations in milliseconds, keys as functions. */
import type { Feed } from '../../decision/catalog.ts';
import type { FeedCell } from '../../decision/feed-table.ts';
import { usualFeed } from '../../decision/usual-feed.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CatalogFile, FeedCellFile, FeedFile } from './catalog-schema.ts';
import { parseDurationMillis } from './durations.ts';
import { compileText } from './rule-function.ts';
import type { Expression } from './rule-syntax.ts';

const ROWS_DEFAULT = 1000;
const USUAL_EVERY = '1h';

interface FeedParts {
  readonly file: CatalogFile;
  readonly rules: ReadonlyMap<string, Expression>;
}

export function compileFeeds({ file, rules }: FeedParts): Feed[] {
  const declared = Object.entries(file.feeds ?? {}).map(([name, feed]) => compileFeed(name, feed, rules));
  return file.abuse?.usual === undefined ? declared : [...declared, usualFeed()];
}

function compileFeed(name: string, { fields, ttl, rowsMax, key }: FeedFile, rules: FeedParts['rules']): Feed {
  const expression = key === undefined ? undefined : rules.get(key);
  const declared = Object.entries(fields);
  return {
    name,
    fields: declared.map(([field, { type, min = null, max = null, values = [] }]) => ({
      ...{ name: field, type, min, max, values },
    })),
    timeToLiveMillis: parseDurationMillis(ttl) ?? Number.POSITIVE_INFINITY, // the check has made sure of it
    rowsMax: rowsMax ?? ROWS_DEFAULT,
    keyOf: expression === undefined ? null : compileText(expression),
    features: declared.flatMap(([, { feature }], index) => (feature === true ? [index] : [])),
  };
}

/** Of a product, whose key it is unless another is given. Names are those the check has found. */
export function feedCellOf({ name, field, key }: FeedCellFile, sku: string, { feeds = {} }: CatalogFile): FeedCell {
  const fields = Object.keys(feeds[name]?.fields ?? {});
  return { feed: Object.keys(feeds).indexOf(name), field: fields.indexOf(field), key: key ?? sku };
}

/** Changes when what is held of a feed may mean something else. */
export function feedsHash({ feeds = {}, abuse }: Pick<CatalogFile, 'feeds' | 'abuse'>): number {
  const declared = Object.entries(feeds).map(([name, { fields, rowsMax }]) => [
    name,
    rowsMax ?? ROWS_DEFAULT,
    Object.entries(fields).map(([field, { type, min, max, values }]) => [field, type, min, max, values]),
  ]);
  if (abuse?.usual !== undefined) declared.push([usualFeed().name, 0, []]);
  return declared.length === 0 ? 0 : murmur3Text(JSON.stringify(declared), 0) || 1;
}

/** How often what is usual is measured; 0 where the catalog does not want it. */
export function usualEveryMillis({ abuse }: Pick<CatalogFile, 'abuse'>): number {
  if (abuse?.usual === undefined) return 0;
  return parseDurationMillis(abuse.usual.every ?? USUAL_EVERY) ?? 0; // the check has made sure of it
}
