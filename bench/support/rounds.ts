/** One line of the printed table. */
export type Row = Readonly<{
  figure: string;
  measured: string;
  baseline: string;
  ratio: string;
  bar: string;
  verdict: string;
}>;

/** A rate and the baseline it is held against; more is better. Each runs once per round and gives its rate. */
export type Rate = Readonly<{
  name: string;
  unit: string;
  /** What the ratio is to reach at least. */
  bar: number;
  baseline: Readonly<{ name: string; run: () => Promise<number> }>;
  run: () => Promise<number>;
}>;

/**
 * Measures both in turn, so that a machine whose speed drifts slows both; one round before is not counted.
 * The medians of each are shown, the ratio is the median of the rounds' ratios.
 */
export async function compareRates(rate: Rate): Promise<Row> {
  const values: number[] = [];
  const baselines: number[] = [];
  for (let round = 0; round <= Number(process.env.BENCH_ROUNDS ?? 3); round++) {
    const baseline = await rate.baseline.run();
    const value = await rate.run();
    if (round === 0) continue;
    baselines.push(baseline);
    values.push(value);
  }
  const ratio = median(values.map((value, i) => value / (baselines[i] ?? Number.NaN)));
  return {
    figure: rate.name,
    measured: `${round(median(values))} ${rate.unit}`,
    baseline: `${rate.baseline.name}: ${round(median(baselines))} ${rate.unit}`,
    ratio: ratio.toFixed(2),
    bar: String(rate.bar),
    verdict: ratio >= rate.bar ? 'reached' : `missed by ${((1 - ratio / rate.bar) * 100).toFixed(0)} %`,
  };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which a share `q` of the values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** A figure as people read it. */
export function round(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2);
}

/** Rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ figure, measured, baseline, ratio, bar, verdict }) =>
      `| ${[figure, measured, baseline, ratio, bar, verdict].join(' | ')} |`,
  );
  return [
    '| figure | measured | baseline in the same run | ratio | at least | |',
    '|---|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}
