/** The job that reads the results of the last fit, 80 bytes a person, so that the main thread does not. */
import { type FitResults, readFitResults } from '../fits/fit-results-file.ts';

export interface ReadFactsInput {
  readonly path: string;
}

/** Null where no fit has ended; a sentence where the file is damaged. @throws the file system's error */
export function readFacts({ path }: ReadFactsInput): FitResults | string | null {
  return readFitResults(path);
}
