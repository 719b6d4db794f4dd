import type { Event, RecordedEvent } from '../../kernel/event.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Filter, Sort } from '../../kernel/query.ts';
import type { CollectionDefinition } from '../../ports/documents.ts';

/** A document of a projection: in which of its collections, under which id. */
export type DocumentRef = Readonly<{
  collection: string;
  id: string;
  /**
   * By the rules of the log, this event is the document's first: it is not looked up before it is written. A wrong guess costs time and changes no
   * result.
   */
  fresh?: boolean;
}>;

/** The documents of one collection that match. What `evolve` changes must leave their order as it is. */
export type DocumentQuery = Readonly<{ collection: string; filter: Filter; sort?: Sort }>;

/**
 * A read model as a pure function of the log. Which documents an event touches follows from the event, and each document is folded on its own, so
 * that batches of any size, a replay, and a second runner all end with the same documents.
 */
export type Projection = Readonly<{
  /** Must never change: it names the checkpoint. At most 30 letters, digits and dashes. */
  name: string;
  /** Raised when `evolve` or the shape of the documents changes: it is then rebuilt beside the old one. */
  version: number;
  /** Names are short; the runner prefixes them with projection and generation. */
  collections: readonly CollectionDefinition[];
  /** Types of events that touch a document. Others are ignored. */
  handles: readonly string[];
  /** The documents that an event touches; none twice. */
  touches(event: RecordedEvent): readonly DocumentRef[];
  /**
   * Queries for further documents that an event touches and cannot name, such as all that an erased person wrote. Everything before the event is
   * written before they are run, so this is for rare events only. `evolve` must return a new object for each document that matches, also when
   * nothing changes in it: then a rebuild, which reads the person's fields as `null` from the start, ends with the same documents.
   */
  finds?(event: RecordedEvent): readonly DocumentQuery[];
  /**
   * The document after the event; `undefined`, before and after, means that there is none. Total: for an event that does not concern the document,
   * or when there is none to change, it returns what it was given. Returning the same object means that nothing changed.
   */
  evolve(ref: DocumentRef, body: JsonObject | undefined, event: RecordedEvent): JsonObject | undefined;
}>;

/** How one document changes with one type of event. */
type Evolve<Body, E extends Event> = (
  body: Body | undefined,
  event: RecordedEvent<E>,
  ref: DocumentRef,
) => Body | undefined;

/** What a projection does with one type of event. */
export type EventHandler<Body extends JsonObject, E extends Event> = Readonly<{
  touches(event: RecordedEvent<E>): readonly DocumentRef[];
  finds?(event: RecordedEvent<E>): readonly DocumentQuery[];
  evolve: Evolve<Body, E>;
}>;

/** A handler for each type of event that a projection handles: its keys are the subscription's filter. */
export type EventHandlers<Body extends JsonObject, E extends Event> = {
  readonly [Type in E['type']]?: EventHandler<Body, Extract<E, { type: Type }>>;
};

/** Makes a projection from its table of handlers. */
export function defineProjection<Body extends JsonObject, E extends Event>(
  definition: Pick<Projection, 'name' | 'version' | 'collections'> & Readonly<{ on: EventHandlers<Body, E> }>,
): Projection {
  const { on, ...named } = definition;
  // A handler is called with events of its own type only, and with documents that it made itself.
  const handlers = new Map(Object.entries(on) as [string, EventHandler<Body, Event>][]);
  return {
    ...named,
    handles: [...handlers.keys()],
    touches: (event) => handlers.get(event.type)?.touches(event as RecordedEvent<Event>) ?? [],
    finds: (event) => handlers.get(event.type)?.finds?.(event as RecordedEvent<Event>) ?? [],
    evolve: (ref, body, event) => {
      const handler = handlers.get(event.type);
      return handler === undefined
        ? body
        : handler.evolve(body as Body | undefined, event as RecordedEvent<Event>, ref);
    },
  };
}
