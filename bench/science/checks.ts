/** All checks, in the order of the table. A new area is a file of its own, listed here. */
import { ACTION_CHECKS } from './action-checks.ts';
import { ATTRIBUTION_CHECKS } from './attribution-checks.ts';
import { CHURN_CHECKS } from './churn-checks.ts';
import { EXPERIMENT_CHECKS } from './experiment-checks.ts';
import { HILLSTROM_CHECKS } from './hillstrom-checks.ts';
import { LEARNING_CHECKS } from './learning-checks.ts';
import { MARKET_CHECKS } from './market-checks.ts';
import { OFF_POLICY_CHECKS } from './off-policy-checks.ts';
import { PRICE_CHECKS } from './price-checks.ts';
import { PURCHASE_CHECKS } from './purchase-checks.ts';
import type { ScienceCheck } from './science-check.ts';
import { SEGMENT_CHECKS } from './segment-checks.ts';
import { SEND_TIME_CHECKS } from './send-time-checks.ts';

export const SCIENCE_CHECKS: readonly ScienceCheck[] = [
  ...ACTION_CHECKS,
  ...HILLSTROM_CHECKS,
  ...OFF_POLICY_CHECKS,
  ...PRICE_CHECKS,
  ...SEND_TIME_CHECKS,
  ...PURCHASE_CHECKS,
  ...SEGMENT_CHECKS,
  ...CHURN_CHECKS,
  ...ATTRIBUTION_CHECKS,
  ...EXPERIMENT_CHECKS,
  ...LEARNING_CHECKS,
  ...MARKET_CHECKS,
];
