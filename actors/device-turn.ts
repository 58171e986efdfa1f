/**
 * How many people use one device: a turn of the device's own record, which lies where the key `abuse.device:NAME` hashes. One
 * standing moment a person: subject the person's mark (`decision/device.ts`), since when they were last noted, amount 1 when
 * they were told. Each change is journalled as any, so recovery and replay count the same.
 *
 *   person's event ─▸ device's record: who used it ─▸ more than allowed ─▸ event `shared_device` of the person
 *
 * Noted again after an eighth of the window only, so that a busy device writes little: somebody who never left may count as
 * gone that much too early. A record that was only ever used as a device is nobody's profile (`isDevice`).
 */
import { DEVICE_PEOPLE_KEPT, type DeviceRules, personMark } from '../decision/device.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import type { Signpost } from './identity.ts';
import { isMoved } from './identity.ts';
import type { ProfileRecord } from './profile-record.ts';
import { STANDING } from './record-layout.ts';
import type { PersonHash } from './sealed-trait.ts';
import { beginStanding, changeStanding, findStanding, STANDING_CHANGES_MAX } from './standing.ts';

/** Share of the window after which who is known is noted, and told, again. */
const NOTED_AGAIN = 1 / 8;

/** People the device was used by since an instant; 0 of a record that is none. */
export function presentOnDevice(record: ProfileRecord, since: number): number {
  let present = 0;
  for (let i = 0; i < record.momentCount; i++)
    if (record.momentKind(i) === STANDING.deviceUser && record.momentAt(i) > since) present++;
  return present;
}

/**
 * Notes that the person uses the device.
 * @returns how many people do, when that is more than allowed and this one is to be told; else 0
 */
export function noteDeviceUse(
  runtime: ActorRuntime,
  rules: DeviceRules,
  device: PersonHash,
  person: Signpost,
  now: number,
): number {
  // Without memory for one more record, or of a key that was joined with a person's: not counted.
  if (runtime.openHashed(device, now) !== null || isMoved(runtime.record)) return 0;
  runtime.expireDue(now);
  const { record, effect } = runtime;
  const mark = personMark(person.hashLow, person.hashHigh, device.hashHigh);
  const own = findStanding(record, STANDING.deviceUser, mark);
  const since = now - rules.perMillis;
  let present = 0;
  let kept = 0;
  let oldest = -1;
  for (let i = 0; i < record.momentCount; i++) {
    if (record.momentKind(i) !== STANDING.deviceUser || i === own) continue;
    kept++;
    if (record.momentAt(i) > since) present++;
    if (oldest < 0 || record.momentAt(i) < record.momentAt(oldest)) oldest = i;
  }
  const people = Math.min(present + 1, DEVICE_PEOPLE_KEPT);
  // A clock that was set back makes everybody due.
  const age = own < 0 ? Number.POSITIVE_INFINITY : Math.abs(now - record.momentAt(own));
  const isDue = age >= rules.perMillis * NOTED_AGAIN;
  const isTold = people > rules.personsMax && (isDue || record.momentAmount(own) === 0);
  if (!isDue && !isTold) return 0;
  beginStanding(effect);
  let changes = 1;
  for (let i = 0; i < record.momentCount && changes < STANDING_CHANGES_MAX; i++) {
    if (record.momentKind(i) !== STANDING.deviceUser || i === own) continue;
    const givesWay = i === oldest && own < 0 && kept >= DEVICE_PEOPLE_KEPT;
    if (record.momentAt(i) > since && !givesWay) continue;
    changeStanding(effect, STANDING.deviceUser, record.momentSubject(i), false, now, 0);
    changes++;
  }
  changeStanding(effect, STANDING.deviceUser, mark, true, now, isTold ? 1 : 0);
  return runtime.commit(now) && isTold ? people : 0;
}
