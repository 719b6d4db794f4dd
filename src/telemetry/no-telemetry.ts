import type { Telemetry } from '../ports/telemetry.ts';

/** Records nothing and never runs an update; for tests and tools. */
export const noTelemetry: Telemetry = {
  counter: () => ({ add() {} }),
  gauge: () => ({ set() {}, remove() {} }),
  histogram: () => ({ observe() {} }),
  beforeCollect: () => () => {},
  collect: async () => ({ contentType: 'text/plain; version=0.0.4; charset=utf-8', text: '' }),
};
