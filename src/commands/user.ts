import { Type } from 'typebox';
import { LANGUAGES } from '../kernel/language.ts';
import { type CommandsOf, closed, text, UserId } from './fields.ts';

const LinkId = Type.String();
const Time = Type.String();
/** The language of the request, in which its link is mailed. */
const MailLanguage = Type.Enum([...LANGUAGES]);

/** Commands of an account. */
export const userCommands = {
  /** Opens an account. The address and the username are reserved for it already. */
  RegisterUser: closed({
    userId: UserId,
    email: Type.String({ maxLength: 254, format: 'email' }),
    username: Type.String({ minLength: 3, maxLength: 32, pattern: '^[\\p{L}\\p{N}._-]+$' }),
    firstname: Type.Union([text(1, 100), Type.Null()]),
    lastname: Type.Union([text(1, 100), Type.Null()]),
    linkId: LinkId,
    linkExpiresAt: Time,
    language: MailLanguage,
  }),
  /** A further registration with the address of this account: a new link while the account is pending, a warning to its owner once it is active. */
  RepeatRegistration: closed({ userId: UserId, linkId: LinkId, linkExpiresAt: Time, language: MailLanguage }),
  /** Sets the password by a mailed link. The caller has verified the link's token. */
  SetPassword: closed({ userId: UserId, linkId: LinkId, passwordHash: Type.String() }),
};

export type UserCommand = CommandsOf<typeof userCommands>;
