import { Type } from 'typebox';
import { type CommandsOf, closed, text, UserId } from './fields.ts';

const LinkId = Type.String();
const Time = Type.String();
const names = {
  username: Type.String({ minLength: 3, maxLength: 32, pattern: '^[\\p{L}\\p{N}._-]+$' }),
  firstname: Type.Union([text(1, 100), Type.Null()]),
  lastname: Type.Union([text(1, 100), Type.Null()]),
};

/** Commands of an account. */
export const userCommands = {
  /**
   * A registration with the address of this account: opens it, or replaces its names and link while it is pending, or warns its owner once it is
   * active. The address is reserved for the account already, the username under `usernameHolder`.
   */
  RegisterUser: closed({
    userId: UserId,
    email: Type.String({ maxLength: 254, format: 'email' }),
    ...names,
    usernameHolder: UserId,
    linkId: LinkId,
    linkExpiresAt: Time,
  }),
  /** Sets the password by a mailed link, and the names of the account. The caller has verified the link's token and reserved the username. */
  SetPassword: closed({ userId: UserId, linkId: LinkId, passwordHash: Type.String(), ...names }),
};

export type UserCommand = CommandsOf<typeof userCommands>;
