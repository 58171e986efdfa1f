/**
 * The decision every peer makes, as plain JavaScript: 20 actions scored by a logistic regression over 30 features
 * of person, context and clock; those at their cap left out; ranked by probability times value; one draw decides
 * whether to explore; the person's counters go up. About what `catalogs/bench.yaml` asks of Opportune, which beyond
 * it learns, leases, journals each propensity and checks a rule an action.
 */

/** @typedef {{traits: Record<string, string | number | boolean>, counters: number[], shown: number[], decisions: number, lastEpochMillis: number}} Profile */
/** @typedef {Record<string, string | number | boolean>} Context */
/** @typedef {{action: string, responseProbability: number, value: number, propensity: number, explored: boolean}} Decision */

const ACTIONS = 20;
const FEATURES = 30;
const COUNTERS = 8;
const EXPLORATION = 0.02;
/** High, as the benchmark's catalog has none: the check is made, nobody meets it. */
const CAP = 1_000_000;

const names = Array.from({ length: ACTIONS }, (_, i) => `offer-${String(i + 1).padStart(2, '0')}`);
const values = Array.from({ length: ACTIONS }, (_, i) => 300 + 20 * i);
/** Any weights do; these are the same in every peer and every run. */
const weights = Float64Array.from(
  { length: ACTIONS * FEATURES },
  (_, i) => (hashOf(`weight ${i}`) / 2 ** 32 - 0.5) * 0.6,
);

/** FNV-1a, unsigned 32 bits. @param {string} text */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A person as first met: 16 traits made from the key. @param {string} key @returns {Profile} */
export function newProfile(key) {
  return {
    traits: traitsOf(hashOf(key)),
    counters: Array(COUNTERS).fill(0),
    shown: Array(ACTIONS).fill(0),
    decisions: 0,
    lastEpochMillis: 0,
  };
}

/** The traits that `catalogs/bench.yaml` declares. @param {number} seed */
export function traitsOf(seed) {
  return {
    age: 18 + (seed % 60),
    tenureDays: seed % 3000,
    householdSize: 1 + (seed % 5),
    basketMeanMinor: 1000 + (seed % 9000),
    visitsPerWeek: seed % 7,
    returnRate: (seed % 100) / 100,
    discountShare: (seed % 50) / 50,
    satisfaction: seed % 11,
    isMember: seed % 2 === 0,
    hasApp: seed % 3 === 0,
    isBusiness: seed % 10 === 0,
    city: ['Berlin', 'Hamburg', 'Leipzig', 'Bonn'][seed % 4] ?? 'Berlin',
    device: ['android', 'ios', 'web'][seed % 3] ?? 'web',
    loyalty: ['none', 'silver', 'gold'][seed % 3] ?? 'none',
    lifecycle: ['new', 'active', 'fading', 'lost'][seed % 4] ?? 'new',
    timeZone: 'Europe/Berlin',
  };
}

const features = new Float64Array(FEATURES);

/** @param {string | number | boolean | undefined} value */
function numberOf(value) {
  if (typeof value === 'number') return Math.log1p(Math.abs(value)) / 10;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value === undefined ? 0 : (hashOf(value) % 97) / 97;
}

/**
 * Decides and counts. Changes `profile`, which the caller stores.
 * @param {Profile} profile @param {Context} context @param {number} atEpochMillis @param {() => number} draw uniform in [0, 1)
 * @returns {Decision | null} null when every action is at its cap
 */
export function decide(profile, context, atEpochMillis, draw) {
  let at = 0;
  for (const name in profile.traits) features[at++] = numberOf(profile.traits[name]);
  for (const counter of profile.counters) features[at++] = Math.log1p(counter);
  const hour = (atEpochMillis / 3_600_000) % 24;
  features[at++] = Math.sin((hour / 12) * Math.PI);
  features[at++] = Math.cos((hour / 12) * Math.PI);
  features[at++] = numberOf(context.page);
  features[at++] = numberOf(context.basketItems);
  features[at++] = numberOf(context.basketMinor);
  features[at++] = numberOf(context.isReturning);

  let best = -1;
  let bestScore = 0;
  let allowed = 0;
  const probabilities = new Float64Array(ACTIONS);
  for (let action = 0; action < ACTIONS; action += 1) {
    if (profile.shown[action] >= CAP) continue;
    let sum = -2;
    for (let i = 0; i < FEATURES; i += 1) sum += weights[action * FEATURES + i] * features[i];
    const probability = 1 / (1 + Math.exp(-sum));
    probabilities[action] = probability;
    allowed += 1;
    const score = probability * values[action];
    if (score > bestScore) {
      best = action;
      bestScore = score;
    }
  }
  if (best < 0) return null;
  const explored = draw() < EXPLORATION;
  let chosen = best;
  if (explored) {
    let skip = Math.floor(draw() * allowed);
    for (chosen = 0; profile.shown[chosen] >= CAP || skip-- > 0; ) chosen += 1;
  }
  profile.shown[chosen] += 1;
  profile.counters[chosen % COUNTERS] += 1;
  profile.decisions += 1;
  profile.lastEpochMillis = atEpochMillis;
  return {
    action: names[chosen],
    responseProbability: probabilities[chosen],
    value: values[chosen],
    propensity: (chosen === best ? 1 - EXPLORATION : 0) + EXPLORATION / allowed,
    explored,
  };
}
