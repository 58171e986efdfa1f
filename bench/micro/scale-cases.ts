/**
 * Whole turns with ever more candidates: the cost of one should stay what it is, and actions that are not
 * eligible should cost next to nothing. Price and send-time are left out, which do not depend on either.
 */
import { readFileSync } from 'node:fs';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { benchCatalogText } from '../bench-catalog.ts';
import { benchCatalogPath } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';
import { TurnBench } from './turn-cases.ts';

const SILENT = { mark(): void {} };

function decideAmong(name: string, actions: number, segments = 0): MicroCase {
  return {
    name,
    prepare() {
      const text = benchCatalogText(readFileSync(benchCatalogPath(), 'utf8'), actions, segments);
      const bench = new TurnBench(false, compileCatalog(text, 'bench.yaml'), segments === 0 ? null : 's0');
      return () => {
        const request = bench.step();
        request.wantMask = 1;
        bench.expectFine(bench.decideTurn.run(request, bench.now, SILENT));
        return bench.decideTurn.outcome.stateSeq + bench.decideTurn.outcome.candidates;
      };
    },
  };
}

export const SCALE_CASES: readonly MicroCase[] = [
  decideAmong('scale: decide among 10', 10),
  decideAmong('scale: decide among 20', 20),
  decideAmong('scale: decide among 100', 100),
  decideAmong('scale: decide among 1,000', 1_000),
  decideAmong('scale: decide among 2,500', 2_500),
  decideAmong('scale: decide, 20 eligible of 2,500', 2_500, 125),
];
