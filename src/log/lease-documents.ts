import type { Position } from '../kernel/position.ts';
import type { CollectionDefinition, DocumentStore, StoredDocument, Write } from '../ports/documents.ts';

export const LEASES: CollectionDefinition = { name: 'leases', indexes: [{ fields: ['role'] }] };

/** Documents of one role: its nodes and partitions. */
const DOCUMENTS_MAX = 4_096;

/** A node's document, written with every renewal. `running`: it has not ended in order. */
export type NodeBody = Readonly<{ role: string; kind: 'node'; node: string; running: boolean }>;

/** A partition's document, written only when its owner changes. `owner`: `null` once it was given up. */
export type PartitionBody = Readonly<{
  role: string;
  kind: 'partition';
  partition: number;
  owner: string | null;
  fence: number;
}>;

export type LeaseDocument = StoredDocument<NodeBody | PartitionBody>;

/** The documents of one role, by id. */
export type LeaseDocuments = ReadonlyMap<string, LeaseDocument>;

export const nodeId = (role: string, node: string): string => `${role}/node/${node}`;

export const partitionId = (role: string, partition: number): string =>
  `${role}/partition/${String(partition).padStart(4, '0')}`;

/** The body of a partition's document, `null` when there is none yet. */
export function partitionBody(document: LeaseDocument | undefined): PartitionBody | null {
  return document?.body.kind === 'partition' ? document.body : null;
}

export async function readLeases(documents: DocumentStore, role: string): Promise<LeaseDocuments> {
  const { items } = await documents.find(LEASES.name, { filter: { role }, limit: DOCUMENTS_MAX });
  // Only `Leases` writes the collection.
  return new Map(items.map((document) => [document.id, document as LeaseDocument]));
}

/** Writes the document of a node or partition over `before`, the one that was read. Returns its position, `null` when it was changed meanwhile. */
export async function writeLease(
  documents: DocumentStore,
  body: NodeBody | PartitionBody,
  before: Position | null,
  position: Position = nextPosition(before),
): Promise<Position | null> {
  const id = body.kind === 'node' ? nodeId(body.role, body.node) : partitionId(body.role, body.partition);
  const write: Write = { collection: LEASES.name, id, position, guard: before, body };
  return (await documents.apply({ writes: [write] })).rejected.length === 0 ? position : null;
}

/** Removes documents, unless they were changed meanwhile. */
export async function removeLeases(documents: DocumentStore, ended: readonly LeaseDocument[]): Promise<void> {
  if (ended.length === 0) return;
  // At a position before all others: the tombstone must not reject the document of a node that comes back under its name.
  const removal = { collection: LEASES.name, position: positionAt(0), body: null };
  await documents.apply({ writes: ended.map(({ id, position }) => ({ ...removal, id, guard: position })) });
}

/** These documents are not made from the log: their position counts their changes. */
const nextPosition = (position: Position | null): Position => positionAt(Number(position ?? 0) + 1);

export const positionAt = (count: number): Position => String(count).padStart(16, '0');
