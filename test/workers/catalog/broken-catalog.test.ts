import { describe, expect, it } from 'vitest';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { loadCatalogText } from '../../../workers/catalog/catalog-file.ts';
import { DOCUMENTED_EXAMPLE as EXAMPLE } from './documented-example.ts';

/**
 * One slip a row, made in the documented example: what it is, the text replaced, the text put there,
 * and every problem that must come out, as `line:column path: reason`.
 */
const SLIPS: readonly (readonly [string, string, string, readonly string[]])[] = [
  ['version of the future', 'version: 1', 'version: 2', ['1:10 version: must be 1; got 2']],
  ['missing version', 'version: 1\n', '', ['1:1 version: is required (1)']],
  [
    'name with a space',
    'name: sample-retail',
    'name: sample retail',
    [
      '2:7 name: must be 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit, got text "sample retail"',
    ],
  ],
  ['unknown currency', 'currency: CNY', 'currency: ZZZ', ['3:11 currency: "ZZZ" is not an ISO 4217 currency']],
  [
    'currency in lower case',
    'currency: CNY',
    'currency: cny',
    ['3:11 currency: must be an ISO 4217 code such as EUR, got text "cny"'],
  ],
  [
    'unknown zone',
    'Asia/Shanghai ',
    'Asia/Shangai ',
    ['4:11 timeZone: "Asia/Shangai" is not an IANA time zone; nearest is "Asia/Shanghai"'],
  ],
  [
    'offset as zone',
    'timeZone: Asia/Shanghai',
    'timeZone: "+08:00"',
    ['4:11 timeZone: "+08:00" is not an IANA time zone'],
  ],
  [
    'unknown top-level key',
    'actions:',
    'promotions: []\nactions:',
    [
      '28:1 promotions: "promotions" is not a known key (known: version, name, currency, timeZone, decision, profile, events, cleaning, consent, identity, abuse, journeys, webhooks, feeds, channels, slots, products, actions)',
    ],
  ],
  [
    'misspelt key',
    'explorationProbability',
    'explorationProbabilty',
    [
      '6:3 decision.explorationProbabilty: "explorationProbabilty" is not a known key; nearest is "explorationProbability"',
    ],
  ],
  [
    'probability above 1',
    'explorationProbability: 0.02',
    'explorationProbability: 1.01',
    ['6:27 decision.explorationProbability: must be at most 1, got 1.01'],
  ],
  [
    'probability not a number',
    'explorationProbability: 0.02',
    'explorationProbability: .nan',
    ['6:27 decision.explorationProbability: must be a number, got NaN'],
  ],
  [
    'holdout above a half',
    'holdoutProbability: 0.02',
    'holdoutProbability: 0.51',
    ['7:23 decision.holdoutProbability: must be at most 0.5, got 0.51'],
  ],
  [
    'negative holdout',
    'holdoutProbability: 0.02',
    'holdoutProbability: -0.01',
    ['7:23 decision.holdoutProbability: must be at least 0, got -0.01'],
  ],
  [
    'a device counted over a minute',
    'actions:',
    'abuse: { device: { property: d, personsMax: 5, per: 1m } }\nactions:',
    ['28:53 abuse.device.per: 1m: people of a device are counted within 10m to 90d of each other'],
  ],
  [
    'a device counted over a year',
    'actions:',
    'abuse: { device: { property: d, personsMax: 5, per: 365d } }\nactions:',
    ['28:53 abuse.device.per: 365d: people of a device are counted within 10m to 90d of each other'],
  ],
  [
    'more people on a device than are told apart',
    'actions:',
    'abuse: { device: { property: d, personsMax: 64, per: 1d } }\nactions:',
    ['28:45 abuse.device.personsMax: must be at most 63, got 64'],
  ],
  [
    'a device without a property',
    'actions:',
    'abuse: { device: { personsMax: 5, per: 1d } }\nactions:',
    ['28:18 abuse.device.property: is required (text)'],
  ],
  [
    'reward window without unit',
    'rewardWindow: 7d',
    'rewardWindow: 7',
    ['8:17 decision.rewardWindow: must be text, got 7'],
  ],
  [
    'reward window of zero',
    'rewardWindow: 7d',
    'rewardWindow: 0d',
    ['8:17 decision.rewardWindow: must be a duration such as 90s, 15m, 24h, 7d or 8w, got text "0d"'],
  ],
  [
    'reward window over ten years',
    'rewardWindow: 7d',
    'rewardWindow: 600w',
    ['8:17 decision.rewardWindow: "600w" is longer than ten years'],
  ],
  [
    'lease of a fraction',
    'leaseMillis: 120000',
    'leaseMillis: 1.5',
    ['9:16 decision.leaseMillis: must be a whole number, got 1.5'],
  ],
  [
    'unknown fallback',
    'fallback: brand-story',
    'fallback: brand-storey',
    ['10:13 decision.fallback: "brand-storey" is not a declared action; nearest is "brand-story"'],
  ],
  [
    'fallback that would need the person',
    'valueMinor: 1 }',
    'valueMinor: 1, budgetMinor: 5, caps: [{ count: 1, per: 24h }] }',
    [
      '10:13 decision.fallback: "brand-story" has caps, budgetMinor; a fallback is answered without looking at the person',
    ],
  ],
  [
    'fallback on a channel with a clock',
    '{ key: brand-story, channels: [app]',
    '{ key: brand-story, channels: [push]',
    [
      '10:13 decision.fallback: "brand-story" has no channel without caps and quiet hours; a fallback is answered without looking at the person',
    ],
  ],
  [
    'additionalTraits misspelt',
    'additionalTraits: refuse',
    'additionalTraits: refused',
    ['12:21 profile.additionalTraits: must be refuse, keep; got text "refused"; nearest is "refuse"'],
  ],
  [
    'trait type misspelt',
    'age:     { type: integer',
    'age:     { type: integr',
    [
      '14:22 profile.traits.age.type: must be integer, number, boolean, string, enum, timeZone; got text "integr"; nearest is "integer"',
    ],
  ],
  [
    'trait min above max',
    'min: 0, max: 130',
    'min: 131, max: 130',
    ['14:36 profile.traits.age.min: min 131 is above max 130'],
  ],
  [
    'trait min of a fraction',
    'min: 0, max: 130',
    'min: 0.5, max: 130',
    ['14:36 profile.traits.age.min: must be a whole number, as the trait is, got 0.5'],
  ],
  [
    'min on a string trait',
    '{ type: string }',
    '{ type: string, min: 1 }',
    ['15:35 profile.traits.city.min: only integer and number traits have a min'],
  ],
  [
    'enum without values',
    '{ type: enum, values: [none, silver, gold] }',
    '{ type: enum }',
    ['16:14 profile.traits.loyalty: an enum needs its values: [a, b]'],
  ],
  [
    'enum with equal values',
    '[none, silver, gold]',
    '[none, silver, gold, silver]',
    ['16:57 profile.traits.loyalty.values[3]: "silver" is there already, as number 2 of the list'],
  ],
  [
    'enum with an empty value',
    '[none, silver, gold]',
    '[none, silver, gold, ""]',
    ['16:57 profile.traits.loyalty.values[3]: must not be empty'],
  ],
  [
    'enum with no values',
    '[none, silver, gold]',
    '[]',
    ['16:36 profile.traits.loyalty.values: must have at least 1 entries, has 0'],
  ],
  [
    'values on a non-enum',
    'age:     { type: integer',
    'age:     { type: integer, values: [a]',
    ['14:39 profile.traits.age.values: only enum traits have values'],
  ],
  [
    'two time zone traits',
    'timeZone: { type: timeZone }',
    'timeZone: { type: timeZone }\n    zone2: { type: timeZone }',
    ['20:20 profile.traits.zone2.type: there can be one timeZone trait, and "timeZone" is it'],
  ],
  [
    'trait name not a key',
    '    age: ',
    '    "a ge": ',
    ['14:5 profile.traits.a ge: must be 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit'],
  ],
  ['__proto__ as a trait', '    age: ', '    __proto__: ', ['14:5 profile.traits: "__proto__" cannot be a key']],
  ['channel as nothing', 'app:  {}', 'app:', ['21:7 channels.app: must be a map, got nothing']],
  [
    'no channel',
    'channels:\n  app:  {}\n  push: { costMinor: 2, quietHours: "22:00-08:00", caps: [{ count: 2, per: 24h, on: decision }] }\n',
    '',
    [
      '1:1 channels: is required (a map)',
      '21:22 slots.home.channels[0]: "app" is not a declared channel',
      '27:16 actions[0].channels[0]: "app" is not a declared channel',
      '27:21 actions[0].channels[1]: "push" is not a declared channel',
      '37:36 actions[1].channels[0]: "app" is not a declared channel',
    ],
  ],
  [
    'quiet hours malformed',
    '22:00-08:00',
    '22:00-8:00',
    ['22:37 channels.push.quietHours: must be two local times such as "22:00-08:00", got text "22:00-8:00"'],
  ],
  [
    'quiet hours past midnight',
    '22:00-08:00',
    '24:00-08:00',
    ['22:37 channels.push.quietHours: must be two local times such as "22:00-08:00", got text "24:00-08:00"'],
  ],
  [
    'quiet hours empty',
    '22:00-08:00',
    '22:00-22:00',
    [
      '22:37 channels.push.quietHours: "22:00-22:00" begins and ends at the same minute: leave it out for no quiet hours',
    ],
  ],
  [
    'send-time too far ahead',
    'quietHours: "22:00-08:00"',
    'sendWithin: 9d',
    ['22:37 channels.push.sendWithin: 9d is further ahead than a send-time is looked for: at most 8d'],
  ],
  [
    'send-time without a unit',
    'quietHours: "22:00-08:00"',
    'sendWithin: 3',
    ['22:37 channels.push.sendWithin: must be text, got 3'],
  ],
  [
    'a loss of more than everything',
    'quietHours: "22:00-08:00"',
    'waitingLossPerDay: 1.5',
    ['22:44 channels.push.waitingLossPerDay: must be at most 1, got 1.5'],
  ],
  [
    'cap period unknown',
    'per: 24h',
    'per: month',
    ['22:76 channels.push.caps[0].per: must be day, week or a duration such as 24h or 7d, got text "month"'],
  ],
  [
    'cap count zero',
    'count: 2, per',
    'count: 0, per',
    ['22:68 channels.push.caps[0].count: must be at least 1, got 0'],
  ],
  [
    'cap count too large',
    'count: 3, per',
    'count: 1001, per',
    ['37:18 actions[0].caps[0].count: must be at most 1000, got 1001'],
  ],
  [
    'cap on misspelt',
    'per: 7d, on: decision',
    'per: 7d, on: clck',
    [
      '37:34 actions[0].caps[0].on: must be decision, impression, click, conversion; got text "clck"; nearest is "click"',
    ],
  ],
  [
    'cap without period',
    '{ count: 3, per: 7d, on: decision }',
    '{ count: 3, on: decision }',
    ['37:9 actions[0].caps[0].per: is required (text)'],
  ],
  [
    'slot of unknown channel',
    'home: { channels: [app] }',
    'home: { channels: [ap] }',
    ['24:22 slots.home.channels[0]: "ap" is not a declared channel; nearest is "app"'],
  ],
  [
    'slot without channel',
    'home: { channels: [app] }',
    'home: { channels: [] }',
    ['24:21 slots.home.channels: must have at least 1 entries, has 0'],
  ],
  [
    'floor below cost',
    'costMinor: 8000',
    'costMinor: 9901',
    ['26:56 products[0].floorMinor: floor 9900 is below the cost 9901: every sale at it would lose money'],
  ],
  [
    'floor above ceiling',
    'floorMinor: 9900, ceilingMinor: 13900',
    'floorMinor: 13900, ceilingMinor: 12900',
    [
      '26:37 products[0].listMinor: list price 12900 is outside floor 13900 to ceiling 12900',
      '26:56 products[0].floorMinor: floor 13900 is above the ceiling 12900',
    ],
  ],
  [
    'list outside bounds',
    'listMinor: 12900',
    'listMinor: 14000',
    ['26:37 products[0].listMinor: list price 14000 is outside floor 9900 to ceiling 13900'],
  ],
  ['step of zero', 'stepMinor: 100', 'stepMinor: 0', ['27:35 products[0].stepMinor: must be at least 1, got 0']],
  [
    'ceiling off the grid',
    'ceilingMinor: 13900',
    'ceilingMinor: 13950',
    ['26:76 products[0].ceilingMinor: 13950 cannot be reached from the floor 9900 in steps of 100'],
  ],
  [
    'price as a fraction',
    'listMinor: 12900',
    'listMinor: 129.5',
    ['26:37 products[0].listMinor: must be a whole number, got 129.5'],
  ],
  [
    'price as text',
    'listMinor: 12900',
    'listMinor: "12900"',
    ['26:37 products[0].listMinor: must be a number, got text "12900"'],
  ],
  [
    'price too large',
    'listMinor: 12900',
    'listMinor: 1000000000001',
    ['26:37 products[0].listMinor: must be at most 1000000000000, got 1000000000001'],
  ],
  ['negative stock', 'stock: 500', 'stock: -1', ['27:47 products[0].stock: must be at least 0, got -1']],
  [
    'sell-by without offset',
    'stock: 500',
    'stock: 500, sellBy: 2026-12-24T18:00',
    [
      '27:60 products[0].sellBy: must be an instant with its offset such as 2026-12-24T18:00+01:00, got text "2026-12-24T18:00"',
    ],
  ],
  [
    'sell-by on no day',
    'stock: 500',
    'stock: 500, sellBy: 2026-02-30T18:00Z',
    ['27:60 products[0].sellBy: "2026-02-30T18:00Z" is no day of the calendar'],
  ],
  [
    'sell-by without stock',
    'stock: 500',
    'stock: null, sellBy: 2026-02-20T18:00Z',
    ['27:61 products[0].sellBy: there is no stock to sell by then: give the stock, or leave sellBy out'],
  ],
  [
    'a memory longer than ten years',
    'stock: 500',
    'stock: 500, memory: 600w',
    ['27:60 products[0].memory: "600w" is longer than ten years'],
  ],
  [
    'a memory that is no duration',
    'stock: 500',
    'stock: 500, memory: forever',
    ['27:60 products[0].memory: must be a duration such as 90s, 15m, 24h, 7d or 8w, got text "forever"'],
  ],
  [
    'salvage without sell-by',
    'stock: 500',
    'stock: 500, salvageMinor: 5',
    ['27:66 products[0].salvageMinor: has no meaning without sellBy'],
  ],
  [
    'margin above the ceiling',
    'stock: 500',
    'stock: 500, marginBasisPointsMin: 9000',
    ['27:74 products[0].marginBasisPointsMin: cost and margin make 15200, above the highest price 13900'],
  ],
  [
    'ending not below the step',
    'stock: 500',
    'stock: 500, endingsMinor: [90, 100]',
    ['27:71 products[0].endingsMinor[1]: ending 100 is not below the step 100'],
  ],
  [
    'ending out of reach',
    'stepMinor: 100',
    'stepMinor: 10000, endingsMinor: [5000]',
    ['27:56 products[0].endingsMinor: no price from floor 9900 to 13900 ends like that'],
  ],
  [
    'promotion that is half of one',
    'stock: 500',
    'stock: 500, promotions: [{ key: x, buy: 2 }]',
    [
      '27:65 products[0].promotions[0]: must have exactly one of percentageBasisPoints, amountMinor, buy with free, bundleSku with bundleMinor',
    ],
  ],
  [
    'bundle with nothing known',
    'stock: 500',
    'stock: 500, promotions: [{ key: x, bundleSku: espresso-2kg, bundleMinor: 5 }]',
    ['27:86 products[0].promotions[0].bundleSku: "espresso-2kg" is not a declared product; nearest is "espresso-1kg"'],
  ],
  [
    'sku twice',
    'actions:',
    '  - { sku: espresso-1kg, listMinor: 1, floorMinor: 1, ceilingMinor: 1, costMinor: 1, stepMinor: 1 }\nactions:',
    ['28:12 products[1].sku: "espresso-1kg" is there already, as number 1 of the list'],
  ],
  [
    'action of unknown channel',
    'channels: [app, push]',
    'channels: [app, pussh]',
    ['30:21 actions[0].channels[1]: "pussh" is not a declared channel; nearest is "push"'],
  ],
  [
    'action of unknown slot',
    'slots: [home]',
    'slots: [hme]',
    ['31:13 actions[0].slots[0]: "hme" is not a declared slot; nearest is "home"'],
  ],
  [
    'channel twice',
    'channels: [app, push]',
    'channels: [app, push, app]',
    ['30:27 actions[0].channels[2]: "app" is there already, as number 1 of the list'],
  ],
  [
    'action without channel',
    'channels: [app, push]',
    'channels: []',
    ['30:15 actions[0].channels: must have at least 1 entries, has 0'],
  ],
  [
    'slot out of reach',
    'channels: [app, push]',
    'channels: [push]',
    ['31:13 actions[0].slots[0]: slot "home" takes app, but the action goes to push: it can never be shown there'],
  ],
  [
    'action twice',
    'key: brand-story',
    'key: free-shipping',
    [
      '10:13 decision.fallback: "brand-story" is not a declared action',
      '40:12 actions[1].key: "free-shipping" is there already, as number 1 of the list',
    ],
  ],
  [
    'action key too long',
    'key: brand-story',
    'key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk',
    [
      '10:13 decision.fallback: "brand-story" is not a declared action',
      '40:12 actions[1].key: must be 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit, got text "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…"',
    ],
  ],
  ['creative not text', '[plain, festive]', '[plain, 7]', ['39:24 actions[0].creatives[1]: must be text, got 7']],
  [
    'creative twice',
    '[plain, festive]',
    '[plain, plain]',
    ['39:24 actions[0].creatives[1]: "plain" is there already, as number 1 of the list'],
  ],
  ['negative lever', 'lever: 1.0', 'lever: -1', ['34:12 actions[0].lever: must be at least 0, got -1']],
  ['infinite lever', 'lever: 1.0', 'lever: .inf', ['34:12 actions[0].lever: must be a number, got Infinity']],
  [
    'budget as text',
    'budgetMinor: 5000000',
    'budgetMinor: much',
    ['38:18 actions[0].budgetMinor: must be a number, got text "much"'],
  ],
  [
    'no actions',
    EXAMPLE.slice(EXAMPLE.indexOf('actions:')),
    'actions: []\n',
    [
      '10:13 decision.fallback: "brand-story" is not a declared action',
      '28:10 actions: must have at least 1 entries, has 0',
    ],
  ],
  [
    'rule with unknown trait',
    'profile.loyalty',
    'profile.loyality',
    ['35:27 actions[0].eligibility: "loyality" is not a declared trait; nearest is "loyalty"'],
  ],
  [
    'rule with unknown enum value',
    '"none"',
    '"nune"',
    ['35:38 actions[0].eligibility: "nune" is not a value of "loyalty" (none, silver, gold); nearest is "none"'],
  ],
  [
    'rule with unknown function',
    'count("purchase"',
    'cuont("purchase"',
    [
      '35:48 actions[0].eligibility: "cuont" is not a function; there are count, sum, lastSeen, countWhere, distinct, streak, tag, tagWeight, stage, feed, hasFeed, consent, unusual, has, size; nearest is "count"',
    ],
  ],
  [
    'rule with bad window',
    '"30d"',
    '"30 days"',
    ['35:66 actions[0].eligibility: "30 days" is not a duration such as 90s, 15m, 24h, 7d or 8w (at most ten years)'],
  ],
  ['rule that is no CEL', `> 0'`, `> '`, ['35:74 actions[0].eligibility: is not CEL: Unexpected token: EOF']],
  [
    'rule that is a number',
    `eligibility: 'profile.loyalty != "none" && count("purchase", "30d") > 0'`,
    `eligibility: 'count("purchase", "30d")'`,
    ['35:19 actions[0].eligibility: a rule must be true or false, got integer'],
  ],
  [
    'rule that compares age with text',
    'profile.loyalty != "none"',
    'profile.age == "x"',
    ['35:19 actions[0].eligibility: "==" cannot compare integer "age" with text'],
  ],
  [
    'misspelt fact',
    'additionalTraits: refuse ',
    'facts: [segment, churnProbabilty]\n  additionalTraits: refuse ',
    [
      '12:20 profile.facts[1]: must be segment, recencyScore, frequencyScore, monetaryScore, churnProbability, expectedPurchases, lifetimeValueMinor, nextPurchaseAtEpochMillis; got text "churnProbabilty"; nearest is "churnProbability"',
    ],
  ],
  [
    'fact twice, and one of the name of a trait',
    '  traits:\n    age:     { type: integer, min: 0, max: 130 }',
    '  facts: [segment, segment]\n  traits:\n    segment: { type: string }',
    [
      '13:11 profile.facts[0]: "segment" is declared as a trait already; rename that trait',
      '13:20 profile.facts[1]: "segment" is declared as a trait already; rename that trait',
      '13:20 profile.facts[1]: "segment" is there already, as number 1 of the list',
    ],
  ],
  [
    'rule over a fact that is not declared',
    'profile.loyalty != "none"',
    'profile.segment != "s1"',
    ['35:27 actions[0].eligibility: "segment" is a fact that is not declared; add it to profile.facts'],
  ],
  [
    'rule over a protected trait',
    'profile.loyalty != "none"',
    'profile.income > 5',
    ['35:27 actions[0].eligibility: "income" is a protected trait, which no rule may read'],
  ],
  [
    'rule over a sensitive trait',
    'profile.loyalty != "none"',
    'has(profile.phone)',
    ['35:31 actions[0].eligibility: "phone" is a sensitive trait, which no rule may read'],
  ],
  [
    'rule with matches',
    'profile.loyalty != "none"',
    'profile.city.matches("(a+)+$")',
    [
      '35:32 actions[0].eligibility: "matches" is refused: a pattern can take exponential time; use startsWith, endsWith or contains',
    ],
  ],
  [
    'empty rule',
    `eligibility: 'profile.loyalty != "none" && count("purchase", "30d") > 0'`,
    `eligibility: ''`,
    ['35:18 actions[0].eligibility: must not be empty'],
  ],
  [
    'keys of a trait there is not, and of one that is no name',
    'actions:',
    'identity: { types: { mail: { trait: emial }, level: { trait: loyalty } } }\nactions:',
    [
      '28:37 identity.types.mail.trait: "emial" is not a declared trait',
      '28:62 identity.types.level.trait: "loyalty" is of the type enum: keys are strings or integers',
    ],
  ],
  [
    'duplicate YAML key',
    'costMinor: 150',
    'costMinor: 150\n    costMinor: 160',
    ['34:5: is not valid YAML: Map keys must be unique'],
  ],
  [
    'unclosed bracket',
    '[plain, festive]',
    '[plain, festive',
    ['40:3: is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'a tag',
    'valueMinor: 800',
    'valueMinor: !!js/function 800',
    ['32:17: is not valid YAML: Unresolved tag: tag:yaml.org,2002:js/function'],
  ],
  [
    'a known tag',
    'valueMinor: 800',
    'valueMinor: !!str 800',
    ['32:23 actions[0].valueMinor: must not carry the tag "tag:yaml.org,2002:str"'],
  ],
  [
    'an unknown alias',
    'valueMinor: 800',
    'valueMinor: *nope',
    ['32:17 actions[0].valueMinor: refers to an unknown anchor "nope"'],
  ],
  [
    'two documents',
    'actions:',
    '---\nactions:',
    ['28:1: is not valid YAML: Source contains multiple documents; please use YAML.parseAllDocuments()'],
  ],
  [
    'tab as indent',
    '    costMinor: 150',
    '\tcostMinor: 150',
    ['33:1: is not valid YAML: Tabs are not allowed as indentation'],
  ],
  [
    'a merge key',
    '    costMinor: 150',
    '    <<: { costMinor: 150 }',
    [
      '33:5 actions[0].<<: "<<" is not a known key (known: key, category, channels, slots, valueMinor, costMinor, lever, eligibility, contextWeights, caps, fatigue, budgetMinor, creatives)',
    ],
  ],
  [
    'two wishes at once',
    'slots: [home]\n    valueMinor: 800',
    'slots: [hme]\n    valueMinor: x',
    [
      '31:13 actions[0].slots[0]: "hme" is not a declared slot; nearest is "home"',
      '32:17 actions[0].valueMinor: must be a number, got text "x"',
    ],
  ],
];

/** Two keys with the murmur3 hash 3965001653, found by search. */
const COLLISION = ['offer-13384', 'offer-132808'] as const;

describe('a broken catalog', () => {
  it.each(SLIPS)('loadCatalogText: says where and why when there is %s', (_, from, to, expected) => {
    expect(EXAMPLE).toContain(from);
    expect(problemsOf(EXAMPLE.replace(from, () => to))).toEqual(expected);
  });

  it('loadCatalogText: gives facts beside the message when a name is misspelt', () => {
    const error = errorOf(EXAMPLE.replace('slots: [home]', 'slots: [hme]'));
    expect(error.code).toBe('CATALOG_INVALID');
    expect(error.message).toBe('c.yaml:31:13 actions[0].slots[0]: "hme" is not a declared slot; nearest is "home"');
    expect(error.problems).toEqual([
      {
        file: 'c.yaml',
        line: 31,
        column: 13,
        path: 'actions[0].slots[0]',
        reason: '"hme" is not a declared slot',
        nearest: 'home',
      },
    ]);
  });

  it('loadCatalogText: keeps the first 200 problems and counts the rest when there are 2,000', () => {
    const actions = Array.from(
      { length: 2_000 },
      (_, index) => `  - { key: a${index}, channels: [app], valueMinor: x }\n`,
    );
    const error = errorOf(EXAMPLE + actions.join(''));
    expect(error.problems).toHaveLength(201);
    expect(error.problems.at(-1)?.reason).toBe('and 1800 more problems');
  });

  it('loadCatalogText: accepts 2,500 actions and refuses one more', () => {
    const actions = (count: number): string =>
      Array.from({ length: count }, (_, index) => `  - { key: a${index}, channels: [app], valueMinor: 1 }\n`).join('');
    // The example has two of its own.
    expect(loadCatalogText(EXAMPLE + actions(2_498), 'c.yaml').file.actions).toHaveLength(2_500);
    expect(problemsOf(EXAMPLE + actions(2_499))).toEqual(['29:3 actions: must have at most 2500 entries, has 2501']);
  });

  it('loadCatalogText: refuses two names of one kind when their 32-bit hashes are equal', () => {
    const [one, other] = COLLISION;
    const text = `${EXAMPLE}  - { key: ${one}, channels: [app], valueMinor: 1 }\n  - { key: ${other}, channels: [app], valueMinor: 1 }\n`;
    expect(problemsOf(text)).toEqual([
      `42:12 actions[3].key: action "${other}" has the same 32-bit hash as "${one}"; rename one of them`,
    ]);
  });
});

describe('YAML that is no catalog', () => {
  it.each([
    ['empty', '', ['1:1: is empty']],
    ['a comment only', '# nothing\n', ['1:1: is empty']],
    ['null', '~', ['1:1: is empty']],
    ['a list', '- 1', ['1:1: must be a map, got a list']],
    ['a word', 'hello', ['1:1: must be a map, got text "hello"']],
    [
      'nested 25 deep',
      `a: ${'['.repeat(25)}${']'.repeat(25)}`,
      [`1:28 a${'[0]'.repeat(24)}: is nested deeper than 24 levels`],
    ],
    ['an alias of itself', 'a: &a [*a]', [`1:8 a${'[0]'.repeat(24)}: is nested deeper than 24 levels`]],
    ['a number as key', '1: a', ['1:1: has a key that is not text; put it in quotes']],
    ['a list as key', '? [a]\n: b', ['1:3: has a key that is not text; put it in quotes']],
  ])('loadCatalogText: says so when the text is %s', (_, text, expected) => {
    expect(problemsOf(text)).toEqual(expected);
  });

  it('loadCatalogText: says so when the text is nested 20,000 deep', () => {
    // How deep the stack goes differs between engines, so the column is left out.
    expect(problemsOf(`a: ${'['.repeat(20_000)}`).map((line) => line.replace(/:\d+:/, ':'))).toEqual([
      '1: is nested too deeply to be read',
    ]);
  });

  it('loadCatalogText: stops at the bound when aliases multiply to 9^9 values', () => {
    const names = [...'abcdefghij'];
    const lines = names.map((name, index) => {
      const items = Array.from({ length: 9 }, () => (index === 0 ? 'x' : `*${names[index - 1]}`));
      return `${name}: &${name} [${items.join(', ')}]`;
    });
    expect(problemsOf(lines.join('\n')).join()).toContain('has aliases for more than 20000 values');
  });

  it('loadCatalogText: accepts aliases when they only share what is written once', () => {
    const shared = EXAMPLE.replace('creatives: [', 'creatives: &texts [').replace(
      'valueMinor: 1 }',
      'valueMinor: 1, creatives: *texts }',
    );
    expect(loadCatalogText(shared, 'c.yaml').file.actions[1]?.creatives).toEqual(['plain', 'festive']);
  });

  it('loadCatalogText: finds the same place when lines end in CRLF or a byte order mark leads', () => {
    const broken = EXAMPLE.replace('slots: [home]', 'slots: [hme]');
    const expected = ['31:13 actions[0].slots[0]: "hme" is not a declared slot; nearest is "home"'];
    expect(problemsOf(broken.replaceAll('\n', '\r\n'))).toEqual(expected);
    expect(problemsOf(`\uFEFF${broken}`)).toEqual(expected);
  });

  it('loadCatalogText: refuses a text when it is one byte larger than a catalog may be', () => {
    const comment = '#'.repeat(8 * 1024 * 1024 - EXAMPLE.length);
    expect(loadCatalogText(EXAMPLE + comment, 'c.yaml').file.name).toBe('sample-retail');
    expect(problemsOf(`${EXAMPLE}${comment}#`)).toEqual([
      '1:1: has 8388609 bytes, more than the 8388608 a catalog may have',
    ]);
  });
});

/** Where a rule is written decides how an offset in it becomes a line and a column. */
describe('a problem inside a rule', () => {
  const RULE = `'profile.loyalty != "none" && count("purchase", "30d") > 0'`;

  it.each([
    ['single quotes with a doubled quote', `'''a'' == "a" && profile.agee > 3'`, ['agee > 3']],
    ['double quotes with escapes', String.raw`"profile.city == \"x\\t\u0041\" && profile.agee > 3"`, ['agee > 3']],
    ['double quotes over two lines', '"profile.city == \\"x\\"\n      && profile.agee > 3"', ['agee > 3']],
    ['plain text over two lines', 'profile.agee > 3 &&\n      profile.cityy == "x"', ['agee > 3 &&', 'cityy == "x"']],
    ['a literal block', '|\n      profile.loyalty != "none" &&\n      profile.agee > 3', ['agee > 3']],
    [
      'a folded block',
      '>- # why\n      profile.loyalty != "none"\n\n      && profile.agee > 3\n      && now.houre < 3',
      ['agee > 3', 'houre < 3'],
    ],
  ])('loadCatalogText: points at the very name when the rule stands in %s', (_, rule, expected) => {
    const text = EXAMPLE.replace(RULE, () => rule);
    const lines = text.split('\n');
    const found = errorOf(text).problems.map((problem) => (lines[problem.line - 1] ?? '').slice(problem.column - 1));
    expect(found.map((rest, index) => rest.slice(0, expected[index]?.length))).toEqual(expected);
  });
});

function errorOf(text: string): CatalogError {
  try {
    loadCatalogText(text, 'c.yaml');
  } catch (error) {
    if (error instanceof CatalogError) return error;
    throw error;
  }
  throw new Error('the catalog was accepted');
}

function problemsOf(text: string): string[] {
  return errorOf(text)
    .message.split('\n')
    .map((line) => line.slice('c.yaml:'.length));
}
