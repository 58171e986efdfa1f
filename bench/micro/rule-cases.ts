/** Eligibility: the 20 compiled rules of the bench catalog, all true, for one filled profile. */
import { benchCatalog, FilledProfile } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';

export const RULE_CASES: readonly MicroCase[] = [
  {
    name: 'eligibility: 20 rules',
    prepare() {
      const catalog = benchCatalog();
      const scope = new FilledProfile(catalog);
      const rules = catalog.actions.flatMap((action) => (action.eligibility === null ? [] : [action.eligibility]));
      return () => {
        let eligible = 0;
        for (const rule of rules) if (rule.evaluate(scope)) eligible += 1;
        return eligible;
      };
    },
  },
];
