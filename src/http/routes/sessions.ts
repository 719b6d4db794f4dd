import { Type } from 'typebox';
import { sessions } from '../../aggregates/sessions/decider.ts';
import { text } from '../../commands/fields.ts';
import { accepted } from './accepted.ts';
import { principalOf } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { bodyTypes } from '../openapi.ts';
import { contextOf, runCommand } from '../request/command-request.ts';
import { Accepted } from '../shapes/answers.ts';
import { SessionShape } from '../shapes/users.ts';

const Credentials = Type.Object(
  { email: text(0, 254), password: text(0, 1_024) },
  {
    additionalProperties: false,
    examples: [{ email: 'ada@example.org', password: 'a long sentence of yours' }],
  },
);

const Refresh = Type.Object(
  { refreshToken: Type.String() },
  { additionalProperties: false, examples: [{ refreshToken: 'the one that came with the access token' }] },
);

/** Signing in and staying signed in. */
export function addSessionRoutes(app: App, { identity, clock }: Pick<AppDeps, 'identity' | 'clock'>): void {
  app.post(
    '/api/v1/sessions',
    {
      schema: {
        summary: 'Sign in',
        tags: ['sessions'],
        consumes: bodyTypes,
        body: Credentials,
        response: { 200: SessionShape },
      },
      config: { problems: ['unauthenticated'] },
    },
    async (request) => {
      const { email, password } = request.body;
      const userAgent = request.headers['user-agent']?.slice(0, 256) ?? null;
      const credentials = { email, password, userAgent, address: request.ip };
      return shown(await identity.signIn(credentials, contextOf(request, clock)));
    },
  );

  app.post(
    '/api/v1/sessions/refresh',
    {
      schema: {
        summary: 'Get the next tokens of a session',
        tags: ['sessions'],
        consumes: bodyTypes,
        body: Refresh,
        response: { 200: SessionShape },
      },
      config: { problems: ['unauthenticated'] },
    },
    async (request) => shown(await identity.refresh(request.body.refreshToken, contextOf(request, clock))),
  );
}

/** A copy that the schema's type, whose lists may be written to, takes. */
function shown<Session extends { user: { roles: readonly string[] } }>(session: Session) {
  return { ...session, user: { ...session.user, roles: [...session.user.roles] } };
}

/** Signing out. */
export function addSignOutRoute(app: App, deps: AppDeps): void {
  app.delete(
    '/api/v1/sessions/current',
    { schema: { summary: 'Sign out', tags: ['sessions'], response: { 202: Accepted } } },
    async (request, reply) => {
      const principal = principalOf(request);
      const { userId, sessionId } = principal;
      const target = { aggregate: sessions, id: () => userId };
      const { position } = await runCommand(deps, request, { owner: userId, target }, (context) =>
        deps.identity.signOut(principal, context),
      );
      return accepted(reply, { _id: sessionId, position }, '/api/v1/users/me');
    },
  );
}
