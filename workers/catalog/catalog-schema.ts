/**
 * The shape of a catalog file: which keys exist, of which type, within which bounds. Published as JSON
 * Schema (`schemas/catalog.schema.json`) for editors. Shape only: what names refer to and whether
 * numbers agree with one another is `catalog-check.ts`. Unknown keys are refused everywhere, because a
 * misspelt cap that is silently ignored costs money.
 */

import * as z from 'zod';
import { SENSITIVE_CATEGORIES } from '../../decision/consent.ts';
import { SIGNAL_WORDS } from '../../decision/consent-signals.ts';
import { QUIET_HOURS_PATTERN } from '../../decision/contact-policy.ts';
import { DEVICE_PEOPLE_KEPT } from '../../decision/device.ts';
import { FACT_NAMES, type FactName } from '../../decision/facts.ts';
import { TAG_FAMILIES } from '../../decision/tag.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';
import { cleaningFields, eventSchema } from './cleaning-schema.ts';
import { DURATION_PATTERN, INSTANT_PATTERN } from './durations.ts';

/** Channels, slots, actions, skus, traits and names: what fits in a URL, a metric label and a log line. */
const KEY_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const key = z
  .string()
  .regex(KEY_PATTERN, { error: 'must be 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit' });
/** Keys that may be joined with one person: one entry of a cold record each. */
const IDENTITY_KEYS_MAX = 1_000;
const duration = z
  .string()
  .regex(DURATION_PATTERN, { error: 'must be a duration such as 90s, 15m, 24h, 7d or 8w' })
  .describe('Whole number and unit: s, m, h, d, w');
const moneyMinor = z.int().min(0).max(CATALOG_LIMITS.moneyMinorMax).describe('Minor units of currency');
const probability = z.number().min(0).max(1);
const rule = z
  .string()
  .min(1)
  .max(CATALOG_LIMITS.ruleLengthMax)
  .describe('CEL over profile, context, now and counters');

const cap = z.strictObject({
  count: z.int().min(1).max(CATALOG_LIMITS.capCountMax).describe('At most this many inside the period'),
  per: z
    .string()
    .regex(new RegExp(`^(day|week)$|${DURATION_PATTERN.source}`), {
      error: 'must be day, week or a duration such as 24h or 7d',
    })
    .describe('day and week: the local calendar; a duration: a rolling window'),
  on: z
    .enum(['decision', 'impression', 'click', 'conversion'])
    .optional()
    .describe('What is counted; default decision'),
});
const caps = z.array(cap).max(CATALOG_LIMITS.capsMax);

const fatigue = z
  .strictObject({
    chargeMinor: moneyMinor.describe('Charged in arbitration for an offer just made'),
    halfLife: duration.describe('After which an offer is charged half'),
  })
  .describe('Offers made lately cost score, less with every half-life');

const trait = z.strictObject({
  type: z.enum(['integer', 'number', 'boolean', 'string', 'enum', 'timeZone']),
  min: z.number().optional(),
  max: z.number().optional(),
  values: z.array(z.string().min(1).max(256)).min(1).max(CATALOG_LIMITS.enumValuesMax).optional(),
  unit: z.string().min(1).max(64).optional(),
  protected: z.boolean().optional().describe('Measured for fairness; never a feature, never in a rule'),
  sensitive: z.boolean().optional().describe('Personal; never a feature, never in a rule, never logged'),
  purpose: key.optional().describe('What the person must allow before it is used; personalisation'),
  category: z.enum(SENSITIVE_CATEGORIES).optional().describe('Used only where the person has allowed category.NAME'),
  weight: z
    .number()
    .min(0)
    .max(CATALOG_LIMITS.leverMax)
    .optional()
    .describe("Share in the completeness of a profile's quality; default 1, 0: does not count"),
  ...cleaningFields,
});

const tag = z
  .strictObject({
    family: z.enum(TAG_FAMILIES),
    parent: key.describe('The tag above: held by everybody who holds this one').optional(),
    when: rule.describe('CEL over profile, now and counters; without it, held with a tag below').optional(),
    weight: z
      .union([z.number().min(-CATALOG_LIMITS.tagWeightMax).max(CATALOG_LIMITS.tagWeightMax), rule])
      .describe('A number, or CEL that gives one; default 1')
      .optional(),
    halfLife: duration.describe('After which the weight of the last event counts half').optional(),
    holdFor: duration.describe('How long it stays at least').optional(),
    feature: z.boolean().describe('Whether the response model sees it; default false').optional(),
    suspicion: z.boolean().describe('Who holds it is offered nothing and teaches nothing; default false').optional(),
  })
  .describe('A living tag, see docs/TAGS.md');

const stage = z
  .strictObject({
    when: rule.describe('Who comes to it; without it, who a timer leads here').optional(),
    from: z.array(key).min(1).max(CATALOG_LIMITS.stagesMax).describe('From these; default: all before it').optional(),
    timer: z
      .strictObject({ after: duration, to: key.describe('Another stage, or exit') })
      .describe('Where the person goes after so long in the stage')
      .optional(),
    goal: z.boolean().describe('Whether the journey is for coming here; default false').optional(),
    weights: z
      .strictObject({
        actions: z.record(key, z.number().min(0).max(CATALOG_LIMITS.leverMax)).optional(),
        channels: z.record(key, z.number().min(0).max(CATALOG_LIMITS.leverMax)).optional(),
      })
      .describe("Factors of actions' worth, by action and by channel, while the person is in the stage")
      .optional(),
  })
  .describe('Without anything: the first stage, which everybody enters');

const journey = z
  .strictObject({
    stages: z.record(key, stage).describe('In their order; one enters by the first'),
    exit: rule.describe('Who leaves, from any stage').optional(),
    again: duration.describe('After which who has left may enter again; default never').optional(),
  })
  .describe('A journey, see docs/JOURNEYS.md');

const feed = z
  .strictObject({
    fields: z.record(
      key,
      z.strictObject({
        type: z.enum(['number', 'boolean', 'text']),
        min: z.number().optional(),
        max: z.number().optional(),
        values: z
          .array(z.string().min(1).max(256))
          .min(1)
          .max(CATALOG_LIMITS.enumValuesMax)
          .optional()
          .describe('All that a text may be'),
        feature: z.boolean().optional().describe('Whether the response model sees it; default false'),
      }),
    ),
    ttl: duration.describe('How long a row holds that does not say so itself'),
    rowsMax: z.int().min(1).max(CATALOG_LIMITS.feedRowsMax).optional().describe('Rows that may hold; default 1000'),
    key: rule.describe('CEL that gives the key of a request, such as profile.city').optional(),
  })
  .describe('A small table pushed from outside, see docs/CONTEXT.md');

const channel = z.strictObject({
  costMinor: moneyMinor.optional(),
  quietHours: z
    .string()
    .regex(QUIET_HOURS_PATTERN, { error: 'must be two local times such as "22:00-08:00"' })
    .optional(),
  sendWithin: duration.describe('how far ahead a send-time may be, at most 8d').optional(),
  waitingLossPerDay: probability.describe('what a message is worth less by for each day of waiting').optional(),
  caps: caps.optional(),
  fatigue: fatigue.optional(),
  maturity: z
    .strictObject({
      positives: z.int().min(1).max(CATALOG_LIMITS.maturityPositivesMax),
      reach: probability.describe('Share of people who may be offered an action without any response so far'),
    })
    .optional()
    .describe('Share of people that an action of few responses may reach'),
});

const feedCell = z
  .strictObject({ name: key, field: key, key: z.string().min(1).max(128).optional() })
  .describe('A number of a feed; its key is the sku unless given');

/** Exactly one of the four kinds; which, the check says. */
const promotion = z.strictObject({
  key,
  percentageBasisPoints: z.int().min(1).max(9_999).optional().describe('Off the price, in 1/10,000'),
  amountMinor: moneyMinor.optional().describe('Off the price'),
  buy: z.int().min(1).max(CATALOG_LIMITS.promotionUnitsMax).optional().describe('Paid units, with free'),
  free: z.int().min(1).max(CATALOG_LIMITS.promotionUnitsMax).optional().describe('Free units, with buy'),
  bundleSku: key.optional().describe('The other product of a bundle, with bundleMinor'),
  bundleMinor: moneyMinor.optional().describe('Price of both together'),
});

const product = z.strictObject({
  sku: key,
  listMinor: moneyMinor,
  floorMinor: moneyMinor,
  ceilingMinor: moneyMinor,
  costMinor: moneyMinor,
  stepMinor: z.int().min(1).max(CATALOG_LIMITS.moneyMinorMax),
  endingsMinor: z
    .array(moneyMinor)
    .min(1)
    .max(CATALOG_LIMITS.endingsMax)
    .optional()
    .describe('Prices are whole steps plus one of these, each below stepMinor'),
  marginBasisPointsMin: z.int().min(0).max(CATALOG_LIMITS.marginBasisPointsMax).optional(),
  ceilingFrom: z
    .strictObject({
      feed: feedCell,
      basisPoints: z.int().min(-9_999).max(10_000).optional().describe('How far above or below it; 0'),
    })
    .optional()
    .describe("A price of others that this product's stays at or below, such as a competitor's"),
  listCap: z.boolean().optional().describe('Never above the list price'),
  changeBasisPointsMax: z.int().min(0).max(10_000).optional().describe('Per hour'),
  referenceBasisPointsMax: z.int().min(0).max(10_000).optional().describe('Above what people remember having paid'),
  memory: duration.optional().describe('After which what was learnt of demand counts half'),
  stock: z
    .int()
    .min(0)
    .max(CATALOG_LIMITS.moneyMinorMax)
    .nullable()
    .optional()
    .describe('Units on hand; null: unlimited'),
  sellBy: z
    .string()
    .regex(INSTANT_PATTERN, { error: 'must be an instant with its offset such as 2026-12-24T18:00+01:00' })
    .optional()
    .describe('Until when the stock must be sold'),
  salvageMinor: moneyMinor.optional().describe('Worth of a unit not sold by then'),
  promotions: z.array(promotion).max(CATALOG_LIMITS.promotionsMax).optional(),
  quoteTtlMillis: z.int().min(1_000).max(CATALOG_LIMITS.quoteTtlMillisMax).optional(),
  demandInputs: z
    .array(
      z.strictObject({
        context: key.optional(),
        feed: feedCell.optional(),
        usualMinor: moneyMinor.optional(),
        mean: z.number().optional(),
        scale: z.number().positive().optional(),
        product: key.optional(),
        hour: z.enum(['sine', 'cosine']).optional(),
      }),
    )
    .max(CATALOG_LIMITS.demandInputsMax)
    .optional()
    .describe('What moves demand beside the price, the same for everybody in an hour'),
  personalPrice: z
    .boolean()
    .optional()
    .describe('Whether single people may get a lower price; default that of decision'),
  groupGapBasisPointsMax: z
    .int()
    .min(0)
    .max(10_000)
    .optional()
    .describe("Most that two people's, and so two groups', prices of one hour may differ"),
  personalDiscounts: z
    .array(z.strictObject({ when: rule, basisPoints: z.int().min(1).max(10_000) }))
    .max(CATALOG_LIMITS.personalDiscountsMax)
    .optional(),
});

const action = z.strictObject({
  key,
  category: key.optional(),
  channels: z.array(key).min(1).max(CATALOG_LIMITS.channelsMax),
  slots: z.array(key).max(CATALOG_LIMITS.slotsMax).optional(),
  valueMinor: z.int().min(-CATALOG_LIMITS.moneyMinorMax).max(CATALOG_LIMITS.moneyMinorMax),
  costMinor: moneyMinor.optional(),
  lever: z.number().min(0).max(CATALOG_LIMITS.leverMax).optional(),
  eligibility: rule.optional(),
  contextWeights: z
    .array(z.strictObject({ when: rule, weight: z.number().min(0).max(CATALOG_LIMITS.leverMax) }))
    .max(CATALOG_LIMITS.contextWeightsMax)
    .optional(),
  caps: caps.optional(),
  fatigue: fatigue.optional(),
  budgetMinor: moneyMinor.nullable().optional(),
  creatives: z.array(z.string().min(1).max(256)).max(CATALOG_LIMITS.creativesMax).optional(),
});

const webhook = z
  .strictObject({
    url: z.string().min(1).max(2048).describe('https, or http where the node is told to speak to its own network'),
    secret: z
      .string()
      .regex(/^[a-z0-9_]{1,64}$/, { error: 'must be 1 to 64 lower-case letters, digits or "_"' })
      .describe('NAME of the secret in the environment: OPPORTUNE_WEBHOOK_SECRET_NAME, or …_NAME_FILE'),
    tags: z.array(key).min(1).max(CATALOG_LIMITS.tagsMax).optional().describe('Which it is told of'),
    journeys: z
      .array(key)
      .min(1)
      .max(CATALOG_LIMITS.journeysMax)
      .optional()
      .describe('Of which it is told who came where; without this and tags, of all'),
    transitions: z
      .array(z.enum(['entered', 'left']))
      .min(1)
      .max(2)
      .optional()
      .describe('Default both'),
    traits: z.array(key).max(CATALOG_LIMITS.webhookTraitsMax).optional().describe('Sent along, as they are then'),
    tenant: key.optional().describe("Whose people; default 'default'"),
    timeout: duration.optional().describe('For one try; default 10s'),
    retryAfter: duration.optional().describe('First pause, doubled with each try; default 1s'),
    tries: z.int().min(1).max(CATALOG_LIMITS.webhookTriesMax).optional().describe('Before it is given up; default 12'),
  })
  .describe('Who is told when somebody enters or leaves a tag or journey, see docs/WEBHOOKS.md');

export const catalogSchema = z.strictObject({
  version: z.literal(1),
  name: key,
  currency: z.string().regex(/^[A-Z]{3}$/, { error: 'must be an ISO 4217 code such as EUR' }),
  timeZone: z.string().min(1).max(64).describe('IANA zone for people whose zone is unknown'),
  decision: z
    .strictObject({
      strategy: z
        .enum(['thompson', 'squarecb', 'lints'])
        .optional()
        .describe('How actions are drawn; default thompson'),
      explorationProbability: probability.optional(),
      holdoutProbability: z.number().min(0).max(0.5).optional(),
      rewardWindow: duration.optional(),
      leaseMillis: z.int().min(1_000).max(CATALOG_LIMITS.leaseMillisMax).optional(),
      fallback: key.optional(),
      personalPrice: z.boolean().optional().describe('Default of all products; false'),
      diversity: fatigue.optional().describe('As fatigue, for offers of the same category'),
    })
    .optional(),
  profile: z
    .strictObject({
      additionalTraits: z.enum(['refuse', 'keep']).optional(),
      traits: z.record(key, trait).optional(),
      tags: z.record(key, tag).optional(),
      facts: z
        .array(z.enum(FACT_NAMES as readonly [FactName, ...FactName[]])) // a constant list that is not empty
        .max(FACT_NAMES.length)
        .optional()
        .describe('What fits say of a person, to be read in rules as profile.NAME'),
      contradictions: z
        .record(key, rule)
        .optional()
        .describe('Rules over traits that hold where two of them cannot both be right: flagged'),
    })
    .optional(),
  events: z
    .record(z.string().min(1).max(CATALOG_LIMITS.eventNameLengthMax), eventSchema)
    .optional()
    .describe('What properties events may have: see docs/CLEANING.md'),
  cleaning: z
    .strictObject({
      freshnessHalfLife: duration.optional().describe('After which what is known counts half; default 90d'),
    })
    .optional()
    .describe('How the quality of what is known is judged'),
  consent: z
    .strictObject({
      minorAge: z.int().min(1).max(30).optional().describe("Below it personal purposes take the person's own word"),
      ageTrait: key.optional().describe('Trait that says the age; age'),
      purposes: z
        .record(key, z.strictObject({ default: z.enum(['granted', 'denied']) }))
        .optional()
        .describe('What holds for somebody who was never asked; further names are purposes of your own'),
      signals: z
        .record(key, z.array(z.string().max(32)).max(SIGNAL_WORDS.size))
        .optional()
        .describe('Which words of TCF and GPP strings and Sec-GPC stand for a purpose: docs/CONSENT.md has them'),
      tcfVendor: z.int().min(1).max(65_535).optional().describe("Your number in IAB's Global Vendor List"),
    })
    .optional(),
  identity: z
    .strictObject({
      types: z
        .record(
          z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/),
          z.strictObject({
            limit: z.int().min(1).max(IDENTITY_KEYS_MAX).optional().describe('Keys of the type a person may have'),
            trait: key.optional().describe('Its values are such keys: who tells it is joined with that key'),
          }),
        )
        .optional()
        .describe('Types of profile keys, "device:abc" is of the type device, the strongest first'),
      keys: z.int().min(1).max(IDENTITY_KEYS_MAX).optional().describe('Keys of all types a person may have; 100'),
      blocked: z
        .array(z.string().min(1).max(256))
        .max(1000)
        .optional()
        .describe('Placeholders that are nobody, beside null, unknown, 0 and the like'),
      unjoinWithin: duration.optional().describe('How long after a joining keys can be taken apart again; 30d'),
    })
    .optional()
    .describe('Which keys may be joined to one person'),
  abuse: z
    .strictObject({
      travel: z
        .strictObject({
          latitude: z.string().min(1).max(256).describe('Property of events, in degrees, north positive'),
          longitude: z.string().min(1).max(256).describe('Likewise, east positive'),
          kmPerHourMax: z.number().min(1).max(100_000).describe('Faster is impossible: an airliner does 900'),
        })
        .optional()
        .describe('Trips nobody can have made are told as events impossible_travel'),
      device: z
        .strictObject({
          property: z.string().min(1).max(256).describe('Property of events that says which device'),
          personsMax: z
            .int()
            .min(1)
            .max(DEVICE_PEOPLE_KEPT - 1)
            .describe('People a device may have; each beyond is told'),
          per: duration.describe('Of people seen within so long of each other'),
          except: z.array(z.string().min(1).max(256)).max(1000).optional().describe('Devices many share rightly'),
        })
        .optional()
        .describe('People on a device that too many use are told as events shared_device'),
      usual: z
        .strictObject({ every: duration.optional().describe('How often it is measured; 1h') })
        .optional()
        .describe('What is usual of each count is measured, for unusual(event, window) in rules'),
    })
    .optional()
    .describe('What is looked for beside the rules of suspicions, see docs/ABUSE.md'),
  journeys: z.record(key, journey).optional().describe('Stages that people go through'),
  webhooks: z.record(key, webhook).optional(),
  feeds: z.record(key, feed).optional().describe('What is known of the world, see docs/CONTEXT.md'),
  channels: z.record(key, channel),
  slots: z.record(key, z.strictObject({ channels: z.array(key).min(1).max(CATALOG_LIMITS.channelsMax) })).optional(),
  products: z.array(product).max(CATALOG_LIMITS.productsMax).optional(),
  actions: z.array(action).min(1).max(CATALOG_LIMITS.actionsMax),
});

/** A catalog file whose shape holds; written by a person, so what has a default may be missing. */
export type CatalogFile = z.infer<typeof catalogSchema>;
export type PromotionFile = z.infer<typeof promotion>;
export type DemandInputFile = NonNullable<z.infer<typeof product>['demandInputs']>[number];
export type FeedFile = z.infer<typeof feed>;
export type FeedCellFile = z.infer<typeof feedCell>;
export type TagFile = z.infer<typeof tag>;
export type JourneyFile = z.infer<typeof journey>;
export type StageFile = z.infer<typeof stage>;
export type WebhookFile = z.infer<typeof webhook>;
export type TraitFile = z.infer<typeof trait>;
export type CapFile = z.infer<typeof cap>;
export type FatigueFile = z.infer<typeof fatigue>;

/** The schema as JSON Schema 2020-12, as committed in `schemas/catalog.schema.json`. */
export function catalogJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(catalogSchema, { io: 'input', target: 'draft-2020-12' }),
    title: 'Opportune catalog',
    description: 'What may be offered, to whom, how often, at what price. See docs/CATALOG.md.',
  };
}
