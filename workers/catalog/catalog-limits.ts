/** The bounds of a catalog, for the schema that states them and for all that is held to them. */
export const CATALOG_LIMITS = {
  /** Largest catalog file, in bytes. */
  fileBytesMax: 8 * 1024 * 1024,
  actionsMax: 2_500,
  productsMax: 10_000,
  slotsMax: 256,
  channelsMax: 32,
  traitsMax: 128,
  tagsMax: 1_000,
  /** Of them, those that the response model sees. */
  tagFeaturesMax: 32,
  tagWeightMax: 1_000_000_000,
  feedsMax: 16,
  feedFieldsMax: 16,
  feedRowsMax: 10_000,
  /** Fields of all feeds that the response model sees. */
  feedFeaturesMax: 16,
  journeysMax: 16,
  /** Of one journey; each is a bit of a word. */
  stagesMax: 31,
  enumValuesMax: 256,
  synonymsMax: 64,
  /** Declared events, and properties of one. */
  eventsMax: 256,
  eventPropertiesMax: 64,
  eventNameLengthMax: 256,
  contradictionsMax: 32,
  creativesMax: 64,
  capsMax: 8,
  endingsMax: 8,
  promotionsMax: 16,
  personalDiscountsMax: 16,
  demandInputsMax: 6,
  promotionUnitsMax: 14,
  marginBasisPointsMax: 1_000_000,
  contextWeightsMax: 16,
  /** Longest rule, in UTF-16 units. */
  ruleLengthMax: 4_096,
  maturityPositivesMax: 1_000_000,
  /** Largest count of one cap: every counted moment is remembered exactly. */
  capCountMax: 1_000,
  /** Money, in minor units: far inside the integers a double holds exactly. */
  moneyMinorMax: 1_000_000_000_000,
  webhooksMax: 20,
  webhookTraitsMax: 32,
  webhookTriesMax: 100,
  leverMax: 1_000,
  leaseMillisMax: 7 * 86_400_000,
  quoteTtlMillisMax: 7 * 86_400_000,
} as const;
