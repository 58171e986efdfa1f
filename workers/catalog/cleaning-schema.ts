/**
 * The shape of what a catalog declares about cleaning: fields that traits and the properties of events share, and the
 * declaration of an event. Part of `catalog-schema.ts`; what the shape cannot say is `cleaning-check.ts`.
 */
import * as z from 'zod';
import { NORMALISERS } from '../../decision/cleaning/value-rules.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';

const name = z.string().min(1).max(64);
const text = z.string().min(1).max(256);
const normaliser = z.enum(NORMALISERS);

/** Of traits and properties alike. */
export const cleaningFields = {
  default: z
    .union([z.string().max(256), z.number(), z.boolean()])
    .optional()
    .describe('Taken where nothing is told'),
  normalise: z
    .union([normaliser, z.array(normaliser).min(1).max(NORMALISERS.length)])
    .optional()
    .describe('How what comes is brought into its one form'),
  synonyms: z
    .record(text, z.array(text).min(1).max(CATALOG_LIMITS.synonymsMax))
    .optional()
    .describe('Value: other texts for it'),
  region: z
    .string()
    .regex(/^[A-Z]{2}$/, { error: 'must be an ISO 3166 region such as DE' })
    .optional()
    .describe('Of phone numbers without country code'),
  gmail: z.literal('fold').optional().describe('Dots and +words of Gmail addresses are left out'),
  zone: z.string().min(1).max(64).optional().describe('IANA zone of instants without one; default that of the catalog'),
  fromMajor: name.optional().describe('Name under which the same amount may come in major units'),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, { error: 'must be an ISO 4217 code such as EUR' })
    .optional()
    .describe('Currency of fromMajor'),
  currencyFrom: name.optional().describe('The value beside it that names the currency of fromMajor'),
  outlier: z
    .strictObject({
      min: z.number().optional(),
      max: z.number().optional(),
      deviations: z
        .number()
        .min(1)
        .max(1000)
        .optional()
        .describe('Robust deviations from the median of what came lately'),
    })
    .optional()
    .describe('What lies outside is kept and flagged'),
};

const property = z.strictObject({
  type: z
    .enum(['integer', 'number', 'boolean', 'string', 'enum', 'timeZone', 'items', 'list', 'map'])
    .optional()
    .describe('May be left out of a standard property'),
  min: z.number().optional(),
  max: z.number().optional(),
  values: z.array(text).min(1).max(CATALOG_LIMITS.enumValuesMax).optional(),
  unit: z.string().min(1).max(64).optional(),
  required: z.boolean().optional(),
  ...cleaningFields,
});

export const eventSchema = z.strictObject({
  properties: z.record(name, property).optional(),
  additionalProperties: z
    .enum(['keep', 'drop', 'refuse'])
    .optional()
    .describe('What becomes of properties that are not declared; default keep'),
});

export type PropertyFile = z.infer<typeof property>;
