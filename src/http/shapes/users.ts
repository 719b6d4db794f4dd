import { type Static, Type } from 'typebox';
import type { SignedIn } from '../../identity/identity.ts';
import type { OwnProfile, Profile } from '../../identity/profile.ts';
import { Id, nullable, PositionShape, Time } from './common.ts';

/** Names are `null` once the user was erased. */
const user = {
  _id: Id,
  username: nullable(Type.String({ examples: ['ada'] })),
  firstname: nullable(Type.String({ examples: ['Ada'] })),
  lastname: nullable(Type.String({ examples: ['Lovelace'] })),
  displayName: nullable(Type.String({ examples: ['Ada Lovelace'] })),
  online: nullable(Type.Boolean({ description: 'null unless you share a conversation' })),
  lastSeenAt: nullable(Time),
};

/** A user as others see them (spec, section 9). */
export const UserShape = Type.Object(user, { description: 'A user as others see them' });

/** A user as they see themselves. */
export const OwnUserShape = Type.Object(
  {
    ...user,
    email: nullable(Type.String({ examples: ['ada@example.org'] })),
    roles: Type.Array(Type.String()),
    createdAt: Time,
  },
  { description: 'A user as they see themselves' },
);

/** The response to a sign-in or a refresh. */
export const SessionShape = Type.Object(
  {
    accessToken: Type.String({ description: 'For `Authorization: Bearer`' }),
    refreshToken: Type.String({ description: 'For one refresh' }),
    tokenType: Type.Literal('Bearer'),
    expiresIn: Type.Integer({ description: 'Lifetime of the access token in seconds', examples: [600] }),
    user: OwnUserShape,
    position: PositionShape,
  },
  { description: 'Signed in' },
);

export function toUser({ _id, username, firstname, lastname, displayName }: Profile): Static<typeof UserShape> {
  return { _id, username, firstname, lastname, displayName, online: null, lastSeenAt: null };
}

export function toOwnUser(profile: OwnProfile): Static<typeof OwnUserShape> {
  const { email, roles, createdAt } = profile;
  return { ...toUser(profile), email, roles: [...roles], createdAt };
}

export function toSession({
  accessToken,
  refreshToken,
  tokenType,
  expiresIn,
  user,
  position,
}: SignedIn): Static<typeof SessionShape> {
  return { accessToken, refreshToken, tokenType, expiresIn, user: toOwnUser(user), position };
}
