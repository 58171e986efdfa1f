/**
 * What a policy of the market answers, and what it is told. It is told what a shop would know: who came, what was
 * looked at, what was answered and bought, each when it happens. What it chose is judged by the truth.
 */
import type { Visit } from './visits.ts';

/** Which offer to show at a visit. */
export interface ActionPolicy {
  readonly name: string;
  /** Index of the offer, 0 to actions - 1. */
  choose(visit: Visit): number;
  /** The person responds to what was shown at that visit, hours or days later. */
  onResponse(visit: Visit, action: number, nowEpochMillis: number): void;
}

/** At what price a product is shown at a visit. */
export interface PricePolicy {
  readonly name: string;
  /** Whole minor units, within the product's floor and ceiling. */
  choose(visit: Visit): number;
  onSale(visit: Visit, priceMinor: number): void;
}

/** Something worth telling a person, which may wait up to a day. */
export interface Message {
  readonly person: number;
  /** Count of this person's messages before this one. */
  readonly index: number;
  readonly nowEpochMillis: number;
}

/** When to send a message. */
export interface TimePolicy {
  readonly name: string;
  /** From `nowEpochMillis` to a day later; full hours, or now. */
  choose(message: Message): number;
  onVisit(visit: Visit): void;
  onResponse(message: Message, nowEpochMillis: number): void;
}

/** A message about a product, with an offer, a price and an instant. */
export interface Plan {
  readonly action: number;
  readonly priceMinor: number;
  readonly atEpochMillis: number;
}
export interface PlanMessage extends Message {
  readonly product: number;
}
export interface PlanPolicy {
  readonly name: string;
  choose(message: PlanMessage): Plan;
  onVisit(visit: Visit): void;
  /** The message arrived and is seen, at the planned instant. */
  onSeen(message: PlanMessage, nowEpochMillis: number): void;
  /** The person responds, and perhaps buys. */
  onResponse(message: PlanMessage, plan: Plan, isPurchase: boolean, nowEpochMillis: number): void;
}
