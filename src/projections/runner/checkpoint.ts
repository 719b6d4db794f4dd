import type { Position } from '../../kernel/position.ts';
import type { CollectionDefinition, StoredDocument, Write } from '../../ports/documents.ts';

/** Why a projection stands still: the event it could not take. */
export type Parked = Readonly<{ position: Position; type: string; message: string }>;

/**
 * How far one generation of a projection has come. Replaying from an earlier checkpoint is harmless, so it may lag behind the documents, and
 * is never ahead of them.
 */
export type Checkpoint = Readonly<{
  position: Position | null;
  /** Events it has handled, of the types it handles; a measure of its work. */
  events: number;
  parked: Parked | null;
  /** Of the lease under which it was written. */
  fence: number;
  /** Tells the writers of one fence apart. */
  writer: string;
}>;

export const CHECKPOINTS: CollectionDefinition = { name: 'projection-checkpoints', indexes: [] };

export const checkpointId = (projection: string, generation: number): string => `${projection}.${generation}`;

/** What a checkpoint's document is guarded by: every lease begins a new one, so that who held the lease before cannot write any more. */
export const checkpointPosition = (checkpoint: Checkpoint): Position =>
  `${String(checkpoint.fence).padStart(12, '0')}:${checkpoint.position ?? ''}`;

export function checkpointWrite(id: string, checkpoint: Checkpoint, guard: Position | null): Write {
  return { collection: CHECKPOINTS.name, id, position: checkpointPosition(checkpoint), guard, body: checkpoint };
}

export function readCheckpoint(document: StoredDocument | undefined): Checkpoint | null {
  // Only `checkpointWrite` writes this collection.
  return document === undefined ? null : (document.body as Checkpoint);
}
