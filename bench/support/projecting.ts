import type { EventLog } from '../../src/log/event-log.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { system } from '../../tests/support/stores.ts';

const NAMES = catalogue.map(({ name }) => name);
const TIMEOUT_MS = 600_000;

/** Runs all projections over a document store until they have reached the end of the log. `measured` gets that work, and decides when it starts. */
export async function project<Result>(
  log: EventLog,
  documents: DocumentStore,
  measured: (work: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const head = await log.head();
  const projections = createProjections({
    ...system,
    log,
    documents,
    projections: catalogue,
    node: 'bench',
    run: true,
  });
  try {
    return await measured(async () => {
      projections.start();
      if (head === null || !(await projections.readModels.waitFor(NAMES, head, TIMEOUT_MS)))
        throw new Error('the projections did not reach the end of the log');
    });
  } finally {
    await projections.close();
  }
}
