import type { DatabaseSync } from 'node:sqlite';
import { categoryOf } from '../../kernel/event.ts';
import { createLru } from '../../ports/lru.ts';
import { prepareTuples } from './database.ts';

const CACHED_NAMES = 10_000;
const CACHED_STREAMS = 50_000;

/** A table that maps names to the integers by which rows refer to them, with a bounded cache. */
export class Dictionary {
  readonly #cache = createLru<number>(CACHED_NAMES);
  readonly #select: (name: string) => [number][];
  readonly #insert: (name: string) => number;

  constructor(database: DatabaseSync, table: 'types' | 'categories') {
    this.#select = prepareTuples<[number]>(database, `SELECT id FROM ${table} WHERE name = ?`);
    const insert = database.prepare(`INSERT INTO ${table} (name) VALUES (?)`);
    this.#insert = (name) => Number(insert.run(name).lastInsertRowid);
  }

  /** The integer of a name, `undefined` when it has none. */
  find(name: string): number | undefined {
    const cached = this.#cache.get(name);
    if (cached !== undefined) return cached;
    const [row] = this.#select(name);
    if (row !== undefined) this.#cache.set(name, row[0]);
    return row?.[0];
  }

  /** The integer of a name, which is assigned when it has none. Only within a transaction. */
  ensure(name: string): number {
    const found = this.find(name);
    if (found !== undefined) return found;
    const id = this.#insert(name);
    this.#cache.set(name, id);
    return id;
  }

  /** Clears the cache; to be called after a rollback. */
  reset(): void {
    this.#cache.clear();
  }
}

/** The retention of a stream, as stored. `due`: when to look for records to remove, ms since the epoch; `null` while there cannot be any. */
export type StoredRetention = {
  readonly maxAgeMs: number | null;
  readonly maxCount: number | null;
  readonly truncateBefore: number | null;
  readonly disposable: boolean;
  due: number | null;
};

/** The current state of a stream, updated by every write. `last`: its last revision, -1 when it has none. */
export type StreamHead = {
  readonly id: number;
  readonly name: string;
  last: number;
  retention: StoredRetention | null;
};

type HeadRow = readonly [
  id: number,
  forgotten: number,
  last: number | null,
  retention: number | null,
  maxAgeMs: number | null,
  maxCount: number | null,
  truncateBefore: number | null,
  disposable: number | null,
  due: number | null,
];

const SELECT_HEAD = `
  SELECT s.id, s.forgotten, (SELECT MAX(e.revision) FROM events e WHERE e.stream = s.id),
    r.stream, r.max_age_ms, r.max_count, r.truncate_before, r.disposable, r.due
  FROM streams s LEFT JOIN retention r ON r.stream = s.id WHERE s.name = ?`;

/** The streams by name, with a bounded cache: an append to a cached stream reads nothing. */
export class Streams {
  readonly #cache = createLru<StreamHead>(CACHED_STREAMS);
  readonly #categories: Dictionary;
  readonly #select: (name: string) => HeadRow[];
  readonly #insert: (name: string, category: number) => number;
  readonly #delete: (id: number) => void;

  constructor(database: DatabaseSync, categories: Dictionary) {
    this.#categories = categories;
    this.#select = prepareTuples<HeadRow>(database, SELECT_HEAD);
    const insert = database.prepare('INSERT INTO streams (name, category) VALUES (?, ?)');
    this.#insert = (name, category) => Number(insert.run(name, category).lastInsertRowid);
    const remove = database.prepare('DELETE FROM streams WHERE id = ?');
    this.#delete = (id) => void remove.run(id);
  }

  /** `undefined` for a stream that was never written, or was removed. */
  find(name: string): StreamHead | undefined {
    const cached = this.#cache.get(name);
    if (cached !== undefined) return cached;
    const [row] = this.#select(name);
    if (row === undefined) return undefined;
    const [id, forgotten, last, retention, maxAgeMs, maxCount, truncateBefore, disposable, due] = row;
    return this.#keep({
      id,
      name,
      last: Math.max(forgotten, last ?? -1),
      retention: retention === null ? null : { maxAgeMs, maxCount, truncateBefore, disposable: disposable === 1, due },
    });
  }

  /** The stream of this name, which is created when it does not exist. Only within a transaction. */
  ensure(name: string): StreamHead {
    const found = this.find(name);
    if (found !== undefined) return found;
    const id = this.#insert(name, this.#categories.ensure(categoryOf(name)));
    return this.#keep({ id, name, last: -1, retention: null });
  }

  /** Removes a stream without records. Only within a transaction. */
  remove({ id, name }: StreamHead): void {
    this.#delete(id);
    this.#cache.delete(name);
  }

  /** Clears the cache; to be called after a rollback. */
  reset(): void {
    this.#cache.clear();
    this.#categories.reset();
  }

  #keep(head: StreamHead): StreamHead {
    this.#cache.set(head.name, head);
    return head;
  }
}
