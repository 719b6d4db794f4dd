import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';

/** The data that this thread is started with. */
export type CheckpointSettings = Readonly<{ path: string }>;
/** A message to this thread. It replies to each `checkpoint` with a message when that is done. */
export type CheckpointMessage = 'checkpoint' | 'close';

const { path } = workerData as CheckpointSettings;
const database = openDatabase(path, 'full');

parentPort?.on('message', (message: CheckpointMessage) => {
  if (message === 'close') {
    database.close();
    parentPort?.close();
    return;
  }
  // Passive: copies what it can without blocking the writer.
  database.exec('PRAGMA wal_checkpoint(PASSIVE)');
  parentPort?.postMessage('done');
});
