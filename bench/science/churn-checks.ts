/** Churn on people whose leaving is known: IBM's telecom customers. */
import {
  type ChurnFacts,
  chooseChurnColumns,
  churnTable,
  crossValidateChurn,
} from '../../decision/batch/churn-model.ts';
import { atLeast, atMost, type Finding, type ScienceCheck, type ScienceData } from './science-check.ts';

const TELCO = 'telco-churn/telco.csv.gz';
const NUMBERS = new Set(['MonthlyCharges', 'TotalCharges', 'SeniorCitizen']);
const SEED = [2026, 1] as const;
/** Months to days; the set has no purchases, so recency and frequency are not known. */
const MONTH_DAYS = 30.4;

function telco(data: ScienceData): readonly Finding[] {
  const rows = data.rows(TELCO);
  const people = rows.map(({ customerID: _id, tenure, Churn: _label, ...columns }): ChurnFacts => {
    const traits = Object.fromEntries(
      Object.entries(columns).map(([name, text]) => [name, NUMBERS.has(name) ? Number(text) : text]),
    );
    return { recencyDays: null, frequency: null, tenureDays: Number(tenure) * MONTH_DAYS, traits };
  });
  const labels = Uint8Array.from(rows, ({ Churn }) => Number(Churn === 'Yes'));
  const table = churnTable(chooseChurnColumns(people), people);
  const { areaUnderCurve, logLoss } = crossValidateChurn(table, labels, SEED);
  // Hanley and McNeil 1982 for this curve and these classes; seeds 2026/2 and 2026/3 gave .8523 and .8515, .4104 and .4114.
  const note = `5 folds, seed 2026/1, ${rows.length} people; standard error of the AUC about .006`;
  return [
    atLeast('telco churn: AUC, cross-validated', 0.83, areaUnderCurve, note),
    atMost('telco churn: log loss, cross-validated, nats', 0.42, logLoss),
  ];
}

export const CHURN_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'churn: telco',
    source: 'science.md section 5; IBM telco churn, four fifths of it',
    needs: [TELCO],
    isFast: true,
    run: telco,
  },
];
