/** The job behind `GET /v1/quality`, in a thread of the pool. */
import { type CountProfilesInput, countProfiles, type ProfilesQuality } from '../quality/count-profiles.ts';

/** @throws StoreError: as `countProfiles` */
export function countQuality(input: CountProfilesInput): Promise<ProfilesQuality> {
  return countProfiles(input);
}
