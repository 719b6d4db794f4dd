import type { Socket } from 'node:net';
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
  return new SocketSignal(socket);
}

class SocketSignal implements WaitSignal {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get aborted(): boolean {
    return this.#socket.destroyed;
  }
}

/** The context of a command that `actor` sends now. */
export function createContext(
  { clock, random }: Deps,
  { actor, correlationId, signal }: { actor: string | null; correlationId: string; signal: WaitSignal },
  claimed?: Claimed,
): RequestContext {
  const now = clock.now();
  const { commandId, ...keyed } = claimed ?? { commandId: random.uuid(now), ids: random.ids, signal };
  const metadata = { commandId, actor, at: timestamp(now), correlationId, causationId: null };
  return { ...keyed, metadata };
}

let latest = { ms: 0, text: new Date(0).toISOString() };

/** A time in ISO 8601. Under load many requests come within one millisecond, and formatting costs more than the rest of a context. */
function timestamp(ms: number): string {
  if (ms !== latest.ms) latest = { ms, text: new Date(ms).toISOString() };
  return latest.text;
}
