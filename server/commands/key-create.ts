/** `opportune key create`: makes an API key. The key goes to stdout, once; everything else to stderr. */
import { epochMillis } from '../../workers/clock.ts';
import { createApiKey, takeKeyId } from '../access/api-keys.ts';
import { DEFAULT_TENANT, isTenantName } from '../access/principal.ts';
import { isRole, ROLES, type Role } from '../access/roles.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandOptions, EXIT, textOption } from './command.ts';
import { wholeOption } from './connection.ts';
import { keyFileOf, recordKeyChange } from './key-file.ts';

const DAY_MILLIS = 86_400_000;

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const path = keyFileOf(call);
  const days = wholeOption(options, 'expiresDays', 1, 36_500);
  const now = epochMillis();
  const [roles, tenant, note] = [rolesOf(options), tenantOf(options), noteOf(options)];
  const id = takeKeyId();
  await recordKeyChange(call, 'apiKeyMade', { key: id, tenant, roles: roles.join(' '), days: days ?? null });
  const { key, record } = createApiKey(
    path,
    {
      id,
      roles,
      tenant,
      expiresAtEpochMillis: days === undefined ? null : now + days * DAY_MILLIS,
      note,
    },
    now,
  );
  io.err(
    `key ${record.id} for tenant ${record.tenant}, roles ${record.roles.join(', ')}, ` +
      `${record.expiresAt === null ? 'until it is revoked' : `until ${record.expiresAt}`}, added to ${path}. ` +
      'It is shown this once and kept nowhere:\n',
  );
  io.out(`${key}\n`);
  return EXIT.ok;
}

function rolesOf(options: CommandOptions): readonly Role[] {
  const words = (textOption(options, 'roles') ?? '').split(',').map((word) => word.trim());
  const roles = words.filter(isRole);
  if (roles.length > 0 && roles.length === words.length) return [...new Set(roles)];
  const given = JSON.stringify(textOption(options, 'roles') ?? '');
  throw new OperatorError('USAGE', `--roles must be a list of ${ROLES.join(', ')}, not ${given}`, {
    advice: 'For example --roles app; docs/ACCESS.md says what each may do.',
  });
}

function tenantOf(options: CommandOptions): string {
  const tenant = textOption(options, 'tenant') ?? DEFAULT_TENANT;
  if (isTenantName(tenant)) return tenant;
  throw new OperatorError('USAGE', `--tenant ${JSON.stringify(tenant)} is no tenant name`, {
    advice: 'Use up to 32 lower-case letters, digits and inner hyphens.',
  });
}

function noteOf(options: CommandOptions): string {
  const note = textOption(options, 'note') ?? '';
  if (note.length <= 200) return note;
  throw new OperatorError('USAGE', `--note has ${note.length} characters, at most 200`, { advice: 'Shorten it.' });
}
