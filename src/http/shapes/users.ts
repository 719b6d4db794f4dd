import { Type } from 'typebox';
import { Id, nullable, Time } from './answers.ts';

const user = {
  _id: Id,
  username: nullable(Type.String({ examples: ['ada'] })),
  firstname: nullable(Type.String({ examples: ['Ada'] })),
  lastname: nullable(Type.String({ examples: ['Lovelace'] })),
  displayName: nullable(Type.String({ examples: ['Ada Lovelace'] })),
  online: nullable(Type.Boolean({ description: 'null: not yours to know' })),
  lastSeenAt: nullable(Time),
};

/** A user as others see one. */
export const UserShape = Type.Object(user, { description: 'A user as others see one' });

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

/** The answer to a sign-in or a refresh. */
export const SessionShape = Type.Object(
  {
    accessToken: Type.String({ description: 'For `Authorization: Bearer`' }),
    refreshToken: Type.String({ description: 'Good for one refresh' }),
    tokenType: Type.Literal('Bearer'),
    expiresIn: Type.Integer({ description: "Seconds of the access token's life", examples: [600] }),
    user: OwnUserShape,
  },
  { description: 'Signed in' },
);
