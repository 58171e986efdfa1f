/**
 * The log's usable rows, pass by pass. The first pass is in the file's order unless shuffling is asked
 * for; every later one is in an order of its own, drawn from the seed. One pass in file order streams and
 * keeps nothing; more passes keep the rows in memory, read from the file once.
 */
import { drawUniform, PURPOSE } from '../../decision/random.ts';
import { OperatorError } from '../operator-error.ts';
import { readCsv } from './csv-rows.ts';
import { type LoggedRow, RowReader } from './logged-row.ts';
import type { ReplayMapping } from './replay-mapping.ts';

/** About 1 KB a row: 2 GB. */
const ROWS_IN_MEMORY_MAX = 2_000_000;

export interface RowSourceOptions {
  readonly path: string;
  readonly mapping: ReplayMapping;
  readonly passes: number;
  readonly seed: number;
  /** Whether the first pass is shuffled as well. */
  readonly isShuffled: boolean;
  /** Rows of the log that are used, from its beginning. */
  readonly rowsMax: number;
}

export class RowSource {
  readonly #options: RowSourceOptions;
  readonly #kept: LoggedRow[] = [];
  /** Rows of the file left out, and the reason of the first. */
  skippedRows = 0;
  skippedReason: string | null = null;

  constructor(options: RowSourceOptions) {
    this.#options = options;
  }

  /** The rows of one pass, from 1, in its order; passes are asked for one after the other. */
  async *pass(number: number): AsyncGenerator<LoggedRow> {
    const { passes, isShuffled, seed } = this.#options;
    if (number === 1 && !isShuffled) {
      for await (const row of this.#readFile()) {
        if (passes > 1) this.#keep(row);
        yield row;
      }
      return;
    }
    if (this.#kept.length === 0) for await (const row of this.#readFile()) this.#keep(row);
    yield* shuffled(this.#kept, seed, number);
  }

  #keep(row: LoggedRow): void {
    if (this.#kept.length >= ROWS_IN_MEMORY_MAX) {
      throw new OperatorError('LOG_TOO_LONG', `the log has more than ${ROWS_IN_MEMORY_MAX} rows to be put in order`, {
        advice: 'Use --limit, or one pass without --shuffle, which needs no memory.',
      });
    }
    this.#kept.push(row);
  }

  async *#readFile(): AsyncGenerator<LoggedRow> {
    const { path, mapping, rowsMax } = this.#options;
    let reader: RowReader | undefined;
    let index = 0;
    for await (const { header, row } of readCsv(path, mapping.delimiter)) {
      if (index >= rowsMax) return;
      reader ??= new RowReader(mapping, header);
      const logged = reader.read(row, index);
      index += 1;
      if (typeof logged !== 'string') yield logged;
      else {
        this.skippedRows += 1;
        this.skippedReason ??= `line ${row.line}: ${logged}`;
      }
    }
  }
}

/** Fisher and Yates with draws that depend on seed and pass only. */
function shuffled(rows: readonly LoggedRow[], seed: number, pass: number): LoggedRow[] {
  const order = [...rows];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(drawUniform(seed, pass, last, PURPOSE.permutation) * (last + 1));
    const row = order[last] as LoggedRow; // last < length
    order[last] = order[other] as LoggedRow; // other <= last
    order[other] = row;
  }
  return order;
}
