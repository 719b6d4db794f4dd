import { Type } from 'typebox';
import { LANGUAGES } from '../kernel/language.ts';
import { type CommandsOf, closed, UserId, visibleName } from './fields.ts';

/** Characters of a first or last name. */
export const PERSON_NAME_MAX = 100;

const USERNAME =
  '3 to 32 letters with their marks, digits, dots, underscores and hyphens, beginning with a letter or digit; not a reserved name, and not a mix of scripts. Compared without case';

const LinkId = Type.String();
const Time = Type.String();
/** The language of the request, in which its link is mailed. */
const MailLanguage = Type.Enum([...LANGUAGES]);
const names = {
  username: Type.String({ format: 'username', description: USERNAME }),
  firstname: Type.Union([visibleName(PERSON_NAME_MAX), Type.Null()]),
  lastname: Type.Union([visibleName(PERSON_NAME_MAX), Type.Null()]),
};

/** Commands of an account. */
export const userCommands = {
  /**
   * A registration with the address of this account: opens it, or replaces its names and link while it is pending, or warns its owner once it is
   * active. The address is reserved for the account already, the username under `usernameHolder`.
   */
  RegisterUser: closed({
    userId: UserId,
    email: Type.String({ format: 'email' }),
    ...names,
    usernameHolder: UserId,
    linkId: LinkId,
    linkExpiresAt: Time,
    language: MailLanguage,
  }),
  /** Opens an account for a person whom an outside issuer has authenticated. The username is confirmed for it already. */
  ProvisionUser: closed({
    userId: UserId,
    issuer: Type.String(),
    subject: Type.String(),
    email: Type.Union([Type.String(), Type.Null()]),
    username: Type.String(),
    firstname: Type.Union([Type.String(), Type.Null()]),
    lastname: Type.Union([Type.String(), Type.Null()]),
  }),
  /** Sets the password by a mailed link, and the names of the account. The caller has verified the link's token and reserved the username. */
  SetPassword: closed({ userId: UserId, linkId: LinkId, passwordHash: Type.String(), ...names }),
  /** The owner wants the account erased. The caller has verified that it is the owner. */
  RequestErasure: closed({
    userId: UserId,
    /** The streams in which the account's names are reserved. */
    names: Type.Array(closed({ kind: Type.Enum(['username', 'address']), id: Type.String() }), { maxItems: 16 }),
  }),
  /** The personal key of the account was destroyed. */
  EraseUser: closed({ userId: UserId }),
};

export type UserCommand = CommandsOf<typeof userCommands>;
