import type { RecordedEvent } from '../kernel/event.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Checkpoint, CheckpointWriter } from '../log/checkpoint.ts';
import { FencedOff } from '../log/lease.ts';
import type { DocumentStore, StoredDocument, Write } from '../ports/documents.ts';
import type { Effect, Reaction, StoredEffect } from './reaction.ts';

/** Documents read at once. */
const PAGE = 256;
/** Attempts to store effects when a lost answer, or a node that was fenced off, has changed the documents. */
const ATTEMPTS = 3;

/**
 * The effects of a reaction as documents: stored together with the checkpoint that passes their event, so that none is lost, and each change guarded by
 * the one before, so that of two nodes that attempt the same effect one fails.
 */
export class EffectQueue {
  readonly #documents: DocumentStore;
  readonly #collection: string;

  constructor(documents: DocumentStore, collection: string) {
    this.#documents = documents;
    this.#collection = collection;
  }

  async define(): Promise<void> {
    await this.#documents.define([{ name: this.#collection, indexes: [{ fields: ['status', 'dueAt'] }] }]);
  }

  /** Stores an effect for each event that has none yet, then the checkpoint. Throws `FencedOff` when another node has the checkpoint. */
  async add(
    events: readonly RecordedEvent[],
    now: number,
    {
      to,
      checkpoint,
      delays,
    }: Readonly<{
      to: Checkpoint;
      checkpoint: CheckpointWriter;
      delays?: Reaction['delays'] | undefined;
    }>,
  ): Promise<void> {
    const byId = new Map(events.map((event) => [event.id, event]));
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const known = byId.size === 0 ? new Map() : await this.#documents.getMany(this.#collection, [...byId.keys()]);
      const writes = [...byId.values()]
        .filter(({ id }) => !known.has(id))
        .map((event) =>
          this.#write({ id: event.id, version: 0, effect: pending(event, now, delays?.get(event.type)) }),
        );
      const { rejected } = await this.#documents.apply({ writes, last: checkpoint.writeOf(to, events.length) });
      if (rejected.length === 0) return checkpoint.written(to, events.length);
      await checkpoint.reclaim();
    }
    throw new FencedOff(`another node adds effects to '${this.#collection}'`);
  }

  /** Effects of a status that are due, the longest due first. */
  async due(status: Effect['status'], now: number, limit = PAGE): Promise<readonly StoredEffect[]> {
    const filter = { status, dueAt: { lte: now } };
    const page = await this.#documents.find(this.#collection, {
      filter,
      sort: { fields: ['dueAt'], direction: 'asc' },
      limit,
    });
    return page.items.map(stored);
  }

  /** The effect as it is stored now, `null` when it was deleted. */
  async get(id: string): Promise<StoredEffect | null> {
    const document = (await this.#documents.getMany(this.#collection, [id])).get(id);
    return document === undefined ? null : stored(document);
  }

  /** Those of these effects that are parked. At most 4,096 ids. */
  async parked(ids: readonly string[]): Promise<readonly StoredEffect[]> {
    const found = await this.#documents.getMany(this.#collection, ids);
    return [...found.values()].map(stored).filter(({ effect }) => effect.status === 'parked');
  }

  /** The number of effects of a status, counted up to `cap`. */
  count(status: Effect['status'], cap: number): Promise<number> {
    return this.#documents.count(this.#collection, { status }, cap);
  }

  /** When the next pending effect is due, `null` when there is none. */
  async nextDueAt(): Promise<number | null> {
    const sort = { fields: ['dueAt'], direction: 'asc' } as const;
    const { items } = await this.#documents.find(this.#collection, { filter: { status: 'pending' }, sort, limit: 1 });
    const [first] = items.map(stored);
    return first?.effect.dueAt ?? null;
  }

  /** The effect with these changes, `null` when another node changed it meanwhile. */
  async change({ id, version, effect }: StoredEffect, changes: Partial<Effect>): Promise<StoredEffect | null> {
    const changed: StoredEffect = { id, version: version + 1, effect: { ...effect, ...changes } as Effect };
    const { rejected } = await this.#documents.apply({ writes: [this.#write(changed)] });
    return rejected.length === 0 ? changed : null;
  }

  async delete(effects: readonly StoredEffect[]): Promise<void> {
    const writes = effects.map(({ id, version }) => ({
      collection: this.#collection,
      id,
      position: versionString(version + 1),
      guard: versionString(version),
      body: null,
    }));
    // One that was changed meanwhile stays, and is found again.
    if (writes.length > 0) await this.#documents.apply({ writes });
  }

  #write({ id, version, effect }: StoredEffect): Write {
    const guard = version === 0 ? null : versionString(version - 1);
    return { collection: this.#collection, id, position: versionString(version), guard, body: effect };
  }
}

/** Documents here stand for no place in the log: their position counts their changes. */
const versionString = (version: number): string => String(version).padStart(12, '0');

function pending({ stream, revision, type }: RecordedEvent, now: number, delayMs = 0): Effect {
  const place = { stream, revision: String(revision), type };
  return { status: 'pending', ...place, attempts: 0, createdAt: now, dueAt: now + delayMs, lastError: null };
}

function stored({ id, position, body }: StoredDocument<JsonObject>): StoredEffect {
  // Only this class writes the collection.
  return { id, version: Number(position), effect: body as Effect };
}
