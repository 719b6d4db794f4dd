import { Worker } from 'node:worker_threads';
import { type BackOffSettings, backOffMs } from '../../kernel/back-off.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { CheckpointMessage, CheckpointSettings } from './checkpoint-worker.ts';

/** Time from a commit to the checkpoint that copies it into the database file. Pages that are changed again within this time are copied once. */
const DELAY_MS = 500;
/** Pauses before the thread is started again after it has failed, as it does while the disk is full. */
const RESTARTS: BackOffSettings = { firstMs: 200, longestMs: 30_000 };
/** The longest pause of each attempt: there is one thread for each file, so that no others have to be avoided. */
const NO_JITTER = 1;

/**
 * Runs WAL checkpoints on another thread: copying the write-ahead log into the database file is what the slowest commits would otherwise wait for.
 * A commit that still finds the write-ahead log above its limit (see `openSqliteEventStore`) copies the rest itself; so do all commits while the
 * thread does not run.
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
  /** Failures since the last checkpoint that was done. */
  #failures = 0;

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
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage('checkpoint' satisfies CheckpointMessage);
    } catch (error) {
      // The system has no thread left.
      this.#failed(error);
    }
  }

  #start(): Worker {
    const settings: CheckpointSettings = { path: this.#path };
    const worker = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), {
      workerData: settings,
      resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 },
    });
    let cause: unknown = null;
    worker.on('message', () => this.#done());
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      // One that was closed is not the current one any more.
      if (this.#worker === worker) this.#failed(cause ?? new Error(`the thread ended with ${code}`));
    });
    worker.unref();
    return worker;
  }

  #done(): void {
    this.#running = false;
    if (this.#failures > 0) this.#logger.info({ path: this.#path }, 'the WAL checkpoint thread works again');
    this.#failures = 0;
    if (this.#dirty) this.touch();
  }

  /** Starts the thread again after a pause; until then commits do all the copying, which is slower but correct. */
  #failed(error: unknown): void {
    this.#worker = null;
    this.#running = false;
    if (this.#closed) return;
    if (this.#failures === 0) {
      const fields = { err: error, path: this.#path };
      this.#logger.error(fields, 'the WAL checkpoint thread failed and will be started again');
    }
    this.#timer = this.#clock.after(backOffMs(RESTARTS, this.#failures++, NO_JITTER), () => this.#request());
  }
}
