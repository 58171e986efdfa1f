/**
 * What `npm audit` says of the packages that are shipped, held against the answers in `audit-answers.json`: a
 * finding without an answer is a failure, and so is an answer whose finding is gone. An answer is a sentence that
 * says why the weakness does not reach us, by the advisory's address. No registry, no audit: that is said, not
 * taken for a clean one.
 */

export type AuditVerdict =
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'judged'; readonly findings: number; readonly problems: readonly string[] };

interface Advisory {
  readonly url?: string;
  readonly title?: string;
  readonly severity?: string;
}

/** @param output what `npm audit --json` printed; @param answers advisory's address → why it does not reach us. */
export function judgeAudit(output: string, answers: Readonly<Record<string, string>>): AuditVerdict {
  let report: { vulnerabilities?: Record<string, { via?: readonly (string | Advisory)[] }>; message?: unknown };
  try {
    report = JSON.parse(output) as typeof report; // looked at member by member below
  } catch {
    return { kind: 'unreachable', reason: 'npm audit gave no report' };
  }
  if (typeof report.vulnerabilities !== 'object') {
    return { kind: 'unreachable', reason: String(report.message ?? 'npm audit gave no report') };
  }
  const found = new Map<string, string>();
  for (const [name, { via = [] }] of Object.entries(report.vulnerabilities)) {
    for (const cause of via) {
      if (typeof cause === 'string') continue; // through another package, which has its own entry
      found.set(cause.url ?? `${name}: ${cause.title}`, `${name}: ${cause.severity} ${cause.title}`);
    }
  }
  const problems: string[] = [];
  for (const [address, text] of found) {
    if ((answers[address] ?? '').trim() === '') problems.push(`${text} (${address}) has no answer`);
  }
  for (const address of Object.keys(answers)) {
    if (!found.has(address)) problems.push(`the answer to ${address} answers no finding any more`);
  }
  return { kind: 'judged', findings: found.size, problems };
}
