import { Type } from 'typebox';
import { type CommandsOf, closed, text, UserId } from './fields.ts';

const LinkId = Type.String();
const Time = Type.String();

/** What may be asked of an account. */
export const userCommands = {
  /** A new account, by somebody whose address and username are reserved for it. */
  RegisterUser: closed({
    userId: UserId,
    email: Type.String({ maxLength: 254, format: 'email' }),
    username: Type.String({ minLength: 3, maxLength: 32, pattern: '^[\\p{L}\\p{N}._-]+$' }),
    firstname: Type.Union([text(1, 100), Type.Null()]),
    lastname: Type.Union([text(1, 100), Type.Null()]),
    linkId: LinkId,
    linkExpiresAt: Time,
  }),
  /** Somebody registers again with the address of this account: a new link while it is not active, a warning to its owner when it is. */
  RepeatRegistration: closed({ userId: UserId, linkId: LinkId, linkExpiresAt: Time }),
  /** Sets the password by a mailed link, whose token the caller has verified. */
  SetPassword: closed({ userId: UserId, linkId: LinkId, passwordHash: Type.String() }),
};

export type UserCommand = CommandsOf<typeof userCommands>;
