import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEventStore as startProcess } from '../../tests/support/cluster.ts';

/** A server that can be stopped. */
export type Service = Readonly<{ url: string; stop: () => Promise<void> }>;

/** The EventStoreDB at `EVENTSTORE_URL`, or else the wire-level one of the tests, started in a process of its own. */
export async function startEventStore(): Promise<Service> {
  const { EVENTSTORE_URL: url } = process.env;
  if (url !== undefined && url !== '') return { url, stop: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const server = await startProcess(folder);
  return {
    url: server.url,
    stop: async () => {
      await server.kill();
      await rm(folder, { recursive: true });
    },
  };
}

/** The URL of a database on the MongoDB at `MONGODB_URL` or `PARLEY_TEST_MONGODB_URL`, `null` when neither is set. */
export function mongoDatabase(name: string): string | null {
  const { MONGODB_URL, PARLEY_TEST_MONGODB_URL } = process.env;
  const given = MONGODB_URL || PARLEY_TEST_MONGODB_URL;
  if (!given) return null;
  const url = new URL(given);
  url.pathname = `/${name}`;
  return String(url);
}
