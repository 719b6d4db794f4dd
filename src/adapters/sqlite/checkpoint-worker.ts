import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';

/** What this thread is started with, and what it is told. It answers each `checkpoint` with a message when that is done. */
export type CheckpointSettings = Readonly<{ path: string }>;
export type CheckpointOrder = 'checkpoint' | 'close';

const { path } = workerData as CheckpointSettings;
const database = openDatabase(path, 'full');

parentPort?.on('message', (order: CheckpointOrder) => {
  if (order === 'close') {
    database.close();
    parentPort?.close();
    return;
  }
  // Passive: copies what it can without making the writer wait.
  database.exec('PRAGMA wal_checkpoint(PASSIVE)');
  parentPort?.postMessage('done');
});
