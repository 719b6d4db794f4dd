import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { NewEvent } from '../kernel/event.ts';
import type { Clock } from '../ports/clock.ts';
import type { Appended, EventStore, ExpectedRevision } from '../ports/event-store.ts';

/** First pause between two tries, in ms; it doubles up to `PAUSE_MAX_MS`, with jitter. */
const PAUSE_MS = 20;
const PAUSE_MAX_MS = 500;

/** A pause that grows with each try and differs from node to node, in ms. */
function backOffMs(attempt: number): number {
  const full = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(attempt, 10));
  return full / 2 + (Math.random() * full) / 2;
}

/**
 * Appends, and where the outcome is unknown repeats the identical append until it is known or `deadline` (`clock.monotonic()`, in ms) has passed.
 * A conflict after a repetition (`isDoubtful`) may mean that an earlier try was written: the caller reads the stream back for its command id.
 * Throws as `EventStore.append`; `UNKNOWN` only past the deadline.
 */
export async function appendUntilKnown(
  deps: { events: EventStore; clock: Clock },
  stream: string,
  events: readonly NewEvent[],
  options: { expect: ExpectedRevision; deadline: number },
): Promise<Appended> {
  let unknown: StoreError | null = null;
  for (let attempt = 0; ; attempt++) {
    try {
      return await deps.events.append(stream, events, { expect: options.expect });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.code === 'UNKNOWN') unknown = error;
      if (unknown === null) throw error;
      if (error.code === 'VERSION_CONFLICT') {
        throw new StoreError(error.code, error.message, { actual: error.actual, cause: unknown });
      }
      // A store that went away between two tries, or was closed, has left the first one open all the same.
      const pause = backOffMs(attempt);
      if (error.code === 'CLOSED' || deps.clock.monotonic() + pause >= options.deadline) throw asUnknown(error);
      await deps.clock.sleep(pause);
    }
  }
}

/** Whether a conflict came behind a try of unknown outcome, which may then be what is in the way. */
export const isDoubtful = (conflict: StoreError): boolean => isStoreError(conflict.cause, 'UNKNOWN');

function asUnknown(error: StoreError): StoreError {
  return error.code === 'UNKNOWN' ? error : new StoreError('UNKNOWN', error.message, { cause: error });
}
