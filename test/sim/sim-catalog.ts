/**
 * The catalog of the simulation: one of every kind of promise, small enough that each is met often. Rolling caps of
 * an action and of a channel, a cap on impressions, budgets that run out, a stock that sells out, quotes that stand
 * for a minute, leases of a few seconds. The two actions of the slot `lab` have no limits: whoever asks for them
 * twice in one instant sees both probabilities of one draw. The checker has its own copy of the numbers.
 */
import type { Catalog } from '../../decision/catalog.ts';
import type { DeviceRules } from '../../decision/device.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { dealSlots } from '../../workers/shared-ledger.ts';

export const LEASE_MILLIS = 3_000;

export const SIM_CATALOG_TEXT = `version: 1
name: simulation
currency: EUR
timeZone: UTC
decision: { explorationProbability: 0.3, holdoutProbability: 0, rewardWindow: 7d, leaseMillis: ${LEASE_MILLIS} }
profile:
  additionalTraits: refuse
  traits: { timeZone: { type: timeZone }, age: { type: integer } }
  tags:
    looking: { family: behaviour, when: 'count("view", "4s") >= 2', parent: alive, holdFor: 3s }
    still: { family: lifeCycle, when: 'lastSeen("view") > 5' }
    alive: { family: lifeCycle, when: 'count("view", "9s") > 0', weight: 'count("view", "9s")', halfLife: 2s }
    adult: { family: attributes, when: 'profile.age >= 18' }
journeys:
  life:
    stages:
      away: { when: 'count("view", "9s") == 0', from: [here] }
      here: { when: 'tag("alive")' }
  visit:
    stages:
      begun: { when: 'tag("adult")', timer: { after: 5s, to: over } }
      over: {}
      late: { when: 'lastSeen("view") > 7', from: [over] }
channels:
  app: {}
  push: { caps: [{ count: 4, per: 20s, on: decision }] }
  email: {}
slots:
  home: { channels: [app, push] }
  inbox: { channels: [push, email] }
  lab: { channels: [app] }
products:
  - { sku: mug, listMinor: 1000, floorMinor: 700, ceilingMinor: 1200, costMinor: 500, stepMinor: 10, stock: 40,
      quoteTtlMillis: 60000 }
  - { sku: tea, listMinor: 500, floorMinor: 300, ceilingMinor: 700, costMinor: 200, stepMinor: 10,
      quoteTtlMillis: 45000 }
actions:
  - { key: capped, channels: [app], slots: [home], valueMinor: 900, costMinor: 10,
      caps: [{ count: 2, per: 15s, on: decision }] }
  - { key: funded, channels: [push, app], slots: [home, inbox], valueMinor: 700, costMinor: 7, budgetMinor: 700 }
  - { key: mailed, channels: [email], slots: [inbox], valueMinor: 400, costMinor: 3, budgetMinor: 200000,
      caps: [{ count: 3, per: 60s, on: decision }] }
  - { key: shown, channels: [app, push], slots: [home], valueMinor: 300,
      caps: [{ count: 2, per: 30s, on: impression }] }
  - { key: left, channels: [app], slots: [lab], valueMinor: 100 }
  - { key: right, channels: [app], slots: [lab], valueMinor: 101 }
`;

/** Devices that some people use; four of them may, within seconds and not the minutes a catalog must give. */
export const SIM_DEVICES: readonly string[] = ['tablet', 'phone', 'lobby'];
export const SIM_DEVICE: DeviceRules = { property: 'deviceId', personsMax: 4, perMillis: 16_000, except: new Set() };

export const SIM_CATALOG: Catalog = { ...compileCatalog(SIM_CATALOG_TEXT, 'simulation.yaml'), device: SIM_DEVICE };
/** Its budgets and stocks, and their slots in the shared ledger. */
export const SIM_SUBJECTS = dealSlots([], SIM_CATALOG);

/** What the node calls an action and a channel. Throws for one that is not there. */
export function actionHash(key: string): number {
  return hashIn(SIM_CATALOG.actionByKey, key);
}
export function channelHash(key: string): number {
  return hashIn(SIM_CATALOG.channelByKey, key);
}
function hashIn(items: ReadonlyMap<string, { readonly hash: number }>, key: string): number {
  const item = items.get(key);
  if (item === undefined) throw new RangeError(`the catalog of the simulation has no "${key}"`);
  return item.hash;
}
