import type { CollectionDefinition } from '../../src/ports/documents.ts';

/** The number of new documents in each batch of the child process. */
export const BATCH = 20;

export const COLLECTIONS: readonly CollectionDefinition[] = [
  { name: 'items', indexes: [{ fields: ['n'] }, { fields: [], array: 'tags' }] },
  { name: 'checkpoints', indexes: [] },
];

/** The position of the batch with this number. */
export function positionOf(batch: number): string {
  return String(batch).padStart(8, '0');
}
