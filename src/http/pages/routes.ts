import { readFileSync } from 'node:fs';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { Refusal } from '../../kernel/errors.ts';
import type { App, AppDeps } from '../deps.ts';
import { prepareError } from '../request/error-responses.ts';
import { contextOf } from '../request/request-context.ts';
import { STYLESHEET } from './layout.ts';
import { errorPage, landingPage } from './plain-pages.ts';
import { invalidLinkPage, passwordSetPage, setPasswordPage } from './set-password.ts';

const stylesheet = readFileSync(new URL('./parley.css', import.meta.url), 'utf8');

/** Optional, so that a missing field is treated like an empty one. */
const Field = Type.Optional(Type.String({ format: 'text' }));
const PasswordForm = Type.Object({ token: Field, password: Field, confirmPassword: Field });
const Link = Type.Object({ token: Field });

/** Pages for people, which work without JavaScript. Errors are shown as pages too. */
export function addPages(scope: App, deps: Pick<AppDeps, 'identity' | 'logger' | 'clock' | 'random'>): void {
  const { identity, logger } = deps;
  scope.setErrorHandler((error, request, reply) => {
    const { problem } = prepareError(logger, error, request, reply);
    if (problem.code === 'invalid-link') return sendPage(reply, invalidLinkPage());
    return sendPage(reply, errorPage(problem.title, problem.detail));
  });

  scope.get('/', { schema: { hide: true } }, async (_request, reply) => sendPage(reply, landingPage()));

  scope.get(STYLESHEET, { schema: { hide: true } }, async (_request, reply) => {
    return reply.header('cache-control', 'public, max-age=3600').type('text/css; charset=utf-8').send(stylesheet);
  });

  scope.get('/set-password', { schema: { hide: true, querystring: Link } }, async (request, reply) => {
    const { token = '' } = request.query;
    await identity.checkPasswordLink(token);
    return sendPage(reply, setPasswordPage(token));
  });

  scope.post('/set-password', { schema: { hide: true, body: PasswordForm } }, async (request, reply) => {
    const { token = '', password = '', confirmPassword = '' } = request.body;
    try {
      await identity.setPassword({ token, password, confirmPassword }, contextOf(request, deps));
      return sendPage(reply, passwordSetPage());
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== 'out-of-range') throw error;
      return sendPage(reply.code(422), setPasswordPage(token, error.errors));
    }
  });
}

function sendPage(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('text/html; charset=utf-8').send(text);
}
