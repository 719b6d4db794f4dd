import type { FastifyRequest } from 'fastify';
import type { Claimed } from '../../commands/claims.ts';
import type { WaitSignal } from '../../commands/command-handler.ts';
import type { RequestContext } from '../../commands/request-context.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';

type Deps = Readonly<{ clock: Clock; random: Random }>;

/** The context of a request. `claimed`: the ids of its `Idempotency-Key`; without it the ids are random. */
export function contextOf(request: FastifyRequest, deps: Deps, claimed?: Claimed): RequestContext {
  const actor = request.principal?.userId ?? null;
  return createContext(deps, { actor, correlationId: request.id, signal: signalOf(request) }, claimed);
}

/** Whether the client has closed the connection of a request. Read from its socket: an `AbortController` for each request would cost more. */
export function signalOf({ raw: { socket } }: FastifyRequest): WaitSignal {
  return {
    get aborted() {
      return socket.destroyed === true;
    },
  };
}

/** The context of a command that `actor` sends now. */
export function createContext(
  { clock, random }: Deps,
  { actor, correlationId, signal }: { actor: string | null; correlationId: string; signal: WaitSignal },
  claimed?: Claimed,
): RequestContext {
  const now = clock.now();
  const { commandId, ...keyed } = claimed ?? { commandId: random.uuid(now), ids: random.ids, signal };
  const metadata = { commandId, actor, at: new Date(now).toISOString(), correlationId, causationId: null };
  return { ...keyed, metadata };
}
