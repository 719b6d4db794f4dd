import { createHmac } from 'node:crypto';
import { type Collection, type Db, ObjectId } from 'mongodb';
import { backOffMs } from '../../kernel/back-off.ts';
import { StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Change, LimitKey, LimitStates, LimitStore } from '../../ports/limit-store.ts';
import type { Random } from '../../ports/random.ts';
import { Connection } from './connection.ts';
import { DUPLICATE_KEY, hasCode } from './errors.ts';

/** No collection of documents can have this name, see `collectionName`. */
const COLLECTION = 'shared~limits';
/** Attempts of one write. Nodes that write the same key alternate, so each needs about as many as there are nodes. */
const ATTEMPTS_MAX = 32;
const BACK_OFF = { firstMs: 2, longestMs: 50 };
/** Changes of one key that wait for the one before. */
const WAITING_MAX = 1_000;
/** How long the time of the server is derived from this process's clock, in ms. */
const SYNC_MS = 60_000;

/** `version` differs with every write. */
type Stored = { _id: string; version: ObjectId; state: JsonObject; expiresAt: Date };

type Pending = Readonly<{
  change: Change<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}>;

export type MongoLimitsOptions = Readonly<{
  /** A connection string with the database to use (default: `parley`). */
  url: string;
  /** The server secret. Ids are stored as their HMAC, so that the database does not hold addresses. */
  secret: Uint8Array;
  clock: Pick<Clock, 'monotonic' | 'sleep'>;
  random: Random;
  logger: Logger;
  /** For tests: the time in ms, instead of that of the server. */
  serverTime?: () => number;
}>;

/**
 * Opens the limits that all nodes share in MongoDB, even while it cannot be reached. The time is that of the server, so that a node with a wrong
 * clock neither shortens nor prolongs what others wait. The server removes expired states. Throws `INVALID` for an invalid connection string.
 */
export async function openMongoLimits(options: MongoLimitsOptions): Promise<LimitStore> {
  return new Limits(new Connection(options.url, { logger: options.logger }), options);
}

class Limits implements LimitStore {
  readonly #connection: Connection;
  readonly #options: MongoLimitsOptions;
  /** The changes that wait for the one in progress, by id. Those that wait together are written together. */
  readonly #waiting = new Map<string, Pending[]>();
  /** From this process's clock to the time of the server, in ms. */
  #offset: Readonly<{ ms: number; measuredAt: number }> | null = null;
  #isIndexed = false;

  constructor(connection: Connection, options: MongoLimitsOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  read(keys: readonly LimitKey[]): Promise<LimitStates> {
    const ids = keys.map((key) => this.#idOf(key));
    return this.#run(async (limits, now) => {
      const found = await limits.find({ _id: { $in: ids }, expiresAt: { $gt: new Date(now) } }).toArray();
      const states = new Map(found.map(({ _id, state }) => [_id, state]));
      return { states: ids.map((id) => states.get(id) ?? null), now };
    });
  }

  async update<Result>(key: LimitKey, change: Change<Result>): Promise<Result> {
    const id = this.#idOf(key);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const pending = { change, resolve, reject };
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) void this.#writeAll(id, [pending]);
    else if (waiting.length < WAITING_MAX) waiting.push(pending);
    else throw new StoreError('UNAVAILABLE', 'too many changes of one limit are waiting');
    // Each change is resolved with its own result.
    return (await promise) as Result;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Writes these changes, then those that came meanwhile, until there are none. Never rejects. */
  async #writeAll(id: string, first: Pending[]): Promise<void> {
    for (let batch = first; batch.length > 0; batch = this.#waiting.get(id) ?? []) {
      this.#waiting.set(id, []);
      try {
        const results = await this.#write(
          id,
          batch.map(({ change }) => change),
        );
        for (const [i, { resolve }] of batch.entries()) resolve(results[i]);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#waiting.delete(id);
  }

  /** Applies changes one after the other to the stored state, and replaces it; again, if it was changed meanwhile. Returns their results. */
  #write(id: string, changes: readonly Change<unknown>[]): Promise<readonly unknown[]> {
    const { clock, random } = this.#options;
    return this.#run(async (limits, now) => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (attempt > 0) await clock.sleep(backOffMs(BACK_OFF, attempt - 1, random.fraction()));
        const stored = await limits.findOne({ _id: id });
        let state = stored !== null && stored.expiresAt.getTime() > now ? stored.state : null;
        let keepMs: number | null = null;
        let isChanged = false;
        const results = changes.map((change) => {
          const { result, next } = change(state, now);
          if (next !== undefined) [isChanged, state, keepMs] = [true, next?.state ?? null, next?.keepMs ?? null];
          return result;
        });
        if (!isChanged) return results;
        const version = new ObjectId(random.bytes(12));
        const expiresAt = new Date(now + (keepMs ?? 0));
        const next = state === null ? null : { _id: id, version, state, expiresAt };
        if (await replace(limits, stored, next)) return results;
      }
      throw new StoreError('UNAVAILABLE', 'the state of a limit was changed by others again and again');
    });
  }

  #run<Result>(work: (limits: Collection<Stored>, now: number) => Promise<Result>): Promise<Result> {
    return this.#connection.run(async (db) => {
      const limits = db.collection<Stored>(COLLECTION);
      if (!this.#isIndexed) {
        await limits.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 });
        this.#isIndexed = true;
      }
      return work(limits, await this.#now(db));
    });
  }

  async #now(db: Db): Promise<number> {
    const { clock, serverTime } = this.#options;
    if (serverTime !== undefined) return serverTime();
    const before = clock.monotonic();
    if (this.#offset === null || before - this.#offset.measuredAt >= SYNC_MS) {
      const { localTime } = await db.command({ hello: 1 });
      const after = clock.monotonic();
      this.#offset = { ms: localTime.getTime() - (before + after) / 2, measuredAt: after };
    }
    return Math.round(clock.monotonic() + this.#offset.ms);
  }

  #idOf({ kind, id }: LimitKey): string {
    const hashed = createHmac('sha256', this.#options.secret).update(`limits\n${kind}\n${id}`).digest('base64url');
    return `${kind} ${hashed}`;
  }
}

/** Replaces a document that was read; `null`: there is none. Returns `false` when it was changed meanwhile. */
async function replace(limits: Collection<Stored>, before: Stored | null, after: Stored | null): Promise<boolean> {
  if (before === null) {
    if (after === null) return true;
    try {
      await limits.insertOne(after);
      return true;
    } catch (error) {
      if (hasCode(error, DUPLICATE_KEY)) return false;
      throw error;
    }
  }
  const same = { _id: before._id, version: before.version };
  if (after === null) return (await limits.deleteOne(same)).deletedCount === 1;
  return (await limits.replaceOne(same, after)).matchedCount === 1;
}
