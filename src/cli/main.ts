#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { createOutput } from '../adapters/system/output.ts';
import { runCli } from './run.ts';

const [out, err] = [createOutput(process.stdout), createOutput(process.stderr)];
// What the process creates is for its owner alone.
process.umask(0o077);
const exitCode = await runCli(process.argv.slice(2), process.env, {
  print: (line) => out.write(`${line}\n`),
  printError: (line) => err.write(`${line}\n`),
  // Loaded only where it is needed: it is the whole server.
  async openStores(config) {
    const { createLogger, openInstallation } = await import('../compose/without-server.ts');
    return openInstallation(config, createLogger('error', err));
  },
});
// The client of EventStoreDB keeps a process running for up to 10 s after it was closed. What was printed reaches its reader first.
for (const stream of [process.stdout, process.stderr]) {
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
}
process.exit(exitCode);
