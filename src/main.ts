import { createLogger, createSystemClock, type Parley, startParley } from './compose/start.ts';
import { publicUrlOf, readConfig } from './config/config.ts';

/** Time limit for stopping, in ms. After it the process exits with code 1; acknowledged commands are durable. */
const STOP_MS = 10_000;

const result = readConfig(process.env);
if ('errors' in result) {
  for (const { name, message } of result.errors) console.error(`${name} ${message}`);
  process.exit(2);
}

const { config, warnings } = result;
// What reads the output may end first; the server goes on without it.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});
const logger = createLogger(config.logLevel);
for (const warning of warnings) logger.warn({}, warning);

const stopping = new AbortController();
const signalled = new Promise<string>((resolve) => {
  // Not `once`: a second signal would end the process before it has stopped in order.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
});
void signalled.then(() => stopping.abort());

try {
  const parley = await startParley(config, { logger, print: (line) => console.log(line), signal: stopping.signal });
  console.log(`Parley is ready at ${publicUrlOf(config, Number(new URL(parley.url).port))}`);
  await stop(await signalled, parley);
} catch (error) {
  if (!stopping.signal.aborted) {
    logger.error({ err: error }, 'Parley could not start');
    console.error(`Parley could not start: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

async function stop(signal: string, parley: Parley): Promise<void> {
  logger.info({ signal }, 'stopping');
  createSystemClock().after(STOP_MS, () => {
    logger.error({}, 'stopping took too long');
    process.exit(1);
  });
  try {
    await parley.close();
    logger.info({}, 'stopped');
  } catch (error) {
    logger.error({ err: error }, 'stopping failed');
    process.exitCode = 1;
  }
}
