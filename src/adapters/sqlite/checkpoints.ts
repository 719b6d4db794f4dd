import { Worker } from 'node:worker_threads';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { CheckpointMessage, CheckpointSettings } from './checkpoint-worker.ts';

/** Time from a commit to the checkpoint that copies it into the database file. Pages that are changed again within this time are copied once. */
const DELAY_MS = 500;

/**
 * Runs WAL checkpoints on another thread: copying the write-ahead log into the database file is what the slowest commits would otherwise wait for.
 * A commit that still finds the write-ahead log above its limit (see `openSqliteEventStore`) copies the rest itself.
 */
export class Checkpoints {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #worker: Worker | null = null;
  #timer: Timer | null = null;
  #running = false;
  #dirty = false;
  #closed = false;

  constructor(path: string, clock: Clock, logger: Logger) {
    this.#path = path;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** To be called after each commit. */
  touch(): void {
    this.#dirty = true;
    if (this.#running || this.#timer !== null || this.#closed) return;
    this.#timer = this.#clock.after(DELAY_MS, () => this.#request());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const worker = this.#worker;
    this.#worker = null;
    if (worker === null) return;
    // The thread does not keep the process alive, except here, where its exit is awaited.
    worker.ref();
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    worker.postMessage('close' satisfies CheckpointMessage);
    await exited;
  }

  #request(): void {
    this.#timer = null;
    this.#dirty = false;
    this.#running = true;
    this.#worker ??= this.#start();
    this.#worker.postMessage('checkpoint' satisfies CheckpointMessage);
  }

  #start(): Worker {
    const settings: CheckpointSettings = { path: this.#path };
    const worker = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: settings });
    worker.on('message', () => {
      this.#running = false;
      if (this.#dirty) this.touch();
    });
    worker.on('error', (error) => {
      // Not restarted: commits then do all the copying, which is slower but correct.
      this.#closed = true;
      this.#worker = null;
      this.#logger.error({ err: error }, 'the WAL checkpoint thread failed');
    });
    worker.unref();
    return worker;
  }
}
