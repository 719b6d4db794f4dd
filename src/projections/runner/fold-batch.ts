import type { RecordedEvent } from '../../kernel/event.ts';
import { type JsonObject, jsonSize } from '../../kernel/json.ts';
import type { Position } from '../../kernel/position.ts';
import type { DocumentRef, Projection } from '../models/projection.ts';

/** A document as it is stored, and the position it was written for. */
export type DocumentVersion = Readonly<{ position: Position; body: JsonObject }>;

/** Where a fold finds the documents that it touches. */
export type DocumentSource = Readonly<{
  /** What is in memory. */
  known(ref: DocumentRef): DocumentVersion | undefined;
  load(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, DocumentVersion>>;
  /** Whether `fresh` documents are taken as absent without being read. */
  trustFresh: boolean;
}>;

/** One document in a fold. */
export type PendingDocument = Readonly<{
  ref: DocumentRef;
  /** As it was loaded; its write is guarded by that. */
  loaded: DocumentVersion | undefined;
  body: JsonObject | undefined;
  /** Of the last event that changed it, otherwise as loaded. */
  position: Position | null;
  /** Also when it was created and deleted. */
  changed: boolean;
  /** Characters that events added, roughly. */
  grown: number;
  /** It was read or touched again, so it is worth caching; a document that was only created often is not. */
  wanted: boolean;
}>;

/** An event that its projection cannot fold. */
export type Poison = Readonly<{ event: RecordedEvent; error: unknown }>;

/** `consumed`: events folded by this call, from the first; fewer than were given when the fold is full, or before a poison event. */
export type Folded = Readonly<{ consumed: number; poison: Poison | null }>;

/** Documents that a fold holds at most; one event may touch more by itself. */
const DOCUMENTS_MAX = 8_192;
/** Characters that a fold may collect before it has to be written, roughly. */
const GROWTH_MAX = 16 * 1024 * 1024;

type Mutable = { -readonly [Key in keyof PendingDocument]: PendingDocument[Key] };
type Step = Readonly<{ event: RecordedEvent; refs: readonly DocumentRef[]; documents: readonly Mutable[] }>;

/**
 * Folds events into the documents they touch, each read once and changed in memory only, until its owner writes them. Events at or before a
 * document's own position are ignored for it, so that a replay changes nothing.
 */
export class BatchFold {
  readonly #projection: Projection;
  readonly #source: DocumentSource;
  readonly #byCollection: ReadonlyMap<string, Map<string, Mutable>>;
  readonly #documents: Mutable[] = [];
  #unknown: Mutable[] = [];
  readonly #events: RecordedEvent[] = [];
  #growth = 0;

  constructor(projection: Projection, source: DocumentSource) {
    this.#projection = projection;
    this.#source = source;
    this.#byCollection = new Map(projection.collections.map(({ name }) => [name, new Map<string, Mutable>()]));
  }

  get documents(): readonly PendingDocument[] {
    return this.#documents;
  }

  /** All that was folded, in order. */
  get events(): readonly RecordedEvent[] {
    return this.#events;
  }

  /** Whether it has to be written before it can take more. */
  get isFull(): boolean {
    return this.#documents.length >= DOCUMENTS_MAX || this.#growth >= GROWTH_MAX;
  }

  /**
   * Folds further events. One for which `touches` or `evolve` throws changes nothing, and those after it are not folded.
   * Throws what `source.load` throws; then nothing was folded, and it may be called again. `further`: documents that the only event touches too.
   */
  async add(events: readonly RecordedEvent[], further: readonly DocumentRef[] = []): Promise<Folded> {
    const { steps, poison } = this.#plan(events, further);
    await this.#loadUnknown();
    for (const [index, step] of steps.entries()) {
      try {
        this.#evolve(step);
      } catch (error) {
        return { consumed: index, poison: { event: step.event, error } };
      }
      this.#events.push(step.event);
    }
    return { consumed: steps.length, poison };
  }

  #plan(
    events: readonly RecordedEvent[],
    further: readonly DocumentRef[],
  ): { steps: readonly Step[]; poison: Poison | null } {
    const steps: Step[] = [];
    for (const event of events) {
      if (steps.length > 0 && this.isFull) break;
      try {
        const refs = [...this.#projection.touches(event), ...further];
        steps.push({ event, refs, documents: refs.map((ref) => this.#find(ref)) });
      } catch (error) {
        return { steps, poison: { event, error } };
      }
    }
    return { steps, poison: null };
  }

  #find(ref: DocumentRef): Mutable {
    const documents = this.#byCollection.get(ref.collection);
    if (documents === undefined) throw new Error(`no collection '${ref.collection}' in '${this.#projection.name}'`);
    const before = documents.get(ref.id);
    if (before !== undefined) {
      before.wanted = true;
      return before;
    }
    const current = this.#source.known(ref);
    const isKnown = current !== undefined || (this.#source.trustFresh && ref.fresh === true);
    const document: Mutable = {
      ref,
      loaded: current,
      body: current?.body,
      position: current?.position ?? null,
      changed: false,
      grown: 0,
      wanted: !isKnown || current !== undefined,
    };
    documents.set(ref.id, document);
    this.#documents.push(document);
    if (!isKnown) this.#unknown.push(document);
    return document;
  }

  async #loadUnknown(): Promise<void> {
    if (this.#unknown.length === 0) return;
    for (const { name } of this.#projection.collections) {
      const documents = this.#unknown.filter(({ ref }) => ref.collection === name);
      if (documents.length === 0) continue;
      const ids = documents.map(({ ref }) => ref.id);
      const found = await this.#source.load(name, ids);
      for (const document of documents) {
        const current = found.get(document.ref.id);
        document.loaded = current;
        document.body = current?.body;
        document.position = current?.position ?? null;
      }
    }
    this.#unknown = [];
  }

  /** All documents of an event, or none. */
  #evolve({ event, refs, documents }: Step): void {
    const bodies = refs.map((ref, i) => {
      const document = documents[i];
      const isNews = document !== undefined && (document.position === null || event.position > document.position);
      return isNews ? this.#projection.evolve(ref, document.body, event) : document?.body;
    });
    for (const [i, document] of documents.entries()) {
      const body = bodies[i];
      if (body === document.body) continue;
      const growth = jsonSize(event.data);
      document.body = body;
      document.position = event.position;
      document.changed = true;
      document.grown += growth;
      this.#growth += growth;
    }
  }
}
