/**
 * `opportune audit verify`: reads the whole audit log of a data folder, also beside a running node, and says whether
 * every record is the one that was written: exit 0, or 1 with the first bad line of each chain.
 */
import { type ChainState, chainFolder, readChain } from '../../workers/audit/audit-files.ts';
import { AUDIT_CHAINS, type AuditRecord, deriveAuditKey } from '../../workers/audit/audit-record.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder, secretOf } from './command-audit.ts';

interface Verdict extends ChainState {
  readonly problems: readonly string[];
}

export async function run(call: CommandCall): Promise<number> {
  const config = configOfFolder(call);
  const key = deriveAuditKey(
    await secretOf(config).catch((cause: unknown) => {
      throw noAudit(config.data, cause);
    }),
  );
  const heads = new Map<string, string>();
  const seen: { by: AuditRecord; chain: string; sequence: number; hash: string }[] = [];
  const states = AUDIT_CHAINS.map((chain) =>
    readChain(chainFolder(config.data, chain), chain, key, (record) => {
      heads.set(`${chain} ${record.sequence}`, record.hash);
      const { seenChain, seenSequence, seenHash } = record.detail ?? {};
      if (typeof seenChain === 'string' && Number(seenSequence) > 0)
        seen.push({ by: record, chain: seenChain, sequence: Number(seenSequence), hash: String(seenHash) });
    }),
  );
  if (states.every(({ files, problem }) => files.length === 0 && problem === null)) throw noAudit(config.data);
  const verdicts = states.map((state): Verdict => {
    const problems = state.problem === null ? [] : [problemText(state)];
    problems.push(...state.noted);
    // The other chain saw this one longer, or otherwise, than it is.
    const lost = seen.find(
      ({ chain, sequence, hash }) => chain === state.chain && heads.get(`${chain} ${sequence}`) !== hash,
    );
    if (lost !== undefined && state.problem === null)
      problems.push(`record ${lost.sequence} is not the one that record ${lost.by.sequence} of the other chain saw`);
    return { ...state, problems };
  });
  problemsOfAnchor(verdicts, heads, textOption(call.options, 'head'));
  if (call.options.json === true) call.io.out(`${JSON.stringify(verdicts.map(jsonOf))}\n`);
  else for (const verdict of verdicts) call.io.out(textOf(verdict));
  return verdicts.every(({ problems }) => problems.length === 0) ? EXIT.ok : EXIT.failed;
}

/** A head that the operator kept elsewhere must be in one of the chains. */
function problemsOfAnchor(
  verdicts: readonly Verdict[],
  heads: ReadonlyMap<string, string>,
  kept: string | undefined,
): void {
  if (kept === undefined) return;
  if (!/^[0-9a-f]{64}$/.test(kept)) {
    throw new OperatorError('USAGE', '--head must be the 64 hexadecimal digits that a start or a stop printed', {
      advice: 'Look for "head" in the log of the node.',
    });
  }
  if ([...heads.values()].includes(kept)) return;
  const [first] = verdicts;
  (first?.problems as string[] | undefined)?.push(`no record has the hash ${kept}`); // made above, ours to add to
}

function problemText({ problem }: ChainState): string {
  if (problem === null) return '';
  const line = problem.line === 0 ? '' : `, line ${problem.line}`;
  return `audit/${problem.chain}/${problem.file}${line}: ${problem.reason}`;
}

function jsonOf(verdict: Verdict): unknown {
  const { chain, records, files, head, problem, problems, tornBytes, unanchored } = verdict;
  return {
    chain,
    isSound: problems.length === 0,
    records,
    files: files.length,
    head,
    problem,
    problems,
    tornBytes,
    unanchored,
  };
}

function textOf(verdict: Verdict): string {
  const { chain, records, files, head, problems, tornBytes, unanchored } = verdict;
  const lines = [
    `${chain}: ${records} records in ${files.length} files, ${problems.length === 0 ? 'as written' : 'NOT as written'}`,
  ];
  for (const problem of problems) lines.push(`  ${problem}`);
  if (records > 0) lines.push(`  head ${head.sequence} ${head.hash}`);
  if (unanchored > 0 && problems.length === 0) lines.push(`  ${unanchored} of them are newer than the anchor`);
  if (tornBytes > 0) lines.push(`  the last line is not whole (${tornBytes} bytes): being written, or cut by a crash`);
  return `${lines.join('\n')}\n`;
}

export function noAudit(data: string, cause?: unknown): OperatorError {
  return new OperatorError('NO_AUDIT', `there is no audit log in ${data}`, {
    advice: 'Name the data folder of a node that has run, with --data or OPPORTUNE_DATA.',
    ...(cause === undefined ? {} : { cause }),
  });
}
