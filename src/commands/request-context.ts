import type { CommandMetadata } from '../kernel/command.ts';
import type { IdSource } from '../kernel/ids.ts';

/** Who and what stands behind a request. */
export type RequestContext = Readonly<{
  /** Makes the ids of whatever comes into being: the same ones when the request is repeated with its `Idempotency-Key`. */
  ids: IdSource;
  /** Of the request's main command; the ids of further commands derive from its `commandId`. */
  metadata: CommandMetadata;
  /** The main command may have been handled before, see `HandleOptions`. */
  handledSince?: bigint;
}>;
