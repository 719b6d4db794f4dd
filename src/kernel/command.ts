import type { Json } from './json.ts';

/** What a decider must be told because it may not look: time, ids, and who asks. */
export type CommandMetadata = Readonly<{
  /** UUID; the events' ids derive from it. */
  commandId: string;
  /** Id of the user who asks; `null` for the system itself. */
  actor: string | null;
  /** The time of the decision, ISO 8601 UTC with milliseconds. */
  at: string;
  correlationId: string;
  causationId: string | null;
}>;

/** An imperative: what is asked of one aggregate. */
export type Command<Type extends string = string, Data = Json> = Readonly<{
  type: Type;
  data: Readonly<Data>;
  metadata: CommandMetadata;
}>;
