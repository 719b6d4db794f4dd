import type { WaitSignal } from '../../commands/command-handler.ts';
import type { Principal } from '../../identity/identity.ts';
import type { Outcome } from '../commands/command-description.ts';
import { charge } from '../request/rate-limits.ts';
import { createContext } from '../request/request-context.ts';
import type { CommandFrame } from './client-frames.ts';
import type { LiveDeps } from './deps.ts';

/** Performs the command of a frame and returns what its `ack` reports. Throws what the command throws. `signal`: whether the connection was closed. */
export async function performCommand(
  deps: LiveDeps,
  principal: Principal,
  { command, input }: CommandFrame,
  { correlationId, signal }: { correlationId: string; signal: WaitSignal },
): Promise<Outcome> {
  for (const name of command.limits ?? []) charge(deps.limits[name], principal.userId);
  const context = createContext(deps, { actor: principal.userId, correlationId, signal });
  const call = { context, expected: undefined, principal, address: null };
  const { _id, position } = await command.perform(deps, input, call);
  return { _id, position };
}
