import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSqliteEventStore, type SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { testRegistry } from '../contracts/events.ts';

export type OpenedSqlite = Readonly<{ store: SqliteEventStore; dispose(): Promise<void> }>;
type Clock = Readonly<{ now(): number }>;

export const open = (path: string, clock: Clock = Date): Promise<SqliteEventStore> =>
  openSqliteEventStore({ path, registry: testRegistry, logger: silentLogger, clock });

export async function openInMemory(clock?: Clock): Promise<OpenedSqlite> {
  const store = await open(':memory:', clock);
  return { store, dispose: () => store.close() };
}

export async function openOnFile(): Promise<OpenedSqlite> {
  const folder = await newFolder();
  const store = await open(join(folder, 'events.db'));
  return {
    store,
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

export const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'parley-events-'));

const CHILD = fileURLToPath(new URL('./sqlite-event-store.child.ts', import.meta.url));

/** A process of its own that works on a log; see `sqlite-event-store.child.ts`. `fileBlocks`: no file gets larger (512 bytes each). */
export function startChild(task: string, path: string, fileBlocks: number | 'unlimited' = 'unlimited'): ChildProcess {
  const command = `ulimit -f ${fileBlocks}; exec "$0" "$@"`;
  const args = [process.execPath, '--disable-warning=ExperimentalWarning', CHILD, task, path];
  return spawn('sh', ['-c', command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Everything that a child prints until it ends. */
export async function outputOf(child: ChildProcess): Promise<string> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  return output;
}
