import { Type } from 'typebox';
import { text } from '../../commands/fields.ts';
import type { App, AppDeps } from '../deps.ts';
import { bodyTypes } from '../openapi.ts';
import { contextOf } from '../request/request-context.ts';
import { SessionShape, toSession } from '../shapes/users.ts';

const Credentials = Type.Object(
  { email: text(0, 254), password: text(0, 1_024) },
  { additionalProperties: false, examples: [{ email: 'ada@example.org', password: 'a long sentence of yours' }] },
);

const Refresh = Type.Object(
  { refreshToken: Type.String() },
  { additionalProperties: false, examples: [{ refreshToken: 'the one that came with the access token' }] },
);

/** Signing in and refreshing a session: commands that answer 200 with tokens, and take no `Idempotency-Key`. */
export function addSessionRoutes(app: App, deps: Pick<AppDeps, 'identity' | 'clock' | 'random'>): void {
  const { identity } = deps;

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
      return toSession(await identity.signIn(credentials, contextOf(request, deps)));
    },
  );

  app.post(
    '/api/v1/sessions/refresh',
    {
      schema: {
        summary: 'Refresh a session',
        description:
          'Returns the next pair of tokens. For 60 s after that, the refresh token before gets the current one. Presented later, or an older one at any time, it ends the session.',
        tags: ['sessions'],
        consumes: bodyTypes,
        body: Refresh,
        response: { 200: SessionShape },
      },
      config: { problems: ['unauthenticated'] },
    },
    async (request) => toSession(await identity.refresh(request.body.refreshToken, contextOf(request, deps))),
  );
}
