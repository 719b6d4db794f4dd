import type { JsonObject } from './json.ts';
import type { Position } from './position.ts';

/** A fact in the past tense. `type` is a literal that is stored and never changes its meaning. */
export type Event<Type extends string = string, Data extends JsonObject = JsonObject> = Readonly<{
  type: Type;
  data: Data;
}>;

/** Who and what led to an event; stored with it. */
export type EventMetadata = Readonly<{
  /** Id of the user who acted; `null` for the system itself. */
  actor: string | null;
  /** Ties together everything that one request caused; also in the logs. */
  correlationId: string;
  /** Id of the event that a reaction answered, or `null` for a command of a user. */
  causationId: string | null;
  /** Id of the command that decided the event. */
  commandId: string;
}>;

/** An event on its way to the store. */
export type NewEvent = Event &
  Readonly<{
    /** UUID, see `eventId`. */
    id: string;
    metadata: EventMetadata;
  }>;

/** What the store knows of an event beside its type and data. */
export type Envelope = Readonly<{
  id: string;
  /** Version of the data's schema after upcasting: always the current one of its type. */
  schemaVersion: number;
  stream: string;
  /** Place in its stream, from 0 without gaps. */
  revision: bigint;
  /** Place in the whole log. */
  position: Position;
  /** When the store took it, ISO 8601 UTC with milliseconds. */
  recordedAt: string;
  metadata: EventMetadata;
}>;

/** An event as the store gives it back. Distributes over unions, so that `type` narrows `data`. */
export type RecordedEvent<E extends Event = Event> = E extends Event ? E & Envelope : never;

/** The category of a stream: the part of its name before the first dash. */
export function categoryOf(stream: string): string {
  const dash = stream.indexOf('-');
  return dash === -1 ? stream : stream.slice(0, dash);
}

/** The id within a stream's name: the part behind the first dash. */
export function idOf(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}
