/** Every target of `npm run fuzz`, in the order they are run. A new one is listed here and nowhere else. */
import type { FuzzTarget } from './fuzz-target.ts';
import { CODEC_TARGETS } from './targets/codec-targets.ts';
import { CONSENT_STRING_TARGET } from './targets/consent-string-target.ts';
import { SESSION_TARGET } from './targets/session-target.ts';
import { SOCKET_TARGETS } from './targets/socket-targets.ts';
import { TEXT_TARGETS } from './targets/text-targets.ts';

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...CODEC_TARGETS,
  SESSION_TARGET,
  ...TEXT_TARGETS,
  CONSENT_STRING_TARGET,
  ...SOCKET_TARGETS,
];
