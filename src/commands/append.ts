import { type BackOffSettings, backOffMs } from '../kernel/back-off.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { NewEvent } from '../kernel/event.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Appended, ExpectedRevision } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';

const BACK_OFF: BackOffSettings = { firstMs: 20, longestMs: 500 };

/**
 * Appends, and where the outcome is unknown repeats the identical append until it is known or `deadline` (`clock.monotonic()`, in ms) has passed.
 * A conflict after a repetition (`isDoubtful`) may be with an earlier attempt that was written: the caller reads the stream back for its command id.
 * Throws as `EventLog.append`; `UNKNOWN` only after the deadline.
 */
export async function appendUntilKnown(
  deps: { log: EventLog; clock: Clock; random: Random },
  stream: string,
  events: readonly NewEvent[],
  options: { expect: ExpectedRevision; deadline: number },
): Promise<Appended> {
  const { log, clock, random } = deps;
  const encoded = await log.encode(events);
  let unknown: StoreError | null = null;
  for (let attempt = 0; ; attempt++) {
    try {
      return await log.append(stream, encoded, { expect: options.expect });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.code === 'UNKNOWN') unknown = error;
      if (unknown === null) throw error;
      if (error.code === 'VERSION_CONFLICT') {
        throw new StoreError(error.code, error.message, { actual: error.actual, cause: unknown });
      }
      // A store that became unavailable between two attempts, or was closed, leaves the outcome of the first one open.
      const pause = backOffMs(BACK_OFF, attempt, random.fraction());
      if (error.code === 'CLOSED' || clock.monotonic() + pause >= options.deadline) throw asUnknown(error);
      await clock.sleep(pause);
    }
  }
}

/** Whether a conflict came after an attempt of unknown outcome, which may then be what it conflicts with. */
export const isDoubtful = (conflict: StoreError): boolean => isStoreError(conflict.cause, 'UNKNOWN');

function asUnknown(error: StoreError): StoreError {
  return error.code === 'UNKNOWN' ? error : new StoreError('UNKNOWN', error.message, { cause: error });
}
