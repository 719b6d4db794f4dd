import { isStoreError } from '../../kernel/errors.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached, type Position } from '../../kernel/position.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import { checkpointId, type Parked } from './checkpoint.ts';
import { CheckpointKeeper } from './checkpoint-keeper.ts';
import { createDocumentCache, type DocumentCache } from './document-cache.ts';
import { FencedOff } from './fenced-off.ts';
import { BatchFold, type Poison } from './fold-batch.ts';
import { GenerationDocuments } from './generation-documents.ts';
import type { Projection } from '../models/projection.ts';

/** While a track is behind, it gathers so many events, for so long at most (ms), before it writes: what is touched often among them is written once. */
const GATHER_EVENTS = 32_768;
const GATHER_MS = 1_000;

export type TrackOptions = Readonly<{
  documents: DocumentStore;
  logger: Logger;
  projection: Projection;
  generation: number;
  /** Of the lease, and the name under which this runner writes. */
  fence: number;
  writer: string;
}>;

/**
 * One generation of one projection, as this node builds it. Its owner hands over the log in order, from behind `taken`, one call at a time.
 * Methods throw `FencedOff` when another runner is at it, and what the documents store throws; then nothing is lost by calling again.
 */
export class Track {
  readonly projection: Projection;
  readonly generation: number;
  readonly id: string;
  readonly #logger: Logger;
  readonly #handles: ReadonlySet<string>;
  readonly #documents: GenerationDocuments;
  readonly #cache: DocumentCache;
  readonly #checkpoint: CheckpointKeeper;
  #fold: BatchFold;
  /** Everything up to here is in the documents or in the fold. */
  #taken: Position | null;
  /** When the fold took its first event. */
  #foldedSince = 0;

  /** Takes over the checkpoint under this lease. */
  static async open(options: TrackOptions): Promise<Track> {
    const { documents, projection, generation, fence, writer } = options;
    const id = checkpointId(projection.name, generation);
    return new Track(options, await CheckpointKeeper.claim(documents, id, { fence, writer }));
  }

  private constructor({ documents, logger, projection, generation }: TrackOptions, checkpoint: CheckpointKeeper) {
    this.projection = projection;
    this.generation = generation;
    this.id = checkpoint.id;
    this.#logger = logger;
    this.#handles = new Set(projection.handles);
    this.#documents = new GenerationDocuments(documents, projection.name, generation);
    this.#cache = createDocumentCache(projection.collections.map(({ name }) => name));
    this.#checkpoint = checkpoint;
    this.#taken = checkpoint.current.position;
    this.#fold = this.#newFold();
  }

  /** Everything up to here is in the store. */
  get position(): Position | null {
    return this.#checkpoint.current.position;
  }

  /** Everything up to here was taken, and will not be taken again. */
  get taken(): Position | null {
    return this.#taken;
  }

  /** Events handled since the generation began. */
  get events(): number {
    return this.#checkpoint.current.events;
  }

  get parked(): Parked | null {
    return this.#checkpoint.current.parked;
  }

  /** Whether the stored checkpoint is behind. */
  get unsaved(): boolean {
    return this.#checkpoint.unsaved;
  }

  /**
   * Takes the next part of the log, everything up to `upTo`. With `isLast`, nothing more is there for now, and it is written at once; otherwise
   * when enough has come together. A poison event parks the projection at the event before it; a parked one takes nothing.
   */
  async take(batch: readonly RecordedEvent[], upTo: Position | null, isLast: boolean): Promise<void> {
    let rest = batch.filter((event) => this.#handles.has(event.type) && !hasReached(this.#taken, event.position));
    while (this.parked === null) {
      if (this.#fold.events.length === 0) this.#foldedSince = performance.now();
      const { consumed, poison } = await this.#fold.add(rest);
      this.#taken = rest[consumed - 1]?.position ?? this.#taken;
      rest = rest.slice(consumed);
      if (poison !== null) {
        await this.flush();
        return await this.#park(poison);
      }
      if (rest.length === 0) break;
      await this.flush();
    }
    if (this.parked !== null) return;
    if (upTo !== null && !hasReached(this.#taken, upTo)) this.#taken = upTo;
    if (isLast || this.#isDue()) await this.flush();
  }

  /** Writes what was taken. */
  async flush(): Promise<void> {
    if (this.parked !== null) return;
    if (this.#fold.events.length > 0) {
      await this.#write(this.#fold).catch((error: unknown) => this.#refused(error));
      this.#fold = this.#newFold();
    }
    if (this.parked === null) this.#checkpoint.advance(this.#taken, 0);
  }

  /** Stores the checkpoint. */
  save(): Promise<void> {
    return this.#checkpoint.save();
  }

  async #write({ documents, events }: BatchFold): Promise<void> {
    const changed = documents.filter((document) => document.changed);
    if (changed.length === 0) {
      this.#checkpoint.advance(this.#taken, events.length);
    } else {
      const last = this.#checkpoint.writeOf(this.#taken, events.length);
      const rejected = await this.#documents.write(changed, null, last);
      if (rejected.length > 0) return await this.#writeAgain(events);
      this.#checkpoint.written(this.#taken, events.length);
    }
    this.#cache.settle(documents);
  }

  /** Some documents were not as they were taken to be: this is a replay over what is there already, or there is another runner. */
  async #writeAgain(events: readonly RecordedEvent[]): Promise<void> {
    this.#cache.clear();
    const poison = await this.#refold(events);
    if (poison !== null) await this.#park(poison);
    else this.#checkpoint.advance(this.#taken, 0);
    await this.save();
  }

  /** Where the store does not take what came out, it shows which event it was when they come one by one. */
  async #refused(reason: unknown): Promise<void> {
    if (!isStoreError(reason, 'INVALID')) throw reason;
    this.#cache.clear();
    for (const event of this.#fold.events) {
      try {
        const poison = await this.#refold([event]);
        if (poison !== null) return await this.#park(poison);
      } catch (error) {
        if (!isStoreError(error, 'INVALID')) throw error;
        return await this.#park({ event, error });
      }
    }
  }

  /**
   * Folds once more, from the store alone, and writes. What is then found absent is guarded by `older`: that is rejected only for something at
   * least as new, a tombstone most often, and is then done with.
   */
  async #refold(events: readonly RecordedEvent[]): Promise<Poison | null> {
    let rest = events;
    while (rest.length > 0) {
      const fold = new BatchFold(this.projection, this.#documents.source());
      const { consumed, poison } = await fold.add(rest);
      const changed = fold.documents.filter((document) => document.changed);
      const lost = (await this.#documents.write(changed, 'older')).find(({ guard }) => guard !== 'older');
      if (lost !== undefined)
        throw new FencedOff(`document '${lost.id}' of '${this.id}' was changed by another runner`);
      this.#checkpoint.advance(rest[consumed - 1]?.position ?? null, consumed);
      if (poison !== null) return poison;
      rest = rest.slice(consumed);
    }
    return null;
  }

  async #park({ event, error }: Poison): Promise<void> {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, 500);
    const parked: Parked = { position: event.position, type: event.type, message };
    this.#logger.error({ projection: this.id, ...parked, err: error }, 'projection parked by an event');
    await this.#checkpoint.park(parked);
  }

  #isDue(): boolean {
    const { events, isFull } = this.#fold;
    const enough = events.length === 0 || events.length >= GATHER_EVENTS || isFull;
    return enough || performance.now() - this.#foldedSince >= GATHER_MS;
  }

  #newFold(): BatchFold {
    return new BatchFold(this.projection, this.#documents.source(this.#cache));
  }
}
