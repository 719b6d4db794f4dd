import type { FastifyRequest } from 'fastify';
import type { Claimed } from '../../commands/claims.ts';
import type { RequestContext } from '../../commands/request-context.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';

type Deps = Readonly<{ clock: Clock; random: Random }>;

/** The context of a request. `claimed`: the ids of its `Idempotency-Key`; without it the ids are random. */
export function contextOf(request: FastifyRequest, deps: Deps, claimed?: Claimed): RequestContext {
  return createContext(deps, { actor: request.principal?.userId ?? null, correlationId: request.id }, claimed);
}

/** The context of a command that `actor` sends now. */
export function createContext(
  { clock, random }: Deps,
  { actor, correlationId }: { actor: string | null; correlationId: string },
  claimed?: Claimed,
): RequestContext {
  const now = clock.now();
  const { ids, commandId, handledSince } = claimed ?? { ids: random.ids, commandId: random.uuid(now) };
  const metadata = { commandId, actor, at: new Date(now).toISOString(), correlationId, causationId: null };
  return handledSince === undefined ? { ids, metadata } : { ids, metadata, handledSince };
}
