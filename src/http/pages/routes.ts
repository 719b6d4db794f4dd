import { readFileSync } from 'node:fs';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { ProfileNames } from '../../identity/identity.ts';
import { Refusal, type RefusalCode } from '../../kernel/errors.ts';
import type { App, AppDeps } from '../deps.ts';
import { prepareError } from '../request/error-responses.ts';
import { contextOf } from '../request/request-context.ts';
import { STYLESHEET } from './layout.ts';
import { errorPage, landingPage } from './plain-pages.ts';
import { invalidLinkPage, passwordSetPage, setPasswordPage } from './set-password.ts';

const stylesheet = readFileSync(new URL('./parley.css', import.meta.url), 'utf8');

/** Optional, so that a missing field is treated like an empty one. */
const Field = Type.Optional(Type.String({ format: 'text' }));
const PasswordForm = Type.Object({
  token: Field,
  password: Field,
  confirmPassword: Field,
  username: Field,
  firstname: Field,
  lastname: Field,
});
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
    return sendPage(reply, setPasswordPage({ token, names: await identity.namesOfPasswordLink(token) }));
  });

  scope.post('/set-password', { schema: { hide: true, body: PasswordForm } }, async (request, reply) => {
    const { token = '', password = '', confirmPassword = '', ...typed } = request.body;
    const names = namesOf(typed);
    try {
      await identity.setPassword({ token, password, confirmPassword, ...names }, contextOf(request, deps));
      return sendPage(reply, passwordSetPage());
    } catch (error) {
      const status = error instanceof Refusal ? FORM_ERRORS[error.code] : undefined;
      if (!(error instanceof Refusal) || status === undefined) throw error;
      const { username = '', firstname = null, lastname = null } = names;
      // Without the field there was no form for it.
      const shown = typed.username === undefined ? null : { username, firstname, lastname };
      return sendPage(reply.code(status), setPasswordPage({ token, names: shown, errors: error.errors }));
    }
  });
}

/** Refusals that are shown in the form, each beside its field. */
const FORM_ERRORS: Readonly<Partial<Record<RefusalCode, number>>> = { 'out-of-range': 422, 'username-taken': 409 };

/** The names of a form. An empty first or last name means none; a field that the form does not have changes nothing. */
function namesOf({
  username,
  firstname,
  lastname,
}: Partial<Record<keyof ProfileNames, string>>): Partial<ProfileNames> {
  const optional = (name: string): string | null => (name === '' ? null : name);
  return {
    ...(username === undefined ? {} : { username }),
    ...(firstname === undefined ? {} : { firstname: optional(firstname) }),
    ...(lastname === undefined ? {} : { lastname: optional(lastname) }),
  };
}

function sendPage(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('text/html; charset=utf-8').send(text);
}
