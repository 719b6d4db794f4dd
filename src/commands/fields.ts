import { type Static, type TObject, type TProperties, Type } from 'typebox';
import type { Command } from '../kernel/command.ts';

/** What fields of commands may hold, shared by the commands and the routes that take them. */
export const UserId = Type.String({ pattern: '^[0-9a-f]{24}$', description: '24 hex digits' });
export const ConversationId = Type.String({ pattern: '^[0-9a-f]{24}$', description: '24 hex digits' });
export const MessageId = Type.String({
  pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: 'a UUID in lower case',
});
/** Made by a client: its time lets a conversation tell a late repetition from a new message (spec, section 4). */
export const ClientMessageId = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
  description: 'a UUIDv7 in lower case',
});
export const SessionId = MessageId;

/** Text that a person wrote: `format: text` refuses lone surrogates (`String.prototype.isWellFormed`). */
export const text = (minLength: number, maxLength: number) => Type.String({ minLength, maxLength, format: 'text' });

/** An object without surplus fields. */
export const closed = <P extends TProperties>(properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false });

/** The union of commands that a table of schemas describes, type by type. */
export type CommandsOf<Schemas extends Record<string, TObject>> = {
  [Name in keyof Schemas & string]: Command<Name, Static<Schemas[Name]>>;
}[keyof Schemas & string];
