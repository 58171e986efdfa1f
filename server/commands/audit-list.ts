/**
 * `opportune audit list`: the newest records of the audit log that match, in the order of time, of the node and of
 * the commands beside it. Reads only; `opportune audit verify` says whether they are what was written.
 */
import { chainFolder, readChain } from '../../workers/audit/audit-files.ts';
import {
  AUDIT_CHAINS,
  AUDIT_KINDS,
  type AuditChain,
  type AuditRecord,
  personName,
} from '../../workers/audit/audit-record.ts';
import { epochMillis } from '../../workers/clock.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { personOf } from '../../workers/vault/erase-keys.ts';
import { OperatorError } from '../operator-error.ts';
import { noAudit } from './audit-verify.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, secretOf } from './command-audit.ts';
import { wholeOption } from './connection.ts';
import { readSince } from './log.ts';

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 1_000_000;

type Listed = AuditRecord & { readonly chain: AuditChain };

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const limit = wholeOption(options, 'limit', 1, LIMIT_MAX) ?? LIMIT_DEFAULT;
  const kinds = kindsOf(textOption(options, 'kind'));
  const sinceText = textOption(options, 'since');
  const since = sinceText === undefined ? Number.NEGATIVE_INFINITY : readSince(sinceText, epochMillis());
  const profile = textOption(options, 'profile');
  const person = profile === undefined ? undefined : personText(profile, await secretOf(config));
  const rows: Listed[] = [];
  let records = 0;
  for (const chain of AUDIT_CHAINS) {
    let kept: Listed[] = [];
    const state = readChain(chainFolder(config.data, chain), chain, null, (record) => {
      records++;
      if (record.kind === 'file' && !kinds.has('file')) return;
      if (kinds.size > 0 && !kinds.has(record.kind)) return;
      if (record.atEpochMillis < since || (person !== undefined && record.person !== person)) return;
      kept.push({ ...record, chain });
      // Room for twice as many as are wanted, so that it is cut seldom.
      if (kept.length > 2 * limit) kept = kept.slice(-limit);
    });
    rows.push(...kept.slice(-limit));
    if (state.problem !== null)
      io.err(`the ${chain} chain is read up to its first bad line; see opportune audit verify\n`);
  }
  if (records === 0) throw noAudit(config.data);
  rows.sort((a, b) => a.atEpochMillis - b.atEpochMillis || a.sequence - b.sequence);
  for (const row of rows.slice(-limit)) io.out(options.json === true ? `${JSON.stringify(row)}\n` : `${textOf(row)}\n`);
  return EXIT.ok;
}

function kindsOf(text: string | undefined): ReadonlySet<string> {
  const kinds = new Set((text ?? '').split(',').filter((word) => word !== ''));
  const wrong = [...kinds].find((kind) => !(AUDIT_KINDS as readonly string[]).includes(kind));
  if (wrong === undefined) return kinds;
  throw new OperatorError('USAGE', `--kind ${wrong} is no kind of record`, {
    advice: `Name any of ${AUDIT_KINDS.join(', ')}.`,
  });
}

function personText(profileKey: string, secret: Uint8Array): string {
  const { hashHigh, hashLow } = personOf(profileKey, deriveSecret(secret).hashSeeds);
  return personName(hashHigh, hashLow);
}

function textOf({ chain, sequence, atEpochMillis, kind, actor, person, detail = {} }: Listed): string {
  const facts = Object.entries(detail)
    .filter(([name]) => !name.startsWith('seen'))
    .map(([name, value]) => `${name}=${String(value)}`);
  const about = person === null || person === undefined ? [] : [`person=${person}`];
  return [new Date(atEpochMillis).toISOString(), `${chain}/${sequence}`, kind, actor, ...about, ...facts].join('  ');
}
