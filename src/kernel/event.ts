import type { JsonObject } from './json.ts';
import type { Position } from './position.ts';

/** A fact, named in the past tense. `type` is stored, and never changes its meaning. */
export type Event<Type extends string = string, Data extends JsonObject = JsonObject> = Readonly<{
  type: Type;
  data: Data;
}>;

/** Who and what caused an event; stored with it. */
export type EventMetadata = Readonly<{
  /** Id of the user who acted; `null` for the system itself. */
  actor: string | null;
  /** Shared by everything that one request caused, including its log lines. */
  correlationId: string;
  /** Id of the event that a reaction responded to; `null` for a command of a user. */
  causationId: string | null;
  /** Id of the command that resulted in the event. */
  commandId: string;
}>;

/** An event that is to be appended. */
export type NewEvent = Event &
  Readonly<{
    /** UUID, see `eventId`. */
    id: string;
    metadata: EventMetadata;
  }>;

/** What the event log adds to the type and data of an event. */
export type Envelope = Readonly<{
  id: string;
  /** Version of the data's schema after upcasting: always the current one of its type. */
  schemaVersion: number;
  stream: string;
  /** Place in its stream, from 0, without gaps. */
  revision: bigint;
  /** Place in the whole log. */
  position: Position;
  /** When it was appended, ISO 8601 UTC with milliseconds. */
  recordedAt: string;
  metadata: EventMetadata;
}>;

/** An event as read from the event log. Distributes over unions, so that `type` narrows `data`. */
export type RecordedEvent<E extends Event = Event> = E extends Event ? E & Envelope : never;

/** The category of a stream: its name up to the first dash. */
export function categoryOf(stream: string): string {
  const dash = stream.indexOf('-');
  return dash === -1 ? stream : stream.slice(0, dash);
}

/** The id in a stream's name: everything after the first dash. */
export function idOf(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}
