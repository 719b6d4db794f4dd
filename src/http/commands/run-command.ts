import { createHmac } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Target } from '../../commands/claims.ts';
import type { RequestContext } from '../../commands/request-context.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { AppDeps } from '../deps.ts';
import { contextOf, signalOf } from '../request/request-context.ts';
import type { Outcome } from './command-description.ts';

const KEY = /^[\x20-\x7e]{1,128}$/;

/**
 * Runs a command. With an `Idempotency-Key` header it happens once, however often it is sent: a repetition gets the
 * same ids and the same answer, and the same key for another request is refused (`key-reused`).
 * @param owner owner of the key: the user, or without a session the person that the request is about
 * @param subject what the request is about besides its content, if anything
 */
export async function runCommand<Result extends Outcome>(
  deps: Pick<AppDeps, 'claims' | 'clock' | 'random'>,
  request: FastifyRequest,
  { owner, subject, target }: { owner: string; subject: string | undefined; target: Target },
  execute: (context: RequestContext) => Promise<Result>,
): Promise<Result> {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return execute(contextOf(request, deps));
  if (typeof key !== 'string' || !KEY.test(key)) {
    const errors = [{ path: 'Idempotency-Key', message: 'must be 1 to 128 printable ASCII characters' }];
    throw new Refusal('malformed', 'invalid Idempotency-Key', { errors });
  }
  const { method, url: route } = request.routeOptions;
  const actor = request.principal?.userId ?? null;
  const bodyHash = hashOf(request, key, subject);
  const signal = signalOf(request);
  const claim = { owner, route: `${method} ${route}`, key, bodyHash, actor, correlationId: request.id, signal };
  return deps.claims.run(claim, target, (claimed) => execute(contextOf(request, deps, claimed)));
}

/**
 * Identifies the content of a request, the same for JSON and forms. The hash is stored and a body may hold a password. The key is not stored, so
 * guesses cannot be tested against the hash.
 */
function hashOf({ params, query, body }: FastifyRequest, key: string, subject: string | undefined): string {
  return createHmac('sha256', key)
    .update(canonical([params, query, body ?? null, ...(subject === undefined ? [] : [subject])]))
    .digest('base64url');
}

/** JSON with the fields of each object in the order of their names. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
