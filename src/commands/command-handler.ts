import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';

/** The outcome of a command. */
export type Handled = Readonly<{
  /** What was decided and is durable now; empty when nothing had to change. */
  events: readonly Event[];
  /** Revision of the aggregate's last event afterwards; `null` when it has none. */
  revision: bigint | null;
  /** Position of the aggregate's last event afterwards; `null` when it has none. A read model that has reached it shows the outcome. */
  position: Position | null;
}>;

/** The current state of an aggregate. */
export type LoadedAggregate<State> = Readonly<{ state: State; revision: bigint | null; position: Position | null }>;

/** Whether the client who waits for an outcome has left, such as an `AbortSignal`. It is read when the command's turn has come, without a listener. */
export type WaitSignal = Pick<AbortSignal, 'aborted'>;

/** Where the events of a claimed request are to be found: in this stream, after this revision (-1: from its start). */
export type ClaimedTarget = Readonly<{ stream: string; revision: bigint }>;

/** The claim of a request with an `Idempotency-Key`. It is appended once the request's first command is known not to be refused. */
export interface RequestClaim {
  /** Id of the request's main command. */
  readonly commandId: string;
  /** Whether it was appended. */
  readonly begun: boolean;
  /** Appends it, once. Throws `AlreadyClaimed` when the key was used before. */
  begin(): Promise<ClaimedTarget>;
  /** A command of the request left events in this stream. */
  appended(commandId: string, stream: string): void;
}

/** The request's key was used before: the request is to be run again, as a repetition with the ids of its earlier claim. */
export class AlreadyClaimed extends Error {
  override readonly name = 'AlreadyClaimed';
}

export type HandleOptions = Readonly<{
  /** The revisions that the caller accepts (`If-Match`). Refused with `revision-mismatch` when the stream has another one. */
  expected?: readonly bigint[] | undefined;
  /**
   * The command may have been handled before, after this revision (-1: the start of the stream). The stream is then searched for its id first, and
   * the earlier outcome returned.
   */
  handledSince?: bigint | undefined;
  /** Begun before anything is appended, unless the command is refused. */
  claim?: RequestClaim | undefined;
  /** A command whose client has left before it was decided is dropped. */
  signal?: WaitSignal | undefined;
}>;

/** The one way to change an aggregate. One is made per node by `createCommandHandler`. */
export interface CommandHandler {
  /**
   * Loads the aggregate, decides, appends with the revision decided on, and resolves once that is durable.
   * Throws the decider's `Refusal` (never one from stale state), `unavailable` (nothing was written), `outcome-unknown` (it may have been: repeat it
   * with the same ids), or `unauthenticated` when it would write personal data of a person who was erased. After 10 s at most it throws one of the
   * two that fits.
   */
  handle<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    command: C,
    options?: HandleOptions,
  ): Promise<Handled>;

  /**
   * The aggregate's state, to be read and not decided on. `cached` may lack what other nodes appended; `fresh` reads the stream's tail first.
   */
  load<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    how: 'cached' | 'fresh',
  ): Promise<LoadedAggregate<State>>;

  /** Waits for the commands in progress and ends. */
  close(): Promise<void>;
}
