/** The registry: add a file with a list of cases, add the list here. Order is the order of the report. */
import { CHECKPOINT_CASES } from './checkpoint-cases.ts';
import { CODEC_CASES } from './codec-cases.ts';
import { FEED_CASES } from './feed-cases.ts';
import { IDENTITY_CASES } from './identity-cases.ts';
import type { MicroCase } from './micro-case.ts';
import { PRICE_CASES } from './price-cases.ts';
import { RULE_CASES } from './rule-cases.ts';
import { SCALE_CASES } from './scale-cases.ts';
import { SCORE_CASES } from './score-cases.ts';
import { SEND_TIME_CASES } from './send-time-cases.ts';
import { TAG_CASES } from './tag-cases.ts';
import { TURN_CASES } from './turn-cases.ts';

export const MICRO_CASES: readonly MicroCase[] = [
  ...CODEC_CASES,
  ...RULE_CASES,
  ...SCORE_CASES,
  ...PRICE_CASES,
  ...SEND_TIME_CASES,
  ...TURN_CASES,
  ...TAG_CASES,
  ...FEED_CASES,
  ...IDENTITY_CASES,
  ...SCALE_CASES,
  ...CHECKPOINT_CASES,
];
