import type { Json } from './json.ts';

/** Input of a decider that it cannot get itself, because it is pure: time, ids and the acting user. */
export type CommandMetadata = Readonly<{
  /** UUID; the ids of the events derive from it. */
  commandId: string;
  /** Id of the user who sent the command; `null` for the system itself. */
  actor: string | null;
  /** The time of the decision, ISO 8601 UTC with milliseconds. */
  at: string;
  correlationId: string;
  causationId: string | null;
}>;

/** A request to one aggregate, named by an imperative. */
export type Command<Type extends string = string, Data = Json> = Readonly<{
  type: Type;
  data: Readonly<Data>;
  metadata: CommandMetadata;
}>;

/** One type of command out of a union. */
export type CommandOf<Commands, Type extends string> = Extract<Commands, { type: Type }>;
