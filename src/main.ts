import { flushCompileCache } from 'node:module';
import {
  createLogger,
  createOutput,
  createSystemClock,
  handleStopSignals,
  InstallationError,
  type Parley,
  startParley,
} from './compose/start.ts';
import { publicUrlOf, readConfig } from './config/config.ts';

/** Time limit for stopping, in ms. After it the process exits with code 1; acknowledged commands are durable. */
const STOP_MS = 10_000;
/** Time for the process to end by itself when everything is closed, in ms. A TLS handshake with a silent host would keep it for as long as it lasts. */
const EXIT_MS = 50;

// First of all, so that no reader of the output ends the process.
const [out, err] = [createOutput(process.stdout), createOutput(process.stderr)];
const print = (line: string): void => out.write(`${line}\n`);
const printError = (line: string): void => err.write(`${line}\n`);
// What the process creates is for its owner alone.
process.umask(0o077);

const result = readConfig(process.env);
if ('errors' in result) {
  for (const { name, message } of result.errors) printError(`${name} ${message}`);
  process.exit(2);
}

const { config, warnings } = result;
const logger = createLogger(config.logLevel, err);
for (const warning of warnings) logger.warn({}, warning);

const clock = createSystemClock();
const stopping = new AbortController();
const signalled = Promise.withResolvers<void>();
handleStopSignals(process, clock, {
  stop(signal) {
    logger.info({ signal }, 'stopping');
    clock.after(STOP_MS, () => {
      logger.error({}, 'stopping took too long');
      process.exit(1);
    });
    stopping.abort();
    signalled.resolve();
  },
  stopNow(signal) {
    logger.warn({ signal }, 'stopping at once, because of a second signal');
    process.exit(1);
  },
});

try {
  const outputs = [out, err];
  const parley = await startParley(config, { logger, print, outputs, signal: stopping.signal });
  print(`Parley is ready at ${publicUrlOf(config, Number(new URL(parley.url).port))}`);
  // Node writes its compile cache at the end, and never when the process is killed.
  flushCompileCache();
  await signalled.promise;
  await stop(parley);
} catch (error) {
  if (!stopping.signal.aborted) {
    logger.error({ err: error }, 'Parley could not start');
    printError(`Parley could not start: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = error instanceof InstallationError ? 2 : 1;
  }
}

clock.after(EXIT_MS, () => process.exit());

async function stop(parley: Parley): Promise<void> {
  try {
    await parley.close();
    logger.info({}, 'stopped');
  } catch (error) {
    logger.error({ err: error }, 'stopping failed');
    process.exitCode = 1;
  }
}
