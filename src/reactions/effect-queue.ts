import { StoreError } from '../kernel/errors.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Position } from '../kernel/position.ts';
import type { CollectionDefinition, DocumentStore, StoredDocument, Write } from '../ports/documents.ts';
import type { Effect, StoredEffect } from './reaction.ts';

const CHECKPOINTS: CollectionDefinition = { name: 'reaction-checkpoints', indexes: [] };

/** Documents looked at in one go. */
const PAGE = 256;

/** How far a reaction has come in which log. `version` guards its next write. */
export type ReactionCheckpoint = Readonly<{ position: Position | null; epoch: string; version: number }>;

/**
 * What a reaction has to do, as documents: claimed together with the checkpoint that passes the event, so that nothing is lost, and each change guarded
 * by the one before, so that of two who try the same one fails.
 */
export class EffectQueue {
  private readonly documents: DocumentStore;
  private readonly name: string;
  private readonly collection: string;

  constructor(documents: DocumentStore, reaction: Readonly<{ name: string; collection: string }>) {
    this.documents = documents;
    this.name = reaction.name;
    this.collection = reaction.collection;
  }

  async define(): Promise<void> {
    await this.documents.define([CHECKPOINTS, { name: this.collection, indexes: [{ fields: ['status', 'dueAt'] }] }]);
  }

  async checkpoint(): Promise<ReactionCheckpoint | null> {
    const found = (await this.documents.getMany(CHECKPOINTS.name, [this.name])).get(this.name);
    if (found === undefined) return null;
    // Only `checkpointWrite` writes this collection.
    const { position, epoch } = found.body as { position: Position | null; epoch: string };
    return { position, epoch, version: Number(found.position) };
  }

  /** Whether the checkpoint was written; not, when another was written since `replaces`. */
  async moveTo(position: Position | null, epoch: string, replaces: ReactionCheckpoint | null): Promise<boolean> {
    const last = checkpointWrite(this.name, position, epoch, replaces);
    return (await this.documents.apply({ writes: [last] })).rejected.length === 0;
  }

  /** Claims an effect for each event that has none yet, then moves the checkpoint. Throws `VERSION_CONFLICT` when somebody else does so too. */
  async claim(
    events: readonly RecordedEvent[],
    now: number,
    position: Position | null,
    replaces: ReactionCheckpoint,
  ): Promise<ReactionCheckpoint> {
    const ids = [...new Set(events.map(({ id }) => id))];
    const known = await this.documents.getMany(this.collection, ids);
    const byId = new Map(events.filter(({ id }) => !known.has(id)).map((event) => [event.id, event]));
    const writes = [...byId.values()].map((event) =>
      this.write({ id: event.id, version: 0, effect: claimed(event, now) }),
    );
    const last = checkpointWrite(this.name, position, replaces.epoch, replaces);
    const { rejected } = await this.documents.apply({ writes, last });
    if (rejected.length > 0)
      throw new StoreError('VERSION_CONFLICT', `another node runs the reaction '${this.name}' too`);
    return { position, epoch: replaces.epoch, version: replaces.version + 1 };
  }

  /** Effects of a status whose time has come, the longest due first. */
  async due(status: Effect['status'], now: number, limit = PAGE): Promise<readonly StoredEffect[]> {
    const filter = { status, dueAt: { lte: now } };
    const page = await this.documents.find(this.collection, {
      filter,
      sort: { fields: ['dueAt'], direction: 'asc' },
      limit,
    });
    return page.items.map(stored);
  }

  /** When the next claimed effect is due, `null` when there is none. */
  async nextDueAt(): Promise<number | null> {
    const sort = { fields: ['dueAt'], direction: 'asc' } as const;
    const { items } = await this.documents.find(this.collection, { filter: { status: 'claimed' }, sort, limit: 1 });
    const [first] = items.map(stored);
    return first?.effect.dueAt ?? null;
  }

  /** The effect with these changes, `null` when somebody else changed it meanwhile. */
  async change({ id, version, effect }: StoredEffect, changes: Partial<Effect>): Promise<StoredEffect | null> {
    const changed: StoredEffect = { id, version: version + 1, effect: { ...effect, ...changes } as Effect };
    const { rejected } = await this.documents.apply({ writes: [this.write(changed)] });
    return rejected.length === 0 ? changed : null;
  }

  async forget(effects: readonly StoredEffect[]): Promise<void> {
    const writes = effects.map(({ id, version }) => ({
      collection: this.collection,
      id,
      position: versionString(version + 1),
      guard: versionString(version),
      body: null,
    }));
    // One that was changed meanwhile stays, and is found again.
    if (writes.length > 0) await this.documents.apply({ writes });
  }

  private write({ id, version, effect }: StoredEffect): Write {
    const guard = version === 0 ? null : versionString(version - 1);
    return { collection: this.collection, id, position: versionString(version), guard, body: effect };
  }
}

/** Documents here stand for no place in the log: their position counts their changes. */
const versionString = (version: number): string => String(version).padStart(12, '0');

function checkpointWrite(
  name: string,
  position: Position | null,
  epoch: string,
  replaces: ReactionCheckpoint | null,
): Write {
  return {
    collection: CHECKPOINTS.name,
    id: name,
    position: versionString((replaces?.version ?? -1) + 1),
    guard: replaces === null ? null : versionString(replaces.version),
    body: { position, epoch },
  };
}

function claimed({ stream, revision, type }: RecordedEvent, now: number): Effect {
  const place = { stream, revision: String(revision), type };
  return { status: 'claimed', ...place, attempts: 0, claimedAt: now, dueAt: now, lastError: null };
}

function stored({ id, position, body }: StoredDocument<JsonObject>): StoredEffect {
  // Only this class writes the collection.
  return { id, version: Number(position), effect: body as Effect };
}
