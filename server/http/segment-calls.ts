/**
 * Segment's HTTP calls as events of ours: identify, track, page, screen, group and alias, each alone or in a batch.
 * Pure: what is wrong with a call is said, never thrown. The clock of the sender is corrected as Segment does it: an
 * event happened at `timestamp`, moved by what the sender's clock at `sentAt` was off from ours.
 *
 * Segment's names of e-commerce become ours, with money in minor units (docs/INGESTION.md has the table); others stay
 * as they are. Source: Segment's HTTP API and its spec of e-commerce events, version 2.
 */
import { createHash } from 'node:crypto';
import type { Plain, Properties } from '../../proto/messages.ts';
import { readUtcInstant } from '../instant-text.ts';
import type { IncomingEvent, Unreadable } from './incoming-event.ts';
import { minorDigits, toMinor } from './minor-units.ts';

export const SEGMENT_TYPES = ['identify', 'track', 'page', 'screen', 'group', 'alias'] as const;
export type SegmentType = (typeof SEGMENT_TYPES)[number];

/** Segment's own limits. */
export const SEGMENT_LIMITS = { eventBytesMax: 32 * 1024, batchBytesMax: 500 * 1024, batchEventsMax: 2_500 } as const;

/** Further keys one call may name. */
const EXTERNAL_IDS_MAX = 16;

/** Segment's name → ours. `order` and `product` say what its properties mean. */
const EVENTS: { readonly [name: string]: { readonly event: string; readonly shape?: 'order' | 'product' } } = {
  'Order Completed': { event: 'purchase', shape: 'order' },
  'Order Refunded': { event: 'refund', shape: 'order' },
  'Product Viewed': { event: 'view', shape: 'product' },
  'Product List Viewed': { event: 'view' },
  'Product Clicked': { event: 'click', shape: 'product' },
  'Product Added': { event: 'add_to_cart', shape: 'product' },
  'Product Removed': { event: 'remove_from_cart', shape: 'product' },
  'Products Searched': { event: 'search' },
  'Promotion Viewed': { event: 'impression' },
  'Promotion Clicked': { event: 'click' },
  'Email Delivered': { event: 'contact' },
  'Email Opened': { event: 'open' },
  'Email Link Clicked': { event: 'click' },
  'Email Marked as Spam': { event: 'complaint' },
  Unsubscribed: { event: 'unsubscribe' },
  'Push Notification Received': { event: 'contact' },
  'Push Notification Tapped': { event: 'open' },
};

export interface SegmentCall {
  readonly messageId: string | null;
  readonly parts: readonly IncomingEvent[];
}

/** When the sender sent it and when it came, epoch milliseconds; the first NaN where it was not said. */
export interface Clocks {
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** @param call one call's body, of the type its path or its own `type` says */
export function readSegmentCall(
  type: SegmentType,
  call: Properties,
  clocks: Clocks,
): SegmentCall | (Unreadable & { readonly messageId: string | null }) {
  const messageId = textOf(call.messageId);
  if (call.messageId !== undefined && messageId === null)
    return { messageId: null, problem: 'messageId: expected a string of 1 to 256 characters' };
  // Sent again after a time-out it must be the same event: without an id of its own it is named by what it says.
  const id =
    messageId ??
    `seg-${createHash('sha256')
      .update(JSON.stringify([type, call]))
      .digest('base64url')
      .slice(0, 32)}`;
  const read = readParts(type, call, id, clocks);
  return 'problem' in read ? { messageId, ...read } : { messageId, parts: read };
}

function readParts(type: SegmentType, call: Properties, id: string, clocks: Clocks): IncomingEvent[] | Unreadable {
  const user = keyOf(call.userId);
  const anonymous = keyOf(call.anonymousId);
  if (type === 'alias') {
    const previous = keyOf(call.previousId) ?? anonymous;
    if (user === null || previous === null)
      return { problem: 'alias: expected userId and previousId, strings of 1 to 256 bytes' };
    return [{ op: 'alias', from: previous, to: user }];
  }
  const profile = user ?? anonymous;
  if (profile === null) return { problem: `${type}: expected userId or anonymousId, a string of 1 to 256 bytes` };
  if (type === 'identify' || type === 'group') {
    const given = mapOf(call.traits);
    if (given === null) return { problem: `${type}.traits: expected a map` };
    if (type === 'group') {
      const group = keyOf(call.groupId);
      if (group === null) return { problem: 'group.groupId: expected a string of 1 to 256 bytes' };
      return [{ op: 'identify', profile, traits: groupTraits(group, given) }];
    }
    const external = externalKeys(call);
    if ('problem' in external) return external;
    const others = [...(user === null || anonymous === null ? [] : [anonymous]), ...external].filter(
      (key) => key !== profile,
    );
    const joins = [...new Set(others)].map((from): IncomingEvent => ({ op: 'alias', from, to: profile }));
    return Object.keys(given).length === 0 && joins.length > 0
      ? joins
      : [...joins, { op: 'identify', profile, traits: given }];
  }
  const at = instantOf(call, clocks);
  if (typeof at !== 'number') return at;
  const named = type === 'track' ? trackOf(call) : viewOf(type, call);
  if ('problem' in named) return named;
  const { decisionId, quoteId, ...properties } = named.properties;
  return [
    {
      op: 'track',
      profile,
      event: named.event,
      messageId: id,
      atEpochMillis: at,
      ...(typeof decisionId === 'string' ? { decisionId } : {}),
      ...(typeof quoteId === 'string' ? { quoteId } : {}),
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
    },
  ];
}

/**
 * `context.externalIds`: further keys of the person, as `type:id`. Those of groups and of encodings other than none are
 * nobody's key here.
 */
function externalKeys(call: Properties): string[] | Unreadable {
  const context = mapOf(call.context);
  const given = context?.externalIds;
  if (given === undefined || given === null) return [];
  const problem = `identify.context.externalIds: expected at most ${EXTERNAL_IDS_MAX} maps with type and id, strings`;
  if (!Array.isArray(given) || given.length > EXTERNAL_IDS_MAX) return { problem };
  const keys: string[] = [];
  for (const item of given as readonly Plain[]) {
    const { type, id, collection = 'users', encoding = 'none' } = mapOf(item) ?? {};
    const value = keyOf(id);
    const key = typeof type === 'string' && type.length > 0 && value !== null ? keyOf(`${type}:${value}`) : null;
    if (key === null) return { problem };
    if (collection === 'users' && encoding === 'none') keys.push(key);
  }
  return keys;
}

interface Named {
  readonly event: string;
  readonly properties: Properties;
}

function trackOf(call: Properties): Named | Unreadable {
  const event = textOf(call.event);
  if (event === null) return { problem: 'track.event: expected a string of 1 to 256 characters' };
  const properties = mapOf(call.properties);
  if (properties === null) return { problem: 'track.properties: expected a map' };
  const meaning = Object.hasOwn(EVENTS, event) ? EVENTS[event] : undefined;
  if (meaning === undefined) return { event, properties };
  if (meaning.shape === undefined) return { event: meaning.event, properties };
  const translated = meaning.shape === 'order' ? orderOf(properties) : productOf(properties);
  return 'problem' in translated ? (translated as Unreadable) : { event: meaning.event, properties: translated }; // else its properties
}

function viewOf(type: 'page' | 'screen', call: Properties): Named | Unreadable {
  const properties = mapOf(call.properties);
  if (properties === null) return { problem: `${type}.properties: expected a map` };
  const name = textOf(call.name) ?? textOf(properties.name);
  const category = textOf(call.category);
  return {
    event: 'view',
    properties: {
      ...properties,
      ...(name === null ? {} : { [type]: name }),
      ...(category === null ? {} : { category }),
    },
  };
}

/** `revenue` is what the seller earns; `total` is with shipping and tax, and stands in for it. */
function orderOf(properties: Properties): Properties | Unreadable {
  const { revenue, total, currency, products, ...others } = properties;
  const amount = revenue ?? total;
  const code = currency === undefined ? 'USD' : textOf(currency)?.toUpperCase();
  const currencyDigits = code === undefined ? null : minorDigits(code);
  if (code === undefined || currencyDigits === null)
    return { problem: 'properties.currency: expected an ISO 4217 currency such as EUR' };
  const revenueMinor = amount === undefined ? undefined : toMinor(amount, currencyDigits);
  if (revenueMinor === null) return { problem: 'properties.revenue: expected an amount in major units, such as 19.99' };
  const items: Properties[] = [];
  if (products !== undefined && !Array.isArray(products)) return { problem: 'properties.products: expected an array' };
  for (const [i, product] of ((products ?? []) as readonly Plain[]).entries()) {
    const item = mapOf(product);
    if (item === null) return { problem: `properties.products[${i}]: expected a map` };
    const read = itemOf(item, currencyDigits);
    if (typeof read === 'string') return { problem: `properties.products[${i}].${read}` };
    if (read !== null) items.push(read);
  }
  return {
    ...others,
    currency: code,
    ...(revenueMinor === undefined ? {} : { revenueMinor }),
    ...(items.length === 0 ? {} : { items }),
  };
}

function itemOf(product: Properties, currencyDigits: number): Properties | string | null {
  const sku = textOf(product.sku) ?? textOf(product.product_id);
  if (sku === null) return null;
  const quantity = product.quantity ?? 1;
  if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > 1e6)
    return 'quantity: expected a whole number from 1 to 1000000';
  const priceMinor = product.price === undefined ? undefined : toMinor(product.price, currencyDigits);
  if (priceMinor === null) return 'price: expected an amount in major units, such as 19.99';
  return { sku, quantity, ...(priceMinor === undefined ? {} : { priceMinor }) };
}

function productOf(properties: Properties): Properties {
  const sku = textOf(properties.sku) ?? textOf(properties.product_id);
  return sku === null ? properties : { ...properties, sku };
}

/** A company's traits under names of their own, so that its `name` is not the person's. */
function groupTraits(group: string, traits: Properties): Properties {
  const named: Record<string, Plain> = { groupId: group };
  for (const [name, value] of Object.entries(traits))
    named[`group${name.charAt(0).toUpperCase()}${name.slice(1)}`] = value;
  return named;
}

/** When it happened by our clock. Without a `timestamp` it happened when it came. */
function instantOf({ timestamp }: Properties, { sentAt, receivedAt }: Clocks): number | Unreadable {
  if (timestamp === undefined || timestamp === null) return receivedAt;
  const at = readUtcInstant(timestamp);
  if (Number.isNaN(at)) return { problem: 'timestamp: expected an ISO 8601 instant such as 2026-11-26T12:00:00.000Z' };
  const corrected = Number.isNaN(sentAt) ? at : at + (receivedAt - sentAt);
  // What a clock says of the years before this one was made, or of tomorrow, is no instant of an event.
  return corrected < 0 || corrected > receivedAt ? receivedAt : Math.round(corrected);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.length > 0 && value.length <= 256 ? value : null;
}

/** Segment's clients send ids as text; systems behind them, numbers. */
function keyOf(value: unknown): string | null {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  return typeof text === 'string' && text.length > 0 && Buffer.byteLength(text) <= 256 ? text : null;
}

function mapOf(value: unknown): Properties | null {
  if (value === undefined || value === null) return {};
  return typeof value === 'object' && !Array.isArray(value) ? (value as Properties) : null; // of JSON.parse
}
