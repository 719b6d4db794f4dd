/** The thread on which the documents of a file are written: see `documents-thread.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { asStoreError } from './database.ts';
import type { Call, Reply, ThreadSettings } from './documents-thread.ts';
import { DirectWrites } from './documents-writes.ts';

const { path } = workerData as ThreadSettings;
const writes = DirectWrites.open(path);

/** Runs one call. Every call is synchronous in here, so that replies leave in the order of the calls. */
async function run(call: Call): Promise<Reply['result']> {
  if (call.method === 'define') return await writes.define(call.argument);
  if (call.method === 'drop') return void (await writes.drop(call.argument));
  if (call.method === 'apply') return await writes.apply(call.argument);
  return (await writes[call.method]()) ?? undefined;
}

parentPort?.on('message', async (call: Call) => {
  const reply = (message: Reply) => parentPort?.postMessage(message);
  try {
    reply({ id: call.id, result: await run(call) });
  } catch (error) {
    const { code, message } = asStoreError(error);
    reply({ id: call.id, error: { code, message } });
  }
  if (call.method === 'close') parentPort?.close();
});
