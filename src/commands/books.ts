import type { Command, CommandMetadata } from '../kernel/command.ts';
import type { Aggregate, BooksRule } from '../kernel/decider.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Event, RecordedEvent } from '../kernel/event.ts';
import { uuidv5 } from '../kernel/ids.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { CommandHandler, Handled, LoadedAggregate } from './command-handler.ts';

/**
 * Events stay in their stream for at least this long, in ms, even if nothing needs them any more: a retry with an `Idempotency-Key` searches for them,
 * and a projection or a live connection may not have read them yet.
 */
const KEPT_MS = 48 * 60 * 60 * 1_000;
/** Closings at once. Where there are more, the stream is closed after its next `every` events. */
const AT_ONCE = 4;
/** Attempts when the summary is refused because the stream was written to while it was made. */
const ATTEMPTS = 3;
const PAGE = 512;

/** What a summary is made from. */
export type ToSummarise<State> = Readonly<{
  loaded: LoadedAggregate<State>;
  /** Metadata of the command that summarises. */
  metadata: CommandMetadata;
  /** The events that the state was folded from, those that can be removed left out. */
  events: () => Promise<readonly RecordedEvent[]>;
  signal: AbortSignal;
}>;

/** A stream whose books can be closed. */
export type Closing<State, C extends Command<string, unknown>, E extends Event> = Readonly<{
  aggregate: Aggregate<State, C, E>;
  id: string;
  /** Metadata of the command that was handled. */
  metadata: CommandMetadata;
  /**
   * The command that repeats at the end of the stream what only its older events hold; `null` when the signal was aborted. It may be refused with
   * `revision-mismatch` when the state has changed meanwhile, and is then made again. Left out for aggregates whose latest event holds everything.
   */
  summarise?: (from: ToSummarise<State>) => Promise<C | null>;
}>;

/**
 * Closes the books of streams that would otherwise grow without end: a summary is appended, and then what it repeats is removed from the stream.
 * Both steps can be lost or repeated, and several nodes can take them at once: the aggregate decides the summary from its current state, and what may
 * be removed follows from the state at a revision alone. What a step left undone, the next closing does.
 */
export interface Books {
  /** To be called after a command was handled. Closes the books in the background when it is time. Never throws, never waits. */
  consider<State, C extends Command<string, unknown>, E extends Event>(
    handled: Handled,
    closing: Closing<State, C, E>,
  ): void;
  /** Waits for the closings in progress. */
  idle(): Promise<void>;
  /** Ends the closings in progress after their current step. */
  close(): Promise<void>;
}

export function createBooks(deps: { commands: CommandHandler; log: EventLog; clock: Clock; logger: Logger }): Books {
  const { commands, log, clock, logger } = deps;
  const running = new Map<string, Promise<void>>();
  const stop = new AbortController();
  const { signal } = stop;

  async function closeBooks<State, C extends Command<string, unknown>, E extends Event>(
    stream: string,
    closing: Closing<State, C, E>,
    rule: BooksRule<State>,
  ): Promise<void> {
    await appendSummary(stream, closing, rule);
    const { state, revision } = await commands.load(closing.aggregate, closing.id, 'cached');
    if (revision === null || signal.aborted) return;
    const first = firstNeeded(rule, state, revision);
    const truncateBefore = await removableBefore(stream, first, (event) => rule.isFirstNeeded(state, event));
    if (truncateBefore > 0n) await log.setRetention(stream, { truncateBefore });
  }

  async function appendSummary<State, C extends Command<string, unknown>, E extends Event>(
    stream: string,
    { aggregate, id, summarise, metadata }: Closing<State, C, E>,
    rule: BooksRule<State>,
  ): Promise<void> {
    if (summarise === undefined) return;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const loaded = await commands.load(aggregate, id, 'fresh');
      const { state, revision } = loaded;
      if (revision === null) return;
      const own = { ...metadata, commandId: uuidv5(metadata.commandId, `summary ${attempt}`) };
      const events = () => readFrom(stream, firstNeeded(rule, state, revision));
      const command = await summarise({ loaded, metadata: own, events, signal });
      if (command === null) return;
      try {
        await commands.handle(aggregate, id, command);
        return;
      } catch (error) {
        const isOutdated = error instanceof Refusal && error.code === 'revision-mismatch';
        if (!isOutdated || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async function readFrom(stream: string, revision: bigint): Promise<readonly RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for (let from = revision, end = false; !end; ) {
      const slice = await log.readStream(stream, { from, limit: PAGE });
      events.push(...slice.events);
      from = (events.at(-1)?.revision ?? from) + 1n;
      end = slice.end;
    }
    return events;
  }

  /** The revision before which all events can be removed: they are not needed, and old enough. */
  async function removableBefore(
    stream: string,
    firstNeeded: bigint,
    isNeeded: (event: RecordedEvent) => boolean,
  ): Promise<bigint> {
    const oldest = clock.now() - KEPT_MS;
    for (let from = firstNeeded; from >= 0n && !signal.aborted; ) {
      const options = { from, direction: 'backwards', limit: PAGE, personal: 'omit' } as const;
      const slice = await log.readStream(stream, options);
      const [first] = slice.events;
      if (from === firstNeeded && (first?.revision !== from || !isNeeded(first))) break;
      const old = slice.events.find(
        ({ revision, recordedAt }) => revision < firstNeeded && Date.parse(recordedAt) < oldest,
      );
      if (old !== undefined) return old.revision + 1n;
      const last = slice.events.at(-1);
      if (slice.end || last === undefined) break;
      from = last.revision - 1n;
    }
    return 0n;
  }

  async function idle(): Promise<void> {
    await Promise.all(running.values());
  }

  return {
    consider({ events, revision }, closing) {
      const { aggregate, id } = closing;
      const rule = aggregate.books;
      if (rule === undefined || revision === null || signal.aborted) return;
      // One of the command's events was the last one of a period.
      if ((revision + 1n) % rule.every >= events.length) return;
      const stream = `${aggregate.category}-${id}`;
      if (running.has(stream) || running.size >= AT_ONCE) return;
      const task = closeBooks(stream, closing, rule)
        .catch((error: unknown) => logger.warn({ err: error, stream }, 'the books of a stream were not closed'))
        .finally(() => running.delete(stream));
      running.set(stream, task);
    },
    idle,
    async close() {
      stop.abort();
      await idle();
    },
  };
}

/** The first revision that the state at `revision` needs. */
function firstNeeded<State>(rule: BooksRule<State>, state: State, revision: bigint): bigint {
  const first = revision + 1n - BigInt(rule.needed(state));
  return first > 0n ? first : 0n;
}
