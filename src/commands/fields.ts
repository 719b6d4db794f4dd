import { type Static, type TObject, Type } from 'typebox';
import type { Command } from '../kernel/command.ts';
import { OBJECT_ID, UUID } from '../kernel/ids.ts';

export { closed } from '../aggregates/event-spec.ts';

/** Schemas of fields that several commands and their routes share. */
export const UserId = Type.String({ pattern: OBJECT_ID.source, description: '24 hex digits' });
export const ConversationId = Type.String({ pattern: OBJECT_ID.source, description: '24 hex digits' });
export const MessageId = Type.String({
  pattern: UUID.source,
  description: 'a UUID in lower case',
});
/** Made by a client. Its time makes it cheap to show that a conversation has no message with this id (spec, section 4); it need not be right. */
export const ClientMessageId = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
  description: 'a UUIDv7 in lower case',
});
export const SessionId = MessageId;

/** Text entered by a user: `format: text` rejects lone surrogates (`String.prototype.isWellFormed`). */
export const text = (minLength: number, maxLength: number) => Type.String({ minLength, maxLength, format: 'text' });

/** A name that others see, in one line; see `nameError`. */
export const visibleName = (maxLength: number) => Type.String({ minLength: 1, maxLength, format: 'name' });

/** The content of a message; see `contentError`. */
export const visibleContent = (maxLength: number) => Type.String({ minLength: 1, maxLength, format: 'content' });

/** The union of commands that a table of schemas describes, type by type. */
export type CommandsOf<Schemas extends Record<string, TObject>> = {
  [Name in keyof Schemas & string]: Command<Name, Static<Schemas[Name]>>;
}[keyof Schemas & string];
