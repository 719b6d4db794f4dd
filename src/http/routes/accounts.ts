import { Type } from 'typebox';
import { user } from '../../aggregates/user/decider.ts';
import { closed, text } from '../../commands/fields.ts';
import { userCommands } from '../../commands/user.ts';
import { networkOf } from '../../identity/sign-in-throttle.ts';
import { Refusal } from '../../kernel/errors.ts';
import { accepted } from './accepted.ts';
import { charge } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { bodyTypes } from '../openapi.ts';
import type { RateLimits } from '../request/rate-limits.ts';
import { runCommand } from '../request/command-request.ts';
import { Accepted } from '../shapes/answers.ts';

const { email, username } = userCommands.RegisterUser.properties;

const Registration = Type.Object(
  { email, username, firstname: Type.Optional(text(1, 100)), lastname: Type.Optional(text(1, 100)) },
  {
    additionalProperties: false,
    examples: [{ email: 'ada@example.org', username: 'ada', firstname: 'Ada', lastname: 'Lovelace' }],
  },
);

/** What passwords are is said where they are checked. */
const Secret = Type.String({ format: 'text' });

const NewPassword = Type.Object(
  { token: Type.String(), password: Secret, confirmPassword: Secret },
  {
    additionalProperties: false,
    examples: [
      {
        token: 'what stands behind token= in the mailed link',
        password: 'a long sentence of yours',
        confirmPassword: 'a long sentence of yours',
      },
    ],
  },
);

/** Signing up, and setting the password by the link that is mailed. */
export function addAccountRoutes(app: App, deps: AppDeps, limits: RateLimits): void {
  const { identity } = deps;

  app.post(
    '/api/v1/users',
    {
      schema: {
        summary: 'Sign up',
        description:
          'Mails a link to set the password. An address that is in use gets the same answer, and its owner is told by mail.',
        tags: ['accounts'],
        consumes: bodyTypes,
        body: Registration,
        response: { 202: Accepted },
      },
      config: { problems: ['username-taken'] },
    },
    async (request, reply) => {
      charge(limits.registration, networkOf(request.ip));
      const { email, username, firstname = null, lastname = null } = request.body;
      const target = { aggregate: user, id: (ids: { objectId(name: string): string }) => ids.objectId('user') };
      // Two strangers may think of the same key: it counts together with the address.
      const { userId, position } = await runCommand(deps, request, { owner: email.toLowerCase(), target }, (context) =>
        identity.register({ email, username, firstname, lastname }, context),
      );
      return accepted(reply, { _id: userId, position }, `/api/v1/users/${userId}`);
    },
  );

  app.get(
    '/api/v1/password-tokens/:token',
    {
      schema: {
        summary: 'Whether a mailed link is still good',
        tags: ['accounts'],
        params: closed({ token: Type.String() }),
        response: { 204: Type.Null({ description: 'It is' }) },
      },
      config: { problems: ['invalid-link'] },
    },
    async (request, reply) => {
      await identity.checkPasswordLink(request.params.token);
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/api/v1/passwords',
    {
      schema: {
        summary: 'Set the password by a mailed link',
        description: 'Confirms the address and activates the account. 8 to 128 characters, not a common password.',
        tags: ['accounts'],
        consumes: bodyTypes,
        body: NewPassword,
        response: { 202: Accepted },
      },
      config: { problems: ['invalid-link'] },
    },
    async (request, reply) => {
      const owner = identity.userOfPasswordLink(request.body.token);
      if (owner === null) throw new Refusal('invalid-link', 'this link is wrong, was used or replaced, or has expired');
      const target = { aggregate: user, id: () => owner };
      const { userId, position } = await runCommand(deps, request, { owner, target }, (context) =>
        identity.setPassword(request.body, context),
      );
      return accepted(reply, { _id: userId, position }, '/api/v1/users/me');
    },
  );
}
