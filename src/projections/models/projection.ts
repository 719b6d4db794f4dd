import type { Event, RecordedEvent } from '../../kernel/event.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { CollectionDefinition } from '../../ports/documents.ts';

/** A document of a projection: in which of its collections, under which id. */
export type DocumentRef = Readonly<{
  collection: string;
  id: string;
  /** By the rules of the log, this event is the document's first: it is not looked up before it is written. A wrong guess costs time, never truth. */
  fresh?: boolean;
}>;

/**
 * A read model as a pure function of the log. Which documents an event touches follows from the event alone, and each document is folded
 * on its own, so that batches of any size, a replay, and a second runner all end with the same documents.
 */
export type Projection = Readonly<{
  /** Durable, never changes: it names the checkpoint. At most 30 letters, digits and dashes. */
  name: string;
  /** Raised when `evolve` or the shape of the documents changes: it is then built anew beside the old one. */
  version: number;
  /** Names are short; the runner puts projection and generation in front. */
  collections: readonly CollectionDefinition[];
  /** Types of events that touch a document. Others are passed over. */
  handles: readonly string[];
  /** The documents that an event touches; none twice. */
  touches(event: RecordedEvent): readonly DocumentRef[];
  /**
   * The document after the event; `undefined` stands for "there is none", before and after. Total: an event that does not concern the document, or comes when
   * there is none to change, gives back what it got. Returning the same object means that nothing changed.
   */
  evolve(ref: DocumentRef, body: JsonObject | undefined, event: RecordedEvent): JsonObject | undefined;
}>;

/** A projection written with the types of its events and documents; `handles` names all of these events. */
export type ProjectionOf<E extends Event, Body extends JsonObject> = Omit<
  Projection,
  'handles' | 'touches' | 'evolve'
> &
  Readonly<{
    handles: readonly E['type'][];
    touches(event: RecordedEvent<E>): readonly DocumentRef[];
    evolve(ref: DocumentRef, body: Body | undefined, event: RecordedEvent<E>): Body | undefined;
  }>;
