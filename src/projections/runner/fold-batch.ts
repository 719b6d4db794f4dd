import type { RecordedEvent } from '../../kernel/event.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Position } from '../../kernel/position.ts';
import type { DocumentRef, Projection } from '../models/projection.ts';
import { weigh } from './weigh.ts';

/** A document as it is, and the position it stands for. */
export type Standing = Readonly<{ position: Position; body: JsonObject }>;

/** Where a fold finds the documents that it touches. */
export type DocumentSource = Readonly<{
  /** What is known without asking. */
  known(ref: DocumentRef): Standing | undefined;
  load(collection: string, ids: readonly string[]): Promise<ReadonlyMap<string, Standing>>;
  /** Whether `fresh` documents are taken as absent without looking. */
  trustFresh: boolean;
}>;

/** What became of one document. */
export type FoldedDocument = Readonly<{
  ref: DocumentRef;
  /** As it was before; its write is guarded by that. */
  loaded: Standing | undefined;
  body: JsonObject | undefined;
  /** Of the last event that changed it, otherwise as loaded. */
  position: Position | null;
  /** Also when it came and went. */
  changed: boolean;
  /** Characters that events brought, roughly. */
  grown: number;
  /** It was looked up or touched again, so it will be wanted again; what was only just created often is not. */
  wanted: boolean;
}>;

/** An event that its projection could not take. */
export type Poison = Readonly<{ event: RecordedEvent; error: unknown }>;

/** `consumed`: events folded now, from the first; fewer than were given when the fold is full, or behind them comes the poison. */
export type Folded = Readonly<{ consumed: number; poison: Poison | null }>;

/** Documents that a fold holds at most, save that one event may touch more by itself. */
const DOCUMENTS_MAX = 8_192;
/** Characters that a fold may gather before it has to be written, roughly. */
const GROWTH_MAX = 16 * 1024 * 1024;

type Folding = { -readonly [Key in keyof FoldedDocument]: FoldedDocument[Key] };
type Step = Readonly<{ event: RecordedEvent; refs: readonly DocumentRef[]; documents: readonly Folding[] }>;

/**
 * Folds events into the documents they touch, each looked up once and changed in memory only, until somebody writes them. Events at or below
 * a document's own position are passed over for it, so that a replay changes nothing.
 */
export class BatchFold {
  readonly #projection: Projection;
  readonly #source: DocumentSource;
  readonly #byCollection: ReadonlyMap<string, Map<string, Folding>>;
  readonly #documents: Folding[] = [];
  #unknown: Folding[] = [];
  readonly #events: RecordedEvent[] = [];
  #growth = 0;

  constructor(projection: Projection, source: DocumentSource) {
    this.#projection = projection;
    this.#source = source;
    this.#byCollection = new Map(projection.collections.map(({ name }) => [name, new Map<string, Folding>()]));
  }

  get documents(): readonly FoldedDocument[] {
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
   * Folds further events. One that `touches` or `evolve` throws for leaves no trace, and those behind it are not looked at.
   * Throws what `source.load` throws; then nothing was folded, and it may be called again.
   */
  async add(events: readonly RecordedEvent[]): Promise<Folded> {
    const { steps, poison } = this.#plan(events);
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

  #plan(events: readonly RecordedEvent[]): { steps: readonly Step[]; poison: Poison | null } {
    const steps: Step[] = [];
    for (const event of events) {
      if (steps.length > 0 && this.isFull) break;
      try {
        const refs = this.#projection.touches(event);
        steps.push({ event, refs, documents: refs.map((ref) => this.#find(ref)) });
      } catch (error) {
        return { steps, poison: { event, error } };
      }
    }
    return { steps, poison: null };
  }

  #find(ref: DocumentRef): Folding {
    const documents = this.#byCollection.get(ref.collection);
    if (documents === undefined) throw new Error(`no collection '${ref.collection}' in '${this.#projection.name}'`);
    const before = documents.get(ref.id);
    if (before !== undefined) {
      before.wanted = true;
      return before;
    }
    const standing = this.#source.known(ref);
    const isKnown = standing !== undefined || (this.#source.trustFresh && ref.fresh === true);
    const document: Folding = {
      ref,
      loaded: standing,
      body: standing?.body,
      position: standing?.position ?? null,
      changed: false,
      grown: 0,
      wanted: !isKnown || standing !== undefined,
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
        const standing = found.get(document.ref.id);
        document.loaded = standing;
        document.body = standing?.body;
        document.position = standing?.position ?? null;
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
      const growth = weigh(event.data);
      document.body = body;
      document.position = event.position;
      document.changed = true;
      document.grown += growth;
      this.#growth += growth;
    }
  }
}
