import { appendFileSync } from 'node:fs';

/** Environment variable with the file to which the workers write for the reporter, one JSON line per note. Set by the reporter. */
export const SERVICES_FILE = 'PARLEY_TEST_SERVICES';

export type ServiceNote = Readonly<{ name: string; missing: string | null }>;

/**
 * Declares that the tests of this file need a service, or anything else that may not be installed, and returns whether it is available.
 * The end of the run lists all of them, so that no test is skipped silently:
 *
 *     const url = process.env.EVENTSTORE_URL;
 *     describe.skipIf(!service('EventStoreDB', url ? null : 'EVENTSTORE_URL is not set'))('…', () => …);
 *
 * @param missing why it is not available; `null` when it is
 */
export function service(name: string, missing: string | null = null): boolean {
  const file = process.env[SERVICES_FILE];
  const note: ServiceNote = { name, missing };
  // One short append is atomic, also with several workers.
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(note)}\n`);
  return missing === null;
}
