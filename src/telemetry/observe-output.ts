import type { Telemetry } from '../ports/telemetry.ts';

/** Counts the lines of standard output and standard error that could not be written. Returns a function that ends it. */
export function observeOutput(telemetry: Telemetry, outputs: readonly Readonly<{ dropped(): number }>[]): () => void {
  const lines = telemetry.counter({
    name: 'parley_output_lines_dropped_total',
    help: 'Lines of standard output and standard error that were dropped because they could not be written.',
  });
  let counted = 0;
  return telemetry.beforeCollect(() => {
    const dropped = outputs.reduce((sum, output) => sum + output.dropped(), 0);
    lines.add(dropped - counted, {});
    counted = dropped;
  });
}
