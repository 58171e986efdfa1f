/**
 * A crash as a text file that fits into a mail: what broke as comments, then one input a line in hex. Read back
 * by `npm run fuzz -- --replay FILE`, and by whoever makes a regression test of it.
 */

export interface CrashFile {
  readonly targetName: string;
  readonly inputs: readonly Uint8Array[];
}

/** The text of the file. @param message what broke; its lines become comments. */
export function writeCrashFile(
  targetName: string,
  seed: number,
  message: string,
  inputs: readonly Uint8Array[],
): string {
  const comments = [`target ${targetName}`, `seed ${seed}`, ...message.split('\n')];
  const lines = inputs.map((input) => Buffer.from(input).toString('hex') || '-');
  return `${comments.map((text) => `# ${text}`).join('\n')}\n${lines.join('\n')}\n`;
}

/** What `writeCrashFile` wrote. Throws RangeError when it names no target or a line is not hex. */
export function readCrashFile(text: string): CrashFile {
  const targetName = /^# target (\S+)$/m.exec(text)?.[1];
  if (targetName === undefined) throw new RangeError('the file has no line "# target NAME"');
  const inputs = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      if (!/^(?:-|(?:[0-9a-f]{2})+)$/.test(line)) throw new RangeError(`a line is not hex: ${line.slice(0, 40)}`);
      return Uint8Array.from(Buffer.from(line === '-' ? '' : line, 'hex'));
    });
  return { targetName, inputs };
}
