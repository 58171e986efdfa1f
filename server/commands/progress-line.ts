/**
 * How far long work has come, on stderr: one line that is written over on a terminal, a line every two seconds
 * elsewhere, and nothing at all for work that is done sooner.
 */
import { monotonicMillis } from '../../workers/clock.ts';
import type { CommandIo } from './command.ts';
import { formatBar, formatShare } from './terminal-text.ts';

const BAR_CHARACTERS = 24;
const REDRAW_MILLIS = 100;
const LINE_MILLIS = 2_000;
/** ANSI: erases from the cursor to the end of the line. */
const ERASE = '\u001b[K';

export class ProgressLine {
  readonly #io: CommandIo;
  #saidMillis = monotonicMillis();
  #isDrawn = false;

  constructor(io: CommandIo) {
    this.#io = io;
  }

  /** @param done and `total` in the same unit; a total of 0 counts as done */
  readonly show = (what: string, done: number, total: number): void => {
    const now = monotonicMillis();
    // Colours are shown on terminals only.
    const isTerminal = this.#io.hasColour;
    if (now - this.#saidMillis < (isTerminal ? REDRAW_MILLIS : LINE_MILLIS)) return;
    this.#saidMillis = now;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    if (isTerminal) {
      this.#io.err(`\r${formatBar(share, BAR_CHARACTERS)} ${formatShare(share)} ${what}${ERASE}`);
      this.#isDrawn = true;
    } else this.#io.err(`${what}: ${formatShare(share)}\n`);
  };

  /** Takes the line away again. */
  end(): void {
    if (this.#isDrawn) this.#io.err(`\r${ERASE}`);
    this.#isDrawn = false;
  }
}
