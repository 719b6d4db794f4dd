/**
 * Metrics as a port. Names, units and labels follow the conventions of Prometheus (https://prometheus.io/docs/practices/naming/). A label has few
 * values, all chosen by this program: never an id, an address or anything that a user typed.
 */
export interface Telemetry {
  /** A number that only grows. Its name ends with `_total`. */
  counter<Label extends string = never>(definition: MetricDefinition<Label>): Counter<Label>;
  /** A number that goes up and down. */
  gauge<Label extends string = never>(definition: MetricDefinition<Label>): Gauge<Label>;
  /** How often values fell into which range. */
  histogram<Label extends string = never>(
    definition: MetricDefinition<Label> & Readonly<{ buckets: readonly number[] }>,
  ): Histogram<Label>;
  /** Called before each collection, to set gauges from state that is kept elsewhere. Returns a function that removes it. */
  beforeCollect(update: () => void | Promise<void>): () => void;
  /** Everything in the text format 0.0.4, and its media type. */
  collect(): Promise<Readonly<{ contentType: string; text: string }>>;
}

export type MetricDefinition<Label extends string> = Readonly<{
  /** `parley_…`, with its unit at the end. */
  name: string;
  help: string;
  labels?: readonly Label[];
}>;

export type Labels<Label extends string> = Readonly<Record<Label, string>>;

export interface Counter<Label extends string = never> {
  add(amount: number, labels: Labels<Label>): void;
}

export interface Gauge<Label extends string = never> {
  set(value: number, labels: Labels<Label>): void;
  /** Forgets what was set for these labels. */
  remove(labels: Labels<Label>): void;
}

export interface Histogram<Label extends string = never> {
  observe(value: number, labels: Labels<Label>): void;
}
