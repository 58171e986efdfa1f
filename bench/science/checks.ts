/** All checks, in the order of the table. A new area is a file of its own, listed here. */
import { ACTION_CHECKS } from './action-checks.ts';
import { HILLSTROM_CHECKS } from './hillstrom-checks.ts';
import type { ScienceCheck } from './science-check.ts';
import { SEND_TIME_CHECKS } from './send-time-checks.ts';

export const SCIENCE_CHECKS: readonly ScienceCheck[] = [...ACTION_CHECKS, ...HILLSTROM_CHECKS, ...SEND_TIME_CHECKS];
