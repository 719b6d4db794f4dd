/** One line of the printed table. */
export type Row = Readonly<{
  figure: string;
  measured: string;
  baseline: string;
  ratio: string;
  bar: string;
  verdict: string;
}>;

/** Operations per second, and the processor time of each in microseconds; `null` where it was not measured. */
export type Sample = Readonly<{ rate: number; cpuMicros: number | null }>;

/** A rate and its baseline; more is better. Each runs once per round. */
export type Rate = Readonly<{
  name: string;
  unit: string;
  /** The least ratio that is accepted. */
  bar: number;
  baseline: Readonly<{ name: string; run: () => Promise<Sample> }>;
  run: () => Promise<Sample>;
}>;

/**
 * Measures both in turn, so that changes in the speed of the machine affect both. A first round is not counted.
 * The row shows the medians of each; the ratio is the median of the ratios of the rounds.
 */
export async function compareRates(rate: Rate): Promise<Row> {
  const samples: Sample[] = [];
  const baselines: Sample[] = [];
  for (let round = 0; round <= Number(process.env.BENCH_ROUNDS ?? 3); round++) {
    const baseline = await rate.baseline.run();
    const sample = await rate.run();
    if (round === 0) continue;
    baselines.push(baseline);
    samples.push(sample);
  }
  const ratio = median(samples.map((sample, i) => sample.rate / (baselines[i]?.rate ?? Number.NaN)));
  return {
    figure: rate.name,
    measured: summary(samples, rate.unit),
    baseline: `${rate.baseline.name}: ${summary(baselines, rate.unit)}`,
    ratio: ratio.toFixed(2),
    bar: String(rate.bar),
    verdict: ratio >= rate.bar ? 'reached' : `missed by ${((1 - ratio / rate.bar) * 100).toFixed(0)} %`,
  };
}

/** The median rate, with the median processor time where it was measured. */
function summary(samples: readonly Sample[], unit: string): string {
  const rate = `${round(median(samples.map((sample) => sample.rate)))} ${unit}`;
  const cpu = samples.flatMap(({ cpuMicros }) => (cpuMicros === null ? [] : [cpuMicros]));
  return cpu.length === 0 ? rate : `${rate}, ${round(median(cpu))} µs of processor time each`;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value at the quantile `q`, from 0 to 1. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** A readable number: whole from 100 on, else with two decimals. */
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
