import type { RecordedEvent } from '../kernel/event.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Handled } from './command-handler.ts';
import type { Job } from './job.ts';

const PAGE = 4_096;

/** What a search of a stream found: the outcome of the command, or up to which revision there is none. */
export type Searched = Readonly<{ handled: Handled | null; searchedTo: bigint }>;

/** Searches a stream after a revision (-1: from its start) for the events of a command. The personal fields of what it finds are `null`. */
export async function findOutcome(log: EventLog, stream: string, commandId: string, after: bigint): Promise<Searched> {
  let searchedTo = after;
  const events: RecordedEvent[] = [];
  for (let end = false; !end; ) {
    const slice = await log.readStream(stream, { from: searchedTo + 1n, limit: PAGE, personal: 'omit' });
    for (const event of slice.events) {
      searchedTo = event.revision;
      if (event.metadata.commandId === commandId) events.push(event);
      // The events of a command are appended together.
      else if (events.length > 0) return { handled: outcomeOf(events), searchedTo };
    }
    end = slice.end;
  }
  return { handled: outcomeOf(events), searchedTo };
}

function outcomeOf(events: readonly RecordedEvent[]): Handled | null {
  const last = events.at(-1);
  return last === undefined ? null : { events, revision: last.revision, position: last.position };
}

/** Looks for the events of waiting commands among those of a stream. */
export class Found<C extends { metadata: { commandId: string } }> {
  readonly #jobs: readonly Job<C>[];
  readonly #ids: ReadonlySet<string>;
  readonly #events = new Map<string, RecordedEvent[]>();

  constructor(jobs: readonly Job<C>[]) {
    this.#jobs = jobs;
    this.#ids = new Set(jobs.map(({ command }) => command.metadata.commandId));
  }

  see(event: RecordedEvent): void {
    const { commandId } = event.metadata;
    if (!this.#ids.has(commandId)) return;
    const events = this.#events.get(commandId);
    if (events === undefined) this.#events.set(commandId, [event]);
    else events.push(event);
  }

  /** Settles those that were found and returns the others. */
  settle(): readonly Job<C>[] {
    return this.#jobs.filter((job) => {
      const handled = outcomeOf(this.#events.get(job.command.metadata.commandId) ?? []);
      if (handled === null) return true;
      job.resolve(handled);
      return false;
    });
  }
}
