import { Type } from 'typebox';
import { closed, type EventsOf, ObjectId, Time, Uuid } from '../schema.ts';

const Name = Type.Union([Type.String({ minLength: 1, maxLength: 100 }), Type.Null()]);

/** What happens to an account; stream `user-<userId>`. */
export const userEvents = {
  /** An account came into being, not yet usable: its owner has still to set a password by the link that is mailed. */
  UserRegistered: closed({
    userId: ObjectId,
    email: Type.String({ maxLength: 254 }),
    username: Type.String({ minLength: 1, maxLength: 32 }),
    firstname: Name,
    lastname: Name,
    registeredAt: Time,
  }),
  /** A link to set the password is to be mailed. The link's token is not here: it is derived from `linkId` by the server's secret. */
  PasswordLinkIssued: closed({
    userId: ObjectId,
    linkId: Uuid,
    purpose: Type.Enum(['welcome']),
    expiresAt: Time,
  }),
  /** Somebody tried to register with the address of this active account; its owner is told by mail. */
  RegistrationRepeated: closed({ userId: ObjectId, attemptedAt: Time }),
  /** A password was set by a link; that verifies the address and activates the account. `passwordHash` is an argon2id PHC string. */
  PasswordSet: closed({
    userId: ObjectId,
    linkId: Uuid,
    passwordHash: Type.String({ maxLength: 512 }),
    setAt: Time,
  }),
};

export type UserEvent = EventsOf<typeof userEvents>;
