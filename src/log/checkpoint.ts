import { laterPosition, type Position } from '../kernel/position.ts';
import type { CollectionDefinition, DocumentStore, StoredDocument, Write } from '../ports/documents.ts';
import { type Anchor, type FormerAnchors, laterAnchor, withFormer } from './anchor.ts';
import { FencedOff } from './lease.ts';

/** How far a follower has come in the log. */
export type Checkpoint = Readonly<{
  /** Everything up to here was handled; `null`: nothing yet. */
  position: Position | null;
  /** The last event that is known to be handled, at or before `position`; `null` when there was none yet. Followed on from here. */
  anchor: Anchor | null;
  /** Anchors before it, see `Anchors`. */
  former?: readonly Anchor[];
}>;

/** Why a follower stopped: the event that it cannot handle. */
export type Parked = Readonly<{ position: Position; type: string; message: string }>;

/** A checkpoint as it is stored. Following again from an earlier one is harmless, so it may lag, and is never ahead of what was written for it. */
export type StoredCheckpoint = Checkpoint &
  Readonly<{
    /** Anchors that it had before, the oldest first, fewer the older they are. */
    former: readonly Anchor[];
    /** Events that were handled, a measure of the work. */
    events: number;
    parked: Parked | null;
    /** The log that the position belongs to. */
    epoch: string | null;
    /** Of the lease under which it was written, and a name that distinguishes the writers of one fence. */
    fence: number;
    writer: string;
  }>;

export const CHECKPOINTS: CollectionDefinition = { name: 'checkpoints', indexes: [] };

const NOTHING: StoredCheckpoint = {
  position: null,
  anchor: null,
  former: [],
  events: 0,
  parked: null,
  epoch: null,
  fence: 0,
  writer: '',
};

/** What a checkpoint's document is guarded by: each lease begins a new sequence, so that an earlier holder cannot write any more. */
const documentPosition = ({ fence, position }: StoredCheckpoint): Position =>
  `${String(fence).padStart(12, '0')}:${position ?? ''}`;

export function checkpointOf(document: StoredDocument | undefined): StoredCheckpoint | null {
  // Only this module writes the collection.
  return document === undefined ? null : (document.body as StoredCheckpoint);
}

/** The stored checkpoints of these ids, `null` for those that do not exist. */
export async function readCheckpoints(
  documents: DocumentStore,
  ids: readonly string[],
): Promise<ReadonlyMap<string, StoredCheckpoint | null>> {
  const found = ids.length === 0 ? new Map() : await documents.getMany(CHECKPOINTS.name, ids);
  return new Map(ids.map((id) => [id, checkpointOf(found.get(id))]));
}

/**
 * Stores where a new follower starts, unless it has a checkpoint of this log (`epoch`) already; one of another log is replaced. Other nodes may do so
 * at the same time: the first one holds.
 */
export async function startCheckpoint(
  documents: DocumentStore,
  id: string,
  start: Pick<StoredCheckpoint, 'position' | 'anchor' | 'epoch'>,
): Promise<'created' | 'exists' | 'replaced'> {
  const document = (await documents.getMany(CHECKPOINTS.name, [id])).get(id);
  const before = checkpointOf(document);
  if (before !== null && before.epoch === start.epoch) return 'exists';
  const first: StoredCheckpoint = { ...NOTHING, ...start, fence: before?.fence ?? 0 };
  await documents.apply({ writes: [writeOf(id, first, document?.position ?? null)] });
  return before === null ? 'created' : 'replaced';
}

/** Removes a checkpoint. */
export async function dropCheckpoint(documents: DocumentStore, id: string): Promise<void> {
  const document = (await documents.getMany(CHECKPOINTS.name, [id])).get(id);
  if (document === undefined) return;
  const { position } = document;
  await documents.apply({ writes: [{ collection: CHECKPOINTS.name, id, position, guard: position, body: null }] });
}

function writeOf(id: string, checkpoint: StoredCheckpoint, guard: Position | null): Write {
  return { collection: CHECKPOINTS.name, id, position: documentPosition(checkpoint), guard, body: checkpoint };
}

/** Under which lease, and in whose name, a checkpoint is written. `former`: how many former anchors it keeps, default `few`. */
export type CheckpointOwner = Readonly<{ fence: number; writer: string; former?: FormerAnchors }>;

/**
 * The checkpoint of one follower under one lease: in memory, and stored now and then. Methods that store throw `FencedOff` when the checkpoint is
 * another writer's by now, and what the store throws.
 */
export class CheckpointWriter {
  readonly id: string;
  readonly #documents: DocumentStore;
  readonly #former: FormerAnchors;
  #current: StoredCheckpoint;
  /** Position of the stored document, `null` before there is one. */
  #stored: Position | null;
  #unsaved = true;

  /** Takes the checkpoint over, so that no holder of an earlier lease can store it any more. What it was parked for is tried again. */
  static async open(documents: DocumentStore, id: string, owner: CheckpointOwner): Promise<CheckpointWriter> {
    const document = (await documents.getMany(CHECKPOINTS.name, [id])).get(id);
    const before = checkpointOf(document) ?? NOTHING;
    if (before.fence > owner.fence) throw new FencedOff(`a newer lease holds the checkpoint '${id}'`);
    const { fence, writer, former = 'few' } = owner;
    const current = { ...before, parked: null, fence, writer };
    const opened = new CheckpointWriter({ documents, id, former }, current, document?.position ?? null);
    await opened.save();
    return opened;
  }

  private constructor(
    { documents, id, former }: Readonly<{ documents: DocumentStore; id: string; former: FormerAnchors }>,
    current: StoredCheckpoint,
    stored: Position | null,
  ) {
    this.#documents = documents;
    this.#former = former;
    this.id = id;
    this.#current = current;
    this.#stored = stored;
  }

  /** Never ahead of what was written for it. */
  get current(): StoredCheckpoint {
    return this.#current;
  }

  get unsaved(): boolean {
    return this.#unsaved;
  }

  /** Moves it forward in memory, with so many events handled on the way. A step back, as in a replay, changes nothing. */
  advance(to: Checkpoint, events: number): void {
    const { position } = this.#current;
    if (laterPosition(position, to.position) === position) return;
    this.#current = this.#after(to, events);
    this.#unsaved = true;
  }

  /** Goes back to an event that the log still has, or to where a new follower would start, and stores that. */
  async rewind(to: Checkpoint): Promise<void> {
    const { anchor, position } = to;
    const former = this.#current.former.filter((each) => anchor !== null && each.position < anchor.position);
    this.#current = { ...this.#current, position, anchor, former };
    this.#unsaved = true;
    await this.save();
  }

  async park(parked: Parked): Promise<void> {
    this.#current = { ...this.#current, parked };
    this.#unsaved = true;
    await this.save();
  }

  /** The write that stores it as it will be after a step. Once that is done, `written` is called with the same. */
  writeOf(to: Checkpoint, events: number): Write {
    return writeOf(this.id, this.#after(to, events), this.#stored);
  }

  written(to: Checkpoint, events: number): void {
    this.#current = this.#after(to, events);
    this.#stored = documentPosition(this.#current);
    this.#unsaved = false;
  }

  /** Stores it as it is. */
  async save(): Promise<void> {
    if (!this.#unsaved) return;
    const { rejected } = await this.#documents.apply({ writes: [], last: this.writeOf(this.#current, 0) });
    if (rejected.length === 0) this.written(this.#current, 0);
    else await this.#adopt();
  }

  /** A write was rejected: stores the checkpoint again, or throws `FencedOff` when it is another writer's by now. */
  async reclaim(): Promise<void> {
    this.#unsaved = true;
    await this.save();
  }

  /** The stored checkpoint is not the one that this writer knows: its own when an answer was lost, otherwise another writer's. */
  async #adopt(): Promise<void> {
    const document = (await this.#documents.getMany(CHECKPOINTS.name, [this.id])).get(this.id);
    const stored = checkpointOf(document);
    const isOwn = stored?.writer === this.#current.writer && stored.fence === this.#current.fence;
    if (document === undefined || !isOwn || document.position === this.#stored) {
      throw new FencedOff(`another writer has the checkpoint '${this.id}'`);
    }
    this.#stored = document.position;
    await this.save();
  }

  #after({ position, anchor }: Checkpoint, events: number): StoredCheckpoint {
    const later = laterAnchor(this.#current.anchor, anchor);
    return {
      ...this.#current,
      position: laterPosition(this.#current.position, position),
      anchor: later,
      former: later === this.#current.anchor ? this.#current.former : withFormer(this.#current, this.#former),
      events: this.#current.events + events,
    };
  }
}
