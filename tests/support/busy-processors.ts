import { type ChildProcess, spawn } from 'node:child_process';

/** The processes end by themselves after this time, in ms, even when the tests were killed. */
const LONGEST_MS = 180_000;
const LOOP = `for (const end = Date.now() + ${LONGEST_MS}; Date.now() < end; );`;

/** Starts processes that do nothing but compute, until they are closed. */
export function startBusyProcessors(count: number): Readonly<{ close(): Promise<void> }> {
  const children = Array.from({ length: count }, () => spawn(process.execPath, ['-e', LOOP], { stdio: 'ignore' }));
  return {
    async close() {
      await Promise.all(children.map(end));
    },
  };
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
