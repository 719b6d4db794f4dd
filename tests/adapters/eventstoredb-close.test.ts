import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { LATE, within } from '../../src/ports/within.ts';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';

const CHILD = fileURLToPath(new URL('eventstoredb-close.child.ts', import.meta.url));
/** Generous for a busy machine: an exit takes some milliseconds, and what would keep the process does so without end. */
const EXIT_MS = 10_000;
const clock = createSystemClock();

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of opened.splice(0)) await resource.close();
});

/** Runs the child until it has closed its store, and then until it has ended, but no longer than `EXIT_MS`. */
async function run(
  url: string,
  connectMs = 10_000,
): Promise<{ lines: string[]; exit: number | null | 'still running' }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, url, String(connectMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line === 'closed') break;
  }
  const exit = await within(clock, EXIT_MS, exited);
  child.kill('SIGKILL');
  await exited;
  return { lines, exit: exit === LATE ? 'still running' : exit };
}

describe('a process that has closed its store ends by itself', () => {
  it('after appends, reads and a subscription', async () => {
    const server = await startEventStoreDbServer();
    opened.push(server);
    expect(await run(server.url)).toEqual({ lines: ['used', 'closed'], exit: 0 });
    expect(server.log.of('a-1')).toHaveLength(2);
  });

  it('after it has used a cluster with a silent member', async () => {
    const [server, silent] = [await startEventStoreDbServer(), await startEventStoreDbServer()];
    opened.push(server, silent);
    silent.faults.freeze();
    const url = `esdb://127.0.0.1:${silent.port},127.0.0.1:${server.port}?tls=false`;
    expect(await run(url)).toEqual({ lines: ['used', 'closed'], exit: 0 });
  });

  it('after it has not connected to a silent node', async () => {
    const silent = await startEventStoreDbServer();
    opened.push(silent);
    silent.faults.freeze();
    expect(await run(silent.url, 200)).toEqual({
      lines: ['unavailable', 'closed'],
      exit: 0,
    });
  });
});
