/**
 * What is known of the events that every shop has, so that a catalog need not say it: `events: { purchase: {} }` is
 * enough. A catalog may add properties and make these stricter, never wider: the actors read them. Which events there
 * are and what they mean is in docs/PROTOCOL.md.
 */
import { MONEY_MINOR_MAX } from './currency.ts';
import type { Normaliser, ValueType } from './value-rules.ts';

export interface StandardProperty {
  readonly type: ValueType;
  readonly min?: number;
  readonly max?: number;
  readonly normalise?: Normaliser;
}

const SKU = { sku: { type: 'string' } } as const;
const MONEY = { type: 'integer', min: 0, max: MONEY_MINOR_MAX } as const;
const SALE = {
  revenueMinor: MONEY,
  currency: { type: 'string', normalise: 'currencyCode' },
  items: { type: 'items' },
  ...SKU,
} as const;
const CONTACT = { channel: { type: 'string' } } as const;

const TABLE: { readonly [event: string]: { readonly [property: string]: StandardProperty } } = {
  purchase: SALE,
  refund: SALE,
  view: SKU,
  click: SKU,
  impression: SKU,
  dismiss: SKU,
  conversion: { ...SKU, revenueMinor: MONEY },
  add_to_cart: { ...SKU, quantity: { type: 'integer', min: 1, max: 1_000_000 } },
  remove_from_cart: { ...SKU, quantity: { type: 'integer', min: 1, max: 1_000_000 } },
  search: { query: { type: 'string' } },
  contact: CONTACT,
  open: CONTACT,
  complaint: CONTACT,
  unsubscribe: CONTACT,
  subscribe: CONTACT,
};

/** The standard's own declaration of an event's properties, by name; empty for any other event. */
export function standardProperties(event: string): ReadonlyMap<string, StandardProperty> {
  return new Map(Object.hasOwn(TABLE, event) ? Object.entries(TABLE[event] ?? {}) : []);
}
