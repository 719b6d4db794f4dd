import type { CommandMetadata } from '../kernel/command.ts';
import type { IdSource } from '../kernel/ids.ts';
import type { Position } from '../kernel/position.ts';
import type { HandleOptions, RequestClaim, WaitSignal } from './command-handler.ts';

/** What is known of a request that was answered before: the position of its outcome. */
export type EarlierOutcome = Readonly<{ position: Position | null }>;

/** What is known of a request besides its input. */
export type RequestContext = Readonly<{
  /** Makes the ids of everything the request creates. A repetition with the same `Idempotency-Key` gets the same ids. */
  ids: IdSource;
  /** Metadata of the request's main command. The ids of further commands derive from its `commandId`. */
  metadata: CommandMetadata;
  /** Set when the main command may have been handled before, see `HandleOptions`. */
  handledSince?: bigint;
  /** Set when the request was handled before: it is answered from this, and nothing is checked or written again. */
  earlier?: EarlierOutcome;
  /** The claim of the request's `Idempotency-Key`. Every command of the request is handled with it. */
  claim?: RequestClaim;
  /** Whether the client has left. */
  signal?: WaitSignal | undefined;
}>;

/** Options for the request's main command. */
export function mainOptions({ handledSince, claim, signal }: RequestContext): HandleOptions {
  return { handledSince, claim, signal };
}

/** Options for further commands of the request. */
export function stepOptions({ claim, signal }: RequestContext): HandleOptions {
  return { claim, signal };
}
