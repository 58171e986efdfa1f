/** One send-time over the next 24 hours, in a zone with summer time, with quiet hours. */

import { TILT_SLOTS } from '../../decision/hour-tilt.ts';
import { GAP_SLOTS } from '../../decision/purchase-due.ts';
import {
  addSendPrior,
  chooseSendTime,
  createSendTimeResult,
  SEND_EXPLORATION_PROBABILITY,
  type SendTimeInput,
  WEEK_SLOTS,
} from '../../decision/send-time.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { NOW_EPOCH_MILLIS } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';

const HOUR_MILLIS = 3_600_000;

export const SEND_TIME_CASES: readonly MicroCase[] = [
  {
    name: 'send-time: 24 hours',
    prepare() {
      const zones = createZoneTable();
      const week = new Float64Array(WEEK_SLOTS);
      addSendPrior(week, 0);
      const input: SendTimeInput = {
        zones,
        zone: zones.zoneIndexByName('Europe/Berlin'),
        nowEpochMillis: NOW_EPOCH_MILLIS,
        horizonMillis: 24 * HOUR_MILLIS,
        earliestEpochMillis: 0,
        quietHours: { startMinute: 22 * 60, endMinute: 8 * 60 },
        ownQuietHours: [],
        week,
        weekOffset: 0,
        zoneTilt: new Float64Array(TILT_SLOTS).fill(3),
        zoneTiltOffset: 0,
        tilt: new Uint16Array(TILT_SLOTS).fill(2),
        tiltOffset: 0,
        waitingLossPerDay: 0.05,
        purchases: 5,
        lastPurchaseAtEpochMillis: NOW_EPOCH_MILLIS - 5 * 24 * HOUR_MILLIS,
        decayedLogGaps: 7,
        gapTotals: new Float64Array(GAP_SLOTS),
        explorationProbability: SEND_EXPLORATION_PROBABILITY,
        seed0: 0,
        seed1: 3,
        subjectHash: 17,
      };
      const result = createSendTimeResult();
      return () => {
        input.seed0 = (input.seed0 + 1) >>> 0;
        chooseSendTime(input, result);
        return result.hourOfWeek;
      };
    },
  },
];
