import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Event, NewEvent } from '../kernel/event.ts';
import { eventId } from '../kernel/ids.ts';
import { SearchNeeded } from '../kernel/stream-search.ts';
import type { EventLog } from '../log/event-log.ts';
import type { LoadedState } from './aggregate-cache.ts';
import type { StreamSearches } from './stream-searches.ts';

/** Events, and bytes of their data, that go into one append at most. A single command may exceed the bytes. */
const EVENTS_MAX = 256;
const BYTES_MAX = 512 * 1024;
/** What an event costs beside its data, in bytes, roughly. */
const ENVELOPE_BYTES = 300;
/** Characters up to which a text is not measured. */
const SHORT_TEXT = 100;

/** A command as it waits for its turn. `expected`: the revisions that its sender accepts; `undefined`: any. */
export type QueuedCommand<C> = Readonly<{ command: C; expected: readonly bigint[] | undefined }>;

/**
 * What was decided for one command; `revision` is the aggregate's after it. A refusal after events that are not appended yet depends on them.
 * `deferred`: it was not decided, because a personal key has to be read, or the stream to be searched first; resolves with why the command is
 * refused, `null` when it can be decided again.
 */
export type Decision<E extends Event> = Readonly<{
  events: readonly E[];
  refusal: Error | null;
  deferred: Promise<Error | null> | null;
  revision: bigint | null;
  dependsOnAppend: boolean;
}>;

/** Decisions for the first commands of the queue, in order, and what they append together. */
export type Batch<State, E extends Event> = Readonly<{
  decisions: readonly Decision<E>[];
  events: readonly NewEvent[];
  state: State;
}>;

/** What decisions are made with. */
export type DecideDeps<State, C extends Command<string, unknown>, E extends Event> = Readonly<{
  aggregate: Aggregate<State, C, E>;
  stream: string;
  log: Pick<EventLog, 'admit'>;
  searches: StreamSearches;
}>;

type Outcome<E extends Event> = Pick<Decision<E>, 'events' | 'refusal' | 'deferred'> & Readonly<{ added: NewEvent[] }>;

/**
 * Decides waiting commands one after the other on the evolving state, as if each had been appended before the next. Takes as many as one append may
 * hold, at least one. An event that cannot be appended refuses its own command and no other.
 */
export function decideBatch<State, C extends Command<string, unknown>, E extends Event>(
  deps: DecideDeps<State, C, E>,
  loaded: LoadedState<State>,
  queued: readonly QueuedCommand<C>[],
): Batch<State, E> {
  const { aggregate } = deps;
  const decisions: Decision<E>[] = [];
  const events: NewEvent[] = [];
  let state = loaded.state;
  let revision = loaded.revision;
  let bytes = 0;
  for (const { command, expected } of queued) {
    const { added, ...outcome } = decideOne(deps, state, command, { expected, revision });
    bytes += added.reduce((sum, event) => sum + sizeOf(event), 0);
    const full = events.length + added.length > EVENTS_MAX || bytes > BYTES_MAX;
    if (decisions.length > 0 && added.length > 0 && full) break;
    state = outcome.events.reduce((now, event) => aggregate.evolve(now, event), state);
    if (added.length > 0) revision = (revision ?? -1n) + BigInt(added.length);
    events.push(...added);
    decisions.push({ ...outcome, revision, dependsOnAppend: events.length > 0 });
  }
  return { decisions, events, state };
}

/**
 * Decides one command as `decideBatch` does, where only the decision is wanted. The state after it is not computed: states share memory, and the one
 * that is computed next from the same state would have to copy it.
 */
export function decideAlone<State, C extends Command<string, unknown>, E extends Event>(
  deps: DecideDeps<State, C, E>,
  { state, revision }: LoadedState<State>,
  { command, expected }: QueuedCommand<C>,
): Pick<Decision<E>, 'refusal' | 'deferred'> {
  return decideOne(deps, state, command, { expected, revision });
}

function decideOne<State, C extends Command<string, unknown>, E extends Event>(
  { aggregate, stream, log, searches }: DecideDeps<State, C, E>,
  state: State,
  command: C,
  at: { expected: readonly bigint[] | undefined; revision: bigint | null },
): Outcome<E> {
  if (at.expected !== undefined && (at.revision === null || !at.expected.includes(at.revision))) {
    return refused(new Refusal('revision-mismatch', 'it was changed since you read it'));
  }
  try {
    const events = aggregate.decide(searches.searched(command) ?? command, state);
    if (events.length === 0) return { events, refusal: null, deferred: null, added: [] };
    const added = events.map((event, index) => envelop(event, command, index));
    const admitted = log.admit(added);
    if (admitted === null) return { events, refusal: null, deferred: null, added };
    return admitted instanceof Promise ? { ...refused(null), deferred: admitted } : refused(admitted);
  } catch (error) {
    if (error instanceof SearchNeeded) {
      return { ...refused(null), deferred: searches.run(stream, command, error.search) };
    }
    // An error of the decider is reported to the one command that hit it, not to all that wait with it.
    return refused(error instanceof Error ? error : new Error(String(error)));
  }
}

const refused = (refusal: Error | null) => ({ events: [], refusal, deferred: null, added: [] });

function envelop(event: Event, command: Command<string, unknown>, index: number): NewEvent {
  const { commandId, actor, correlationId, causationId } = command.metadata;
  const metadata = { actor, correlationId, causationId, commandId };
  return { id: eventId(commandId, index), type: event.type, data: event.data, metadata };
}

/** At least the bytes of an event as it is stored, or nearly so: it bounds an append, no more. */
function sizeOf(event: NewEvent): number {
  let size = ENVELOPE_BYTES;
  for (const value of Object.values(event.data)) {
    if (typeof value === 'string') size += sizeOfText(value);
    else if (Array.isArray(value)) size += value.length * 40;
    else if (typeof value === 'object' && value !== null) size += JSON.stringify(value).length;
    else size += 8;
  }
  return size;
}

/** Sealing adds a third to the JSON. For long texts that is measured: JSON writes a control character as six bytes. */
function sizeOfText(text: string): number {
  const size = text.length * 2;
  return text.length <= SHORT_TEXT
    ? size
    : Math.max(size, Math.ceil((Buffer.byteLength(JSON.stringify(text)) * 4) / 3));
}
