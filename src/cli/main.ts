#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { createLogger, createOutput } from '../compose/start.ts';
import { runCli } from './run.ts';

const [out, err] = [createOutput(process.stdout), createOutput(process.stderr)];
// What the process creates is for its owner alone.
process.umask(0o077);
process.exitCode = await runCli(process.argv.slice(2), process.env, {
  print: (line) => out.write(`${line}\n`),
  printError: (line) => err.write(`${line}\n`),
  logger: createLogger('error', err),
});
