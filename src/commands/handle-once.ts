import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import { LATE, within } from '../ports/within.ts';
import type { Handled, HandleOptions } from './command-handler.ts';
import { decideAlone } from './decide-batch.ts';
import { findOutcome } from './earlier-outcome.ts';
import type { Search } from './job.ts';
import type { OwnPositions } from './own-positions.ts';
import { asRefusal, tooLate } from './refusals.ts';
import type { TurnDeps } from './stream-queue.ts';
import { COMMAND_MS, type StreamQueues } from './stream-queues.ts';

/** Times that a decision is tried again because a personal key had to be read, or the stream to be searched first. */
const ATTEMPTS = 3;

type Deps = TurnDeps & Readonly<{ queues: StreamQueues; positions: OwnPositions }>;

/** A command with its stream. */
type Addressed<State, C extends Command<string, unknown>, E extends Event> = Readonly<{
  aggregate: Aggregate<State, C, E>;
  stream: string;
  command: C;
  options: HandleOptions;
}>;

/**
 * Handles a command of a request with an `Idempotency-Key`: finds its earlier outcome, or begins its claim, and then queues it. Nothing of this takes
 * up the stream's turn. A repetition gets the same position, also when other commands were appended together with the first.
 */
export async function handleOnce<State, C extends Command<string, unknown>, E extends Event>(
  deps: Deps,
  addressed: Addressed<State, C, E>,
): Promise<Handled> {
  const { clock, queues } = deps;
  const { aggregate, stream, command, options } = addressed;
  const { commandId } = command.metadata;
  const deadline = clock.monotonic() + COMMAND_MS;
  try {
    const prepared = await within(clock, COMMAND_MS, prepare(deps, addressed));
    if (prepared === LATE) throw tooLate();
    if (prepared !== null && 'events' in prepared) return appended(prepared, addressed);
    const job = queues.add(aggregate, stream, { command, options }, { deadline, search: prepared });
    const handled = await job.handled;
    if (handled.events.length === 0 || commandId !== options.claim?.commandId) return handled;
    return appended(job.sharesAppend ? await withOwnPosition(deps, stream, handled) : handled, addressed);
  } catch (error) {
    throw asRefusal(error);
  }
}

function appended<State, C extends Command<string, unknown>, E extends Event>(
  handled: Handled,
  { command, stream, options }: Addressed<State, C, E>,
): Handled {
  options.claim?.appended(command.metadata.commandId, stream);
  return handled;
}

/** Returns the earlier outcome, or where one may still be found once the command's turn has come. Throws the refusal, if it is refused. */
async function prepare<State, C extends Command<string, unknown>, E extends Event>(
  deps: Deps,
  addressed: Addressed<State, C, E>,
): Promise<Handled | Search | null> {
  const { stream, command, options } = addressed;
  const { claim, handledSince } = options;
  const { commandId } = command.metadata;
  if (handledSince !== undefined) {
    const { handled, searchedTo } = await findOutcome(deps.log, stream, commandId, handledSince);
    return handled ?? { after: searchedTo, own: true };
  }
  if (claim === undefined) return null;
  if (!claim.begun) await requireAccepted(deps, addressed);
  const target = await claim.begin();
  if (commandId !== claim.commandId) return null;
  // Another node may handle a repetition of this request already.
  return { after: target.stream === stream ? target.revision : -1n, own: false };
}

/** Decides on the current state, and appends nothing. Throws the refusal. */
async function requireAccepted<State, C extends Command<string, unknown>, E extends Event>(
  { cache, log, searches }: Deps,
  { aggregate, stream, command, options }: Addressed<State, C, E>,
): Promise<void> {
  let { loaded, fresh } = await cache.load(aggregate, stream);
  for (let attempts = 0; attempts < ATTEMPTS; ) {
    const queued = { command, expected: options.expected };
    const { deferred, refusal } = decideAlone({ aggregate, stream, log, searches }, loaded, queued);
    if (deferred !== null) {
      attempts++;
      const error = await deferred;
      if (error !== null) throw error;
    } else {
      if (refusal === null) return;
      if (fresh) throw refusal;
      loaded = await cache.advance(aggregate, stream, loaded);
      fresh = true;
    }
  }
}

/** The outcome with the position of the command's own last event. */
async function withOwnPosition({ positions }: Deps, stream: string, handled: Handled): Promise<Handled> {
  if (handled.revision === null) return handled;
  return { ...handled, position: (await positions.at(stream, handled.revision)) ?? handled.position };
}
