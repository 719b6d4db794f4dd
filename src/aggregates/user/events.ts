import { Type } from 'typebox';
import { closed, type EventsOf, event, ObjectId, Time, Uuid } from '../event-spec.ts';

const Name = Type.Union([Type.String({ minLength: 1, maxLength: 100 }), Type.Null()]);

/** What happens to an account; stream `user-<userId>`. */
export const userEvents = {
  /** An account was created and is not usable yet: its owner has to set a password by the link that is mailed. */
  UserRegistered: event(
    {
      userId: ObjectId,
      email: Type.String({ maxLength: 254 }),
      username: Type.String({ minLength: 1, maxLength: 32 }),
      firstname: Name,
      lastname: Name,
      registeredAt: Time,
    },
    { personal: { email: 'userId', username: 'userId', firstname: 'userId', lastname: 'userId' } },
  ),
  /** The names of the account were replaced: by a later registration while it is pending, or by its owner. */
  ProfileChanged: event(
    {
      userId: ObjectId,
      username: Type.String({ minLength: 1, maxLength: 32 }),
      firstname: Name,
      lastname: Name,
      changedAt: Time,
    },
    { personal: { username: 'userId', firstname: 'userId', lastname: 'userId' } },
  ),
  /**
   * A link to set the password is to be mailed. The link's token is not here: it is derived from `linkId` by the server's secret.
   * `usernameHolder`: the id under which the username that the account had then is reserved. `language`: the tag
   * (BCP 47) of the language of the request for the link, and from then on of mails to this account; `null`: it stays as it was.
   */
  PasswordLinkIssued: event(
    {
      userId: ObjectId,
      linkId: Uuid,
      purpose: Type.Enum(['welcome']),
      usernameHolder: ObjectId,
      expiresAt: Time,
      language: Type.Union([Type.String({ minLength: 2, maxLength: 35 }), Type.Null()]),
    },
    {
      personal: { language: 'userId' },
      // Before, a later registration did not change the username, which the account itself had reserved.
      upcasters: [(data) => ({ ...data, usernameHolder: data.userId ?? null, language: null })],
    },
  ),
  /** Somebody tried to register with the address of this active account; its owner is informed by mail. */
  RegistrationRepeated: event({ userId: ObjectId, attemptedAt: Time }),
  /** A password was set by a link; that verifies the address and activates the account. `passwordHash` is an argon2id PHC string. */
  PasswordSet: event(
    { userId: ObjectId, linkId: Uuid, passwordHash: Type.String({ maxLength: 512 }), setAt: Time },
    { personal: { passwordHash: 'userId' } },
  ),
  /**
   * An account was created for a person whom an outside issuer has authenticated, at their first request. It is active and has no password. The id
   * derives from issuer and subject. `email`: only an address that the issuer has verified.
   */
  UserProvisioned: event(
    {
      userId: ObjectId,
      issuer: Type.String({ minLength: 1, maxLength: 2_048 }),
      subject: Type.String({ minLength: 1, maxLength: 255 }),
      email: Type.Union([Type.String({ maxLength: 254 }), Type.Null()]),
      username: Type.String({ minLength: 1, maxLength: 32 }),
      firstname: Name,
      lastname: Name,
      provisionedAt: Time,
    },
    {
      personal: {
        subject: 'userId',
        email: 'userId',
        username: 'userId',
        firstname: 'userId',
        lastname: 'userId',
      },
    },
  ),
  /**
   * The owner had the account erased: it cannot be used from here on, and what follows can be completed at any time. `names`: the ids of the streams in
   * which its username and address are reserved. They are written down before the key is destroyed, because nothing can be derived from the names after.
   */
  ErasureRequested: event({
    userId: ObjectId,
    names: Type.Array(
      closed({ kind: Type.Enum(['username', 'address']), id: Type.String({ pattern: '^[0-9a-f]{64}$' }) }),
      {
        maxItems: 16,
      },
    ),
    requestedAt: Time,
  }),
  /** The account is gone for good. The person's key was destroyed before, so that every personal field of theirs reads as `null`. */
  UserErased: event({ userId: ObjectId, erasedAt: Time }, { erases: 'userId' }),
};

export type UserEvent = EventsOf<typeof userEvents>;
