import type { Event, RecordedEvent } from '../../kernel/event.ts';
import type { JsonObject } from '../../kernel/json.ts';

/** What live clients are sent because of an event, and in which rooms: the same for everyone in them (spec, section 7). */
export type Notice = Readonly<{
  name: string;
  rooms: readonly string[];
  payload: JsonObject;
  personal?: PersonalPayload | undefined;
}>;

/** Text of a person in a payload, which must not outlive that person's erasure in the resume buffer. */
export type PersonalPayload = Readonly<{
  personId: string;
  /** The payload without the text. */
  redact(payload: JsonObject): JsonObject;
}>;

/** Users who enter or leave a room. */
export type RoomChange = Readonly<{ room: string; userIds: readonly string[] }>;

/** What push does with one type of event. */
export type LiveHandler<E extends Event> = Readonly<{
  /** In the order in which they are sent. */
  notices?(event: RecordedEvent<E>): readonly Notice[];
  /** Users who are in a room from this event on, and receive its notices. */
  enters?(event: RecordedEvent<E>): RoomChange;
  /** Users who are no longer in a room after this event's notices. */
  leaves?(event: RecordedEvent<E>): RoomChange;
  /** A room whose earlier frames must not be sent any more. */
  closes?(event: RecordedEvent<E>): string;
  /** A session whose connections end. */
  endsSession?(event: RecordedEvent<E>): Readonly<{ userId: string; sessionId: string }>;
  /** A person who was erased: their connections end, and their text leaves the resume buffer. */
  erases?(event: RecordedEvent<E>): string;
}>;

/** A handler for each type of event that push handles: its keys are the subscription's filter. */
export type LiveHandlers<E extends Event> = { readonly [Type in E['type']]?: LiveHandler<Extract<E, { type: Type }>> };

/** The room of the members of a conversation. */
export const conversationRoom = (conversationId: string): string => `conversation:${conversationId}`;

/** The room of one user's own connections. */
export const userRoom = (userId: string): string => `user:${userId}`;
