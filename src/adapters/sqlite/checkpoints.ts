import { Worker } from 'node:worker_threads';
import type { Logger } from '../../kernel/logger.ts';
import type { CheckpointOrder, CheckpointSettings } from './checkpoint-worker.ts';

/** After a commit, how long until what was committed is copied into the database file. */
const DELAY_MS = 20;

/**
 * Has the write-ahead log copied into the database file by another thread, so that commits need not do it: that is what their slowest ones
 * wait for. A commit that finds the write-ahead log beyond its bound all the same (see `openSqliteEventStore`) copies the rest itself.
 */
export class Checkpoints {
  readonly #path: string;
  readonly #logger: Logger;
  #worker: Worker | null = null;
  #timer: NodeJS.Timeout | null = null;
  #working = false;
  #dirty = false;
  #closed = false;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /** Something was committed. */
  touch(): void {
    this.#dirty = true;
    if (this.#working || this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => this.#order(), DELAY_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = null;
    if (worker === null) return;
    // It was not to keep the process alive, but its end is waited for.
    worker.ref();
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    worker.postMessage('close' satisfies CheckpointOrder);
    await exited;
  }

  #order(): void {
    this.#timer = null;
    this.#dirty = false;
    this.#working = true;
    this.#worker ??= this.#start();
    this.#worker.postMessage('checkpoint' satisfies CheckpointOrder);
  }

  #start(): Worker {
    const settings: CheckpointSettings = { path: this.#path };
    const worker = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: settings });
    worker.on('message', () => {
      this.#working = false;
      if (this.#dirty) this.touch();
    });
    worker.on('error', (error) => {
      // Not started again: commits then do all the copying, which is slower but right.
      this.#closed = true;
      this.#worker = null;
      this.#logger.error({ err: error }, 'the thread that copies the write-ahead log has failed');
    });
    worker.unref();
    return worker;
  }
}
