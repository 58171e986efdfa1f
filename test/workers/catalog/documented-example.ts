/**
 * The example of the catalog's specification, word for word, and the one action its fallback names,
 * which the example leaves to the reader.
 */
export const EXAMPLE_WITHOUT_FALLBACK = `version: 1
name: sample-retail
currency: CNY                       # ISO 4217
timeZone: Asia/Shanghai             # for people whose zone is unknown
decision:
  explorationProbability: 0.02
  holdoutProbability: 0.02
  rewardWindow: 7d
  leaseMillis: 120000
  fallback: brand-story             # safe default when no answer can be made in time
profile:
  additionalTraits: refuse          # or keep: stored cold, not usable in rules
  traits:
    age:     { type: integer, min: 0, max: 130 }
    city:    { type: string }
    loyalty: { type: enum, values: [none, silver, gold] }
    income:  { type: number, unit: CNY/month, protected: true }   # measured, never a feature
    phone:   { type: string, sensitive: true }                    # encrypted, never a feature
    timeZone: { type: timeZone }
channels:
  app:  {}
  push: { costMinor: 2, quietHours: "22:00-08:00", caps: [{ count: 2, per: 24h, on: decision }] }
slots:
  home: { channels: [app] }
products:
  - { sku: espresso-1kg, listMinor: 12900, floorMinor: 9900, ceilingMinor: 13900,
      costMinor: 8000, stepMinor: 100, stock: 500, quoteTtlMillis: 900000 }
actions:
  - key: free-shipping
    channels: [app, push]
    slots: [home]
    valueMinor: 800                 # what a response is worth
    costMinor: 150
    lever: 1.0
    eligibility: 'profile.loyalty != "none" && count("purchase", "30d") > 0'
    caps:
      - { count: 3, per: 7d, on: decision }   # on: decision | impression | click | conversion
    budgetMinor: 5000000
    creatives: [plain, festive]
`;

export const DOCUMENTED_EXAMPLE = `${EXAMPLE_WITHOUT_FALLBACK}  - { key: brand-story, channels: [app], valueMinor: 1 }
`;
