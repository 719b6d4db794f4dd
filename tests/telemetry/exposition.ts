import type { Telemetry } from '../../src/ports/telemetry.ts';

export type Sample = Readonly<{ name: string; labels: Readonly<Record<string, string>>; value: number }>;
export type Metric = Readonly<{ name: string; help: string; type: string; samples: readonly Sample[] }>;

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};

/** Collects and parses the metrics, by name. */
export async function collected(telemetry: Telemetry): Promise<ReadonlyMap<string, Metric>> {
  const { text } = await telemetry.collect();
  return parseExposition(text);
}

/**
 * Parses the text format 0.0.4 line by line. Throws for a line that is not of the format, for a metric or a series that occurs twice, and for a
 * sample that does not belong to the metric above it.
 */
export function parseExposition(text: string): ReadonlyMap<string, Metric> {
  if (!text.endsWith('\n')) throw new Error('the last line has no line feed');
  const metrics = new Map<string, { name: string; help: string; type: string; samples: Sample[] }>();
  const series = new Set<string>();
  let current: { name: string; help: string; type: string; samples: Sample[] } | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', rest = ''] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line) ?? [];
    if (kind === 'HELP') {
      if (metrics.has(name)) throw new Error(`the metric occurs twice: ${line}`);
      current = { name, help: rest, type: '', samples: [] };
      metrics.set(name, current);
    } else if (kind === 'TYPE' && current?.name === name && SUFFIXES[rest] !== undefined) {
      current.type = rest;
    } else {
      const sample = parseSample(line);
      const identity = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (series.has(identity)) throw new Error(`the series occurs twice: ${line}`);
      const belongs = SUFFIXES[current?.type ?? '']?.some((suffix) => sample.name === `${current?.name}${suffix}`);
      if (belongs !== true) throw new Error(`the sample is not of the metric above it: ${line}`);
      series.add(identity);
      current?.samples.push(sample);
    }
  }
  return metrics;
}

function parseSample(line: string): Sample {
  const [, name, list = '', number] = SAMPLE.exec(line) ?? [];
  const value = number?.toLowerCase() === 'nan' ? Number.NaN : Number(number?.replace('Inf', 'Infinity'));
  if (name === undefined || (Number.isNaN(value) && number?.toLowerCase() !== 'nan'))
    throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < list.length; ) {
    const [, label, text] = LABEL.exec(list) ?? [];
    if (label === undefined || text === undefined) throw new Error(`no labels: ${line}`);
    labels[label] = text.replace(/\\(["\\n])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
  }
  return { name, labels, value };
}

/** The samples of a counter or gauge as `label=value,…` → value. Without labels the key is empty. */
export function valuesOf(metric: Metric | undefined): Record<string, number> {
  return Object.fromEntries((metric?.samples ?? []).map(({ labels, value }) => [keyOf(labels), value]));
}

/** The observations of a histogram by labels: how many, their sum, and the cumulative count of each bucket. */
export function observationsOf(metric: Metric | undefined) {
  const found: Record<string, { count: number; sum: number; buckets: Record<string, number> }> = {};
  for (const { name, labels, value } of metric?.samples ?? []) {
    const { le = '', ...others } = labels;
    const key = keyOf(others);
    const entry = found[key] ?? { count: 0, sum: 0, buckets: {} };
    found[key] = entry;
    if (name.endsWith('_bucket')) entry.buckets[le] = value;
    else entry[name.endsWith('_sum') ? 'sum' : 'count'] = value;
  }
  return found;
}

/** How many observations a histogram has, and their sum, by labels. */
export function summaryOf(metric: Metric | undefined): Record<string, readonly [count: number, sum: number]> {
  return Object.fromEntries(Object.entries(observationsOf(metric)).map(([key, { count, sum }]) => [key, [count, sum]]));
}

const keyOf = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .sort()
    .join(',');
