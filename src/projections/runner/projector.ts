import { isStoreError } from '../../kernel/errors.ts';
import type { RecordedEvent } from '../../kernel/event.ts';
import type { Logger } from '../../kernel/logger.ts';
import { hasReached, type Position } from '../../kernel/position.ts';
import { anchorOf } from '../../log/anchor.ts';
import { type Checkpoint, CheckpointWriter, type Parked } from '../../log/checkpoint.ts';
import type { EventLog } from '../../log/event-log.ts';
import { FencedOff } from '../../log/lease.ts';
import type { Clock } from '../../ports/clock.ts';
import type { DocumentStore } from '../../ports/documents.ts';
import type { DocumentQuery, DocumentRef, Projection } from '../models/projection.ts';
import { createDocumentCache, type DocumentCache } from './document-cache.ts';
import { BatchFold, type Folded, type Poison } from './fold-batch.ts';
import { GenerationDocuments } from './generation-documents.ts';
import { checkpointId } from './generations.ts';

/** A lagging projector collects so many events, for so long at most (ms), before it writes: a document touched often among them is written once. */
const COLLECT_EVENTS = 32_768;
const COLLECT_MS = 1_000;

export type ProjectorOptions = Readonly<{
  log: Pick<EventLog, 'erasingTypes'>;
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  projection: Projection;
  generation: number;
  /** Of the lease, and the name under which this node writes. */
  fence: number;
  writer: string;
}>;

/**
 * Folds the log into one generation of one projection. Its owner hands over the log in order, from after `taken`, one call at a time.
 * Methods throw `FencedOff` when another node writes it, and what the documents store throws; then nothing is lost by calling again.
 */
export class Projector {
  readonly projection: Projection;
  readonly generation: number;
  readonly id: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #handles: ReadonlySet<string>;
  readonly #erasingTypes: ReadonlySet<string>;
  readonly #documents: GenerationDocuments;
  readonly #cache: DocumentCache;
  readonly #checkpoint: CheckpointWriter;
  #fold: BatchFold;
  /** Everything up to here is in the documents or in the fold. */
  #taken: Checkpoint;
  /** When the fold got its first event. */
  #foldedSince = 0;
  /** A person was erased since the store was last purged, and what is left of the text in its files has to go. */
  #isPurgeDue = false;

  /** Takes over the checkpoint under this lease. */
  static async open(options: ProjectorOptions): Promise<Projector> {
    const { documents, projection, generation, fence, writer } = options;
    const id = checkpointId(projection.name, generation);
    return new Projector(options, await CheckpointWriter.open(documents, id, { fence, writer }));
  }

  private constructor(options: ProjectorOptions, checkpoint: CheckpointWriter) {
    const { documents, clock, logger, projection, generation } = options;
    this.projection = projection;
    this.generation = generation;
    this.id = checkpoint.id;
    this.#clock = clock;
    this.#logger = logger;
    this.#handles = new Set(projection.handles);
    this.#erasingTypes = options.log.erasingTypes;
    this.#documents = new GenerationDocuments(documents, projection.name, generation);
    this.#cache = createDocumentCache(projection.collections.map(({ name }) => name));
    this.#checkpoint = checkpoint;
    this.#taken = checkpoint.current;
    this.#fold = this.#newFold();
  }

  /** Everything up to here is in the store. */
  get position(): Position | null {
    return this.#checkpoint.current.position;
  }

  /** Everything up to here was taken, and is not taken again. */
  get taken(): Checkpoint {
    return this.#taken;
  }

  /** Events handled since the generation began. */
  get events(): number {
    return this.#checkpoint.current.events;
  }

  get parked(): Parked | null {
    return this.#checkpoint.current.parked;
  }

  /** Whether an erasure was written, and the store has to be purged by the owner, for all projectors of the store at once. */
  get isPurgeDue(): boolean {
    return this.#isPurgeDue;
  }

  /** The store was purged after everything that was taken. */
  purged(): void {
    this.#isPurgeDue = false;
  }

  /** Whether the stored checkpoint lags. */
  get unsaved(): boolean {
    return this.#checkpoint.unsaved;
  }

  /**
   * Takes the next part of the log, everything up to `upTo`. With `isLast`, nothing more has come, and it is written at once; otherwise when
   * enough has been collected. A poison event parks the projection at the event before it; a parked one takes nothing.
   */
  async take(batch: readonly RecordedEvent[], upTo: Checkpoint, isLast: boolean): Promise<void> {
    let rest = batch.filter(
      (event) => this.#handles.has(event.type) && !hasReached(this.#taken.position, event.position),
    );
    while (this.parked === null && rest.length > 0) {
      const firstWithQueries = rest.findIndex((event) => this.#hasQueries(event));
      const consumed = await (firstWithQueries === 0
        ? this.#takeWithQueries(rest[0])
        : this.#collect(rest.slice(0, firstWithQueries === -1 ? undefined : firstWithQueries)));
      rest = rest.slice(consumed);
    }
    if (this.parked !== null) return;
    const { position } = upTo;
    if (position !== null && !hasReached(this.#taken.position, position)) this.#taken = upTo;
    if (batch.some(({ type }) => this.#erasingTypes.has(type))) this.#isPurgeDue = true;
    if (this.#isPurgeDue || isLast || this.#isDue()) await this.flush();
  }

  /** Writes what was taken. */
  async flush(): Promise<void> {
    if (this.parked !== null) return;
    if (this.#fold.events.length > 0) {
      await this.#write(this.#fold).catch((error: unknown) => this.#refused(error));
      this.#fold = this.#newFold();
    }
    if (this.parked !== null) return;
    this.#checkpoint.advance(this.#taken, 0);
  }

  /** Stores the checkpoint. */
  save(): Promise<void> {
    return this.#checkpoint.save();
  }

  /** Folds as many as there is room for; writes when the fold is full. Returns how many were taken. */
  async #collect(events: readonly RecordedEvent[]): Promise<number> {
    if (this.#fold.events.length === 0) this.#foldedSince = this.#clock.monotonic();
    const { consumed, poison } = await this.#fold.add(events);
    this.#hasTaken(events[consumed - 1]);
    if (poison !== null || consumed < events.length) await this.flush();
    if (poison !== null && this.parked === null) await this.#park(poison);
    return consumed;
  }

  /** Takes an event that touches documents which have to be searched. May be repeated after a failure in the middle. */
  async #takeWithQueries(event: RecordedEvent | undefined): Promise<number> {
    if (event === undefined) return 0;
    await this.flush();
    if (this.parked !== null) return 0;
    this.#cache.clear();
    const poison = await this.#foldWithQueries(event);
    if (poison === null) {
      this.#hasTaken(event);
      this.#checkpoint.advance(this.#taken, 1);
    } else {
      await this.#park(poison);
    }
    return 1;
  }

  /** Folds an event into the documents that it names, and then into those that it searches: page by page, each written before the next. */
  async #foldWithQueries(event: RecordedEvent): Promise<Poison | null> {
    let queries: readonly DocumentQuery[];
    try {
      queries = this.projection.finds?.(event) ?? [];
    } catch (error) {
      return { event, error };
    }
    try {
      let { poison } = await this.#foldFromStore([event]);
      for (const query of queries) {
        for await (const refs of this.#documents.find(query)) {
          if (poison !== null) return poison;
          ({ poison } = await this.#foldFromStore([event], refs));
          await this.#clock.nextTurn();
        }
      }
      return poison;
    } catch (error) {
      if (!isStoreError(error, 'INVALID')) throw error;
      return { event, error };
    }
  }

  #hasQueries(event: RecordedEvent): boolean {
    try {
      return (this.projection.finds?.(event).length ?? 0) > 0;
    } catch {
      // Then `#foldWithQueries` reports what is wrong with the event.
      return true;
    }
  }

  #hasTaken(event: RecordedEvent | undefined): void {
    if (event === undefined) return;
    this.#taken = { position: event.position, anchor: anchorOf(event) };
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

  /** Some documents were not as they were taken to be: this is a replay over what is there already, or another node writes too. */
  async #writeAgain(events: readonly RecordedEvent[]): Promise<void> {
    this.#cache.clear();
    const poison = await this.#refold(events);
    if (poison !== null) await this.#park(poison);
    else this.#checkpoint.advance(this.#taken, 0);
    await this.save();
  }

  /** When the store refuses a document, folding the events one by one shows which of them made it. */
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

  /** Folds events once more, from the store alone, and moves the checkpoint with what was written. */
  async #refold(events: readonly RecordedEvent[]): Promise<Poison | null> {
    let rest = events;
    while (rest.length > 0) {
      const { consumed, poison } = await this.#foldFromStore(rest);
      const last = rest[consumed - 1];
      if (last !== undefined) {
        this.#checkpoint.advance({ position: last.position, anchor: anchorOf(last) }, consumed);
      }
      if (poison !== null) return poison;
      rest = rest.slice(consumed);
    }
    return null;
  }

  /**
   * Folds without the cache, and writes. What is then found absent is guarded by `older`: that is rejected only when something at least as new is
   * there, a tombstone most often, and then nothing is left to do.
   */
  async #foldFromStore(events: readonly RecordedEvent[], further: readonly DocumentRef[] = []): Promise<Folded> {
    const fold = new BatchFold(this.projection, this.#documents.source());
    const folded = await fold.add(events, further);
    const changed = fold.documents.filter((document) => document.changed);
    const lost = (await this.#documents.write(changed, 'older')).find(({ guard }) => guard !== 'older');
    if (lost !== undefined) throw new FencedOff(`document '${lost.id}' of '${this.id}' was changed by another node`);
    return folded;
  }

  async #park({ event, error }: Poison): Promise<void> {
    const message = (error instanceof Error ? error.message : String(error)).slice(0, 500);
    const parked: Parked = { position: event.position, type: event.type, message };
    this.#logger.error({ projection: this.id, ...parked, err: error }, 'a projection was parked by an event');
    await this.#checkpoint.park(parked);
  }

  #isDue(): boolean {
    const { events, isFull } = this.#fold;
    const enough = events.length === 0 || events.length >= COLLECT_EVENTS || isFull;
    return enough || this.#clock.monotonic() - this.#foldedSince >= COLLECT_MS;
  }

  #newFold(): BatchFold {
    return new BatchFold(this.projection, this.#documents.source(this.#cache));
  }
}
