/** All checks, in the order of the table. A new area is a file of its own, listed here. */
import { OFF_POLICY_CHECKS } from './off-policy-checks.ts';
import type { ScienceCheck } from './science-check.ts';
import { SEND_TIME_CHECKS } from './send-time-checks.ts';

export const SCIENCE_CHECKS: readonly ScienceCheck[] = [...SEND_TIME_CHECKS, ...OFF_POLICY_CHECKS];
