import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSqliteEventStore, type SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';

export type OpenedSqlite = Readonly<{
  store: SqliteEventStore;
  scavenge(): Promise<void>;
  dispose(): Promise<void>;
}>;

/** Opens a store with the system clock, except for what is given of `clock`. */
export const open = (path: string, clock: Partial<Clock> = {}): Promise<SqliteEventStore> =>
  openSqliteEventStore({
    path,
    clock: { ...createSystemClock(), ...clock },
    random: createSystemRandom(),
    logger: silentLogger,
  });

export async function openInMemory(): Promise<OpenedSqlite> {
  const store = await open(':memory:');
  return { store, scavenge: () => scavenge(store), dispose: () => store.close() };
}

export async function openOnFile(): Promise<OpenedSqlite> {
  const folder = await newFolder();
  const store = await open(join(folder, 'events.db'));
  return {
    store,
    scavenge: () => scavenge(store),
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function scavenge(store: SqliteEventStore): Promise<void> {
  await store.scavenge();
}

export const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'parley-events-'));

const CHILD = fileURLToPath(new URL('./sqlite-event-store.child.ts', import.meta.url));

/** Starts a process that works on a store, see `sqlite-event-store.child.ts`. `fileBlocks`: maximum size of its files, in blocks of 512 bytes. */
export function startChild(task: string, path: string, fileBlocks: number | 'unlimited' = 'unlimited'): ChildProcess {
  const command = `ulimit -f ${fileBlocks}; exec "$0" "$@"`;
  const args = [process.execPath, '--disable-warning=ExperimentalWarning', CHILD, task, path];
  return spawn('sh', ['-c', command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** The whole output of a child. */
export async function outputOf(child: ChildProcess): Promise<string> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  return output;
}
