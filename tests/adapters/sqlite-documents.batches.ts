import type { CollectionDefinition } from '../../src/ports/documents.ts';

/** New documents of each batch that the child process writes. */
export const BATCH = 20;

export const COLLECTIONS: readonly CollectionDefinition[] = [
  { name: 'items', indexes: [{ fields: ['n'] }, { fields: [], array: 'tags' }] },
  { name: 'checkpoints', indexes: [] },
];

/** The position of a batch, by its number. */
export function positionOf(batch: number): string {
  return String(batch).padStart(8, '0');
}
