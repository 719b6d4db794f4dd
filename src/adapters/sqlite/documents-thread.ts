import { Worker } from 'node:worker_threads';
import { StoreError, type StoreErrorCode } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CollectionDefinition } from '../../ports/documents.ts';
import type { FilledIndexes } from './documents-catalog.ts';
import type { Applied, EncodedBatch, WriteSide } from './documents-writes.ts';

/** The data that the thread is started with. */
export type ThreadSettings = Readonly<{ path: string }>;

type Method =
  | Readonly<{ method: 'define'; argument: readonly CollectionDefinition[] }>
  | Readonly<{ method: 'drop'; argument: string }>
  | Readonly<{ method: 'apply'; argument: EncodedBatch }>
  | Readonly<{ method: 'vacuum' | 'emptyWriteAheadLog' | 'close'; argument?: undefined }>;

/** A message to the thread, which sends one `Reply` for each. */
export type Call = Method & Readonly<{ id: number }>;
export type Reply = Readonly<{
  id: number;
  result?: Applied | readonly FilledIndexes[] | boolean | undefined;
  error?: Readonly<{ code: StoreErrorCode; message: string }>;
}>;

type Pending = Readonly<{ resolve: (result: Reply['result']) => void; reject: (error: StoreError) => void }>;

/** Memory for the thread's young objects, in MiB: it handles one batch after the other, and little of it lives on. */
const YOUNG_MIB = 8;
/** A thread that ended by itself is started again at the next call, but not within this time after its start, in ms. */
const RESTART_MS = 1_000;

/**
 * Writes on another thread, so that neither a large batch, nor the copying of the write-ahead log, nor a purge holds up requests. When that thread
 * ends by itself, its calls are rejected with `UNAVAILABLE`, and the next call starts another.
 */
export class ThreadWrites implements WriteSide {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #pending = new Map<number, Pending>();
  /** What a new thread has to define before anything else. */
  readonly #defined = new Map<string, CollectionDefinition[]>();
  #worker: Worker | null = null;
  #startedAt = Number.NEGATIVE_INFINITY;
  #lastId = 0;

  constructor(path: string, clock: Clock, logger: Logger) {
    this.#path = path;
    this.#clock = clock;
    this.#logger = logger;
  }

  async define(collections: readonly CollectionDefinition[]): Promise<readonly FilledIndexes[]> {
    const filled = (await this.#call({ method: 'define', argument: collections })) as readonly FilledIndexes[];
    for (const each of collections) {
      const before = this.#defined.get(each.name);
      if (before === undefined) this.#defined.set(each.name, [each]);
      else before.push(each);
    }
    return filled;
  }

  async drop(collection: string): Promise<void> {
    this.#defined.delete(collection);
    await this.#call({ method: 'drop', argument: collection });
  }

  async apply(batch: EncodedBatch): Promise<Applied> {
    return (await this.#call({ method: 'apply', argument: batch })) as Applied;
  }

  async vacuum(): Promise<void> {
    await this.#call({ method: 'vacuum' });
  }

  async emptyWriteAheadLog(): Promise<boolean> {
    return (await this.#call({ method: 'emptyWriteAheadLog' })) === true;
  }

  /** After the calls before it. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    await this.#call({ method: 'close' });
    // Its exit is awaited, so that the process does not end before.
    worker.ref();
    await exited;
  }

  async #call(call: Method): Promise<Reply['result']> {
    this.#worker ??= this.#start();
    return await this.#post(this.#worker, call);
  }

  /** A thread with calls keeps the process alive, an idle one does not. */
  #post(worker: Worker, call: Method): Promise<Reply['result']> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      worker.postMessage({ ...call, id } satisfies Call);
      this.#pending.set(id, { resolve, reject });
      worker.ref();
    });
  }

  #start(): Worker {
    const now = this.#clock.monotonic();
    if (now - this.#startedAt < RESTART_MS) {
      throw new StoreError('UNAVAILABLE', 'the thread that writes documents ended and was not started again yet');
    }
    this.#startedAt = now;
    const settings: ThreadSettings = { path: this.#path };
    const worker = new Worker(new URL('./documents-worker.ts', import.meta.url), {
      workerData: settings,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    worker.on('message', (reply: Reply) => this.#settle(worker, reply));
    worker.on('error', (error) => this.#logger.error({ err: error }, 'the thread that writes documents failed'));
    worker.once('exit', () => this.#ended());
    for (const definitions of this.#defined.values()) {
      // Repeats what has succeeded before; should it fail now, the calls that need it fail too.
      this.#post(worker, { method: 'define', argument: definitions }).catch((error: unknown) =>
        this.#logger.error({ err: error }, 'a collection could not be defined again'),
      );
    }
    return worker;
  }

  #settle(worker: Worker, { id, result, error }: Reply): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) worker.unref();
    if (error === undefined) pending?.resolve(result);
    else pending?.reject(new StoreError(error.code, error.message));
  }

  #ended(): void {
    this.#worker = null;
    for (const { reject } of this.#pending.values()) {
      reject(new StoreError('UNAVAILABLE', 'the thread that writes documents ended'));
    }
    this.#pending.clear();
  }
}
