/** `opportune doctor`: checks this machine; exit 1 when something would stop the server. */
import { examine, type Verdict } from '../doctor-checks.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOf } from './node-options.ts';
import { createPaint, formatCount, formatTable, type Paint } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const findings = await examine(configOf(call));
  const failures = findings.filter(({ verdict }) => verdict === 'fail').length;
  const warnings = findings.filter(({ verdict }) => verdict === 'warn').length;
  if (call.options.json === true) {
    call.io.out(`${JSON.stringify({ ok: failures === 0, checks: findings }, null, 2)}\n`);
    return failures === 0 ? EXIT.ok : EXIT.failed;
  }
  const paint = createPaint(call.io.hasColour);
  const nameWidth = Math.max(...findings.map(({ name }) => name.length));
  const lines = formatTable(
    findings.map(({ verdict, name, found }) => [mark(verdict, paint), name.padEnd(nameWidth), found]),
  ).flatMap((line, index) => {
    const advice = findings[index]?.advice;
    return advice === undefined ? [line] : [line, `${' '.repeat(nameWidth + 8)}${paint.dim(`→ ${advice}`)}`];
  });
  const verdict =
    failures > 0
      ? `${formatCount(failures, 'failure')}: the server will not run well here`
      : `ready to run${warnings > 0 ? `, ${formatCount(warnings, 'warning')}` : ''}: npm start`;
  call.io.out(`${lines.join('\n')}\n\n${verdict}\n`);
  return failures === 0 ? EXIT.ok : EXIT.failed;
}

function mark(verdict: Verdict, paint: Paint): string {
  if (verdict === 'ok') return paint.good('ok  ');
  return verdict === 'warn' ? paint.warn('warn') : paint.bad('FAIL');
}
