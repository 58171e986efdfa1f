/** The catalog a shop in this market would write: what is offered, and what may be known of people. No truth in it. */
import { CATEGORIES, DEVICES, TIERS, type World } from './world.ts';

/** YAML of catalog version 1. Browsing is counted because each offer's rule asks for it, and so becomes a feature. */
export function marketCatalogText(world: World): string {
  const offers = world.offers.map(({ key, category, channel, valueMinor }) => {
    const name = CATEGORIES[category] as string; // category < length
    const messages = channel === 0 ? 'push' : 'mail';
    const rule = `count("view_${name}", "60d") >= 0`;
    return `  - { key: ${key}, category: ${name}, channels: [app, ${messages}], valueMinor: ${valueMinor}, eligibility: '${rule}' }`;
  });
  const goods = world.goods.map(
    ({ sku, listMinor, floorMinor, ceilingMinor, costMinor, stepMinor }) =>
      `  - { sku: ${sku}, listMinor: ${listMinor}, floorMinor: ${floorMinor}, ceilingMinor: ${ceilingMinor}, costMinor: ${costMinor}, stepMinor: ${stepMinor}, quoteTtlMillis: 900000 }`,
  );
  return `version: 1
name: market
currency: EUR
timeZone: Europe/Berlin
decision:
  explorationProbability: 0.02
  holdoutProbability: 0
  rewardWindow: 7d
  leaseMillis: 120000
profile:
  additionalTraits: refuse
  traits:
    tier: { type: enum, values: [${TIERS.join(', ')}] }
    interest: { type: enum, values: [${CATEGORIES.join(', ')}] }
    device: { type: enum, values: [${DEVICES.join(', ')}] }
    timeZone: { type: timeZone }
channels:
  app: {}
  push: {}
  mail: {}
slots:
  home: { channels: [app] }
  message: { channels: [push, mail] }
products:
${goods.join('\n')}
actions:
${offers.join('\n')}
`;
}

/** What a person tells of themselves. */
export function traitsOf(world: World, person: number): Record<string, string> {
  return {
    tier: TIERS[world.tier[person] as number] as string, // in range
    interest: CATEGORIES[world.interest[person] as number] as string, // in range
    device: DEVICES[world.device[person] as number] as string, // in range
    timeZone: world.zoneName(person),
  };
}
