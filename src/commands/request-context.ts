import type { CommandMetadata } from '../kernel/command.ts';
import type { IdSource } from '../kernel/ids.ts';
import type { HandleOptions } from './command-handler.ts';

/** What is known of a request besides its input. */
export type RequestContext = Readonly<{
  /** Makes the ids of everything the request creates. A repetition with the same `Idempotency-Key` gets the same ids. */
  ids: IdSource;
  /** Metadata of the request's main command. The ids of further commands derive from its `commandId`. */
  metadata: CommandMetadata;
  /** Set when the main command may have been handled before, see `HandleOptions`. */
  handledSince?: bigint;
}>;

/** Options for the request's main command. */
export function mainOptions({ handledSince }: RequestContext): Pick<HandleOptions, 'handledSince'> {
  return handledSince === undefined ? {} : { handledSince };
}
