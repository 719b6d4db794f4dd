import { createHmac } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Claims, Target } from '../../commands/claims.ts';
import type { RequestContext } from '../../commands/request-context.ts';
import { Refusal } from '../../kernel/errors.ts';
import { type IdSource, randomIds, uuidv7 } from '../../kernel/ids.ts';
import type { Clock } from '../../ports/clock.ts';

const KEY = /^[\x20-\x7e]{1,128}$/;

/** What stands behind one request that is run without a key. */
export function contextOf(request: FastifyRequest, clock: Clock): RequestContext {
  const now = clock.now();
  return contextWith(request, now, randomIds, uuidv7(now));
}

/**
 * Runs a command. With an `Idempotency-Key` header it happens once, however often it is asked: the ids derive from user, route and key, and the same
 * key for another request is refused (`key-reused`).
 * @param owner whose keys they are; without a session, whoever the request is about
 */
export async function runCommand<Answer>(
  deps: { claims: Claims; clock: Clock },
  request: FastifyRequest,
  { owner, target }: { owner: string; target: Target },
  execute: (context: RequestContext) => Promise<Answer>,
): Promise<Answer> {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return execute(contextOf(request, deps.clock));
  if (typeof key !== 'string' || !KEY.test(key)) {
    const errors = [{ path: 'Idempotency-Key', message: 'must be 1 to 128 printable ASCII characters' }];
    throw new Refusal('malformed', 'the Idempotency-Key is not one', { errors });
  }
  const { method, url: route } = request.routeOptions;
  const actor = request.principal?.userId ?? null;
  const bodyHash = hashOf(request, key);
  const claim = { owner, route: `${method} ${route}`, key, bodyHash, actor, correlationId: request.id };
  return deps.claims.run(claim, target, ({ ids, commandId, handledSince }) =>
    execute(contextWith(request, deps.clock.now(), ids, commandId, handledSince)),
  );
}

function contextWith(
  request: FastifyRequest,
  now: number,
  ids: IdSource,
  commandId: string,
  handledSince?: bigint,
): RequestContext {
  const metadata = {
    commandId,
    actor: request.principal?.userId ?? null,
    at: new Date(now).toISOString(),
    correlationId: request.id,
    causationId: null,
  };
  return handledSince === undefined ? { ids, metadata } : { ids, metadata, handledSince };
}

/**
 * What was asked, JSON or form alike. A body may hold a password, and the hash is stored: under the key, which is not, nobody can try passwords
 * against it.
 */
function hashOf({ params, query, body }: FastifyRequest, key: string): string {
  return createHmac('sha256', key)
    .update(canonical([params, query, body ?? null]))
    .digest('base64url');
}

/** JSON with the fields of each object in order of their names. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
