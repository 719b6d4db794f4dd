import { appendFileSync } from 'node:fs';

/** The file, one JSON line per note, by which the workers tell the reporter; set by the reporter. */
export const SERVICES_FILE = 'PARLEY_TEST_SERVICES';

export type ServiceNote = Readonly<{ name: string; missing: string | null }>;

/**
 * Says that the tests of this file need a service (or another thing that is not everywhere), and whether it is there.
 * The end of the run lists all of them, so that nothing is ever skipped silently:
 *
 *     const url = process.env.EVENTSTORE_URL;
 *     describe.skipIf(!service('EventStoreDB', url ? null : 'EVENTSTORE_URL is not set'))('…', () => …);
 *
 * @param missing why it is not there; `null` when it is
 */
export function service(name: string, missing: string | null = null): boolean {
  const file = process.env[SERVICES_FILE];
  const note: ServiceNote = { name, missing };
  // One short append is atomic, also with several workers.
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(note)}\n`);
  return missing === null;
}
