#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { createOutput } from '../adapters/system/output.ts';
import { runCli } from './run.ts';

const [out, err] = [createOutput(process.stdout), createOutput(process.stderr)];
// What the process creates is for its owner alone.
process.umask(0o077);
process.exitCode = await runCli(process.argv.slice(2), process.env, {
  print: (line) => out.write(`${line}\n`),
  printError: (line) => err.write(`${line}\n`),
  // Loaded only where it is needed: it is the whole server.
  async openStores(config) {
    const { createLogger, openInstallation } = await import('../compose/without-server.ts');
    return openInstallation(config, createLogger('error', err));
  },
});
