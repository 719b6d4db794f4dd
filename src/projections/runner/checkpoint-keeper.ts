import { laterPosition, type Position } from '../../kernel/position.ts';
import type { DocumentStore, StoredDocument, Write } from '../../ports/documents.ts';
import {
  CHECKPOINTS,
  type Checkpoint,
  checkpointPosition,
  checkpointWrite,
  type Parked,
  readCheckpoint,
} from './checkpoint.ts';
import { FencedOff } from './fenced-off.ts';

/** Under which lease, and in whose name. */
export type Claim = Readonly<{ fence: number; writer: string }>;

/**
 * The checkpoint of one generation, as its runner keeps it: in memory, and stored now and then. Methods that store throw `FencedOff` when the
 * checkpoint is another runner's by now, and what the store throws.
 */
export class CheckpointKeeper {
  readonly id: string;
  readonly #documents: DocumentStore;
  #current: Checkpoint;
  /** Position of the stored document, `null` before there is one. */
  #stored: Position | null;
  #unsaved = true;

  /** Takes the checkpoint over, so that nobody with an older lease can store it any more. What it was parked for is tried again. */
  static async claim(documents: DocumentStore, id: string, claim: Claim): Promise<CheckpointKeeper> {
    const document = await find(documents, id);
    const before = readCheckpoint(document);
    if (before !== null && before.fence > claim.fence) throw new FencedOff(`a newer lease runs '${id}'`);
    const current = { position: before?.position ?? null, events: before?.events ?? 0, parked: null, ...claim };
    const keeper = new CheckpointKeeper(documents, id, current, document?.position ?? null);
    await keeper.save();
    return keeper;
  }

  private constructor(documents: DocumentStore, id: string, current: Checkpoint, stored: Position | null) {
    this.#documents = documents;
    this.id = id;
    this.#current = current;
    this.#stored = stored;
  }

  /** Never ahead of the documents. */
  get current(): Checkpoint {
    return this.#current;
  }

  get unsaved(): boolean {
    return this.#unsaved;
  }

  /** Moves it forward, with so many events handled on the way. A step that it has taken already is no step. */
  advance(to: Position | null, events: number): void {
    const { position } = this.#current;
    if (laterPosition(position, to) === position) return;
    this.#current = this.#after(to, events);
    this.#unsaved = true;
  }

  async park(parked: Parked): Promise<void> {
    this.#current = { ...this.#current, parked };
    this.#unsaved = true;
    await this.save();
  }

  /** The write that stores it as it will be after a step. Once that is done, `written` is called with the same. */
  writeOf(to: Position | null, events: number): Write {
    return checkpointWrite(this.id, this.#after(to, events), this.#stored);
  }

  written(to: Position | null, events: number): void {
    this.#current = this.#after(to, events);
    this.#stored = checkpointPosition(this.#current);
    this.#unsaved = false;
  }

  /** Stores it as it is. */
  async save(): Promise<void> {
    if (!this.#unsaved) return;
    const { rejected } = await this.#documents.apply({ writes: [], last: this.writeOf(this.#current.position, 0) });
    if (rejected.length === 0) this.written(this.#current.position, 0);
    else await this.#reclaim();
  }

  /** What is stored is not what this runner knows of: its own all the same, if the answer got lost, or another runner's. */
  async #reclaim(): Promise<void> {
    const document = await find(this.#documents, this.id);
    const stored = readCheckpoint(document);
    const isOwn = stored?.writer === this.#current.writer && stored.fence === this.#current.fence;
    if (document === undefined || !isOwn || document.position === this.#stored) {
      throw new FencedOff(`another runner has the checkpoint of '${this.id}'`);
    }
    this.#stored = document.position;
    await this.save();
  }

  #after(to: Position | null, events: number): Checkpoint {
    return {
      ...this.#current,
      position: laterPosition(this.#current.position, to),
      events: this.#current.events + events,
    };
  }
}

async function find(documents: DocumentStore, id: string): Promise<StoredDocument | undefined> {
  return (await documents.getMany(CHECKPOINTS.name, [id])).get(id);
}
