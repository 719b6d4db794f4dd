import type { ReservationEvent } from '../aggregates/reservation/events.ts';
import type { UserEvent } from '../aggregates/user/events.ts';
import { type BackOffSettings, backOffMs } from '../kernel/back-off.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { PersonalKeys } from '../log/personal-keys.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { ReservedName } from './erasures.ts';

export type RepeatDeps = Readonly<{
  log: EventLog;
  personalKeys: Pick<PersonalKeys, 'stored' | 'destroy'>;
  view: {
    erased(position: Position | null, signal: AbortSignal): AsyncIterable<readonly string[]>;
    unreadable(position: Position | null, signal: AbortSignal): AsyncIterable<readonly string[]>;
  };
  steps: { repeat(person: Readonly<{ userId: string; names: readonly ReservedName[] }>): Promise<void> };
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

/** How often, in ms, besides the start of each node. */
const EVERY_MS = 60 * 60_000;
const BACK_OFF: BackOffSettings = { firstMs: 1_000, longestMs: 5 * 60_000 };
const PAGE = 4_096;

/**
 * Applies erasures again that a restore has undone, until the signal is aborted. The log and the keys are backed up apart, so that either may be from
 * before an erasure that the other one has. Never rejects. Several nodes may do it at the same time.
 */
export async function repeatErasures(deps: RepeatDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, logger } = deps;
  for (let failures = 0; !signal.aborted; ) {
    let pauseMs = EVERY_MS;
    try {
      await repeatOnce(deps, signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (failures === 0) logger.warn({ err: error }, 'erasures could not be compared with the keys; trying again');
      pauseMs = backOffMs(BACK_OFF, failures++, random.fraction());
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Compares the erasures in the log with the keys once, and repairs what differs. */
export async function repeatOnce(deps: RepeatDeps, signal: AbortSignal): Promise<void> {
  const { log, personalKeys, view, logger } = deps;
  const head = await log.head();
  let keys = 0;
  // The keys are older than the log.
  for await (const userIds of view.erased(head, signal)) {
    if (signal.aborted) return;
    for (const [userId, stored] of await personalKeys.stored(userIds)) {
      if (stored !== 'key') continue;
      await personalKeys.destroy(userId);
      keys++;
    }
  }
  if (keys > 0) logger.warn({ keys }, 'the keys of erased persons had been restored, and were destroyed again');
  // The log is older than the keys. A key that does not exist at all was lost, and its person was not erased.
  const persons: string[] = [];
  for await (const userIds of view.unreadable(head, signal)) {
    if (signal.aborted) return;
    for (const [userId, stored] of await personalKeys.stored(userIds)) if (stored === 'destroyed') persons.push(userId);
  }
  if (persons.length > 0) await eraseAgain(deps, persons, signal);
}

async function eraseAgain(deps: RepeatDeps, persons: readonly string[], signal: AbortSignal): Promise<void> {
  const { steps, logger, log } = deps;
  const names = new Map<string, readonly ReservedName[]>();
  for (const userId of persons) {
    const requested = await namesOfRequest(log, userId);
    if (requested !== null) names.set(userId, requested);
  }
  const unknown = new Set(persons.filter((userId) => !names.has(userId)));
  const reserved = unknown.size === 0 ? new Map<string, ReservedName[]>() : await namesHeldBy(log, unknown, signal);
  for (const userId of persons) {
    if (signal.aborted) return;
    await steps.repeat({ userId, names: names.get(userId) ?? reserved.get(userId) ?? [] });
  }
  logger.warn({ persons: persons.length }, 'persons were erased again whose keys had been destroyed');
}

/** The names in the request of an erasure, `null` where the log has none. */
async function namesOfRequest(log: EventLog, userId: string): Promise<readonly ReservedName[] | null> {
  const { events } = await log.readStream(`user-${userId}`, { direction: 'backwards', limit: PAGE, personal: 'omit' });
  // The stream of an account has events of accounts only.
  const request = (events as unknown as readonly UserEvent[]).find(({ type }) => type === 'ErasureRequested');
  return request?.type === 'ErasureRequested' ? request.data.names : null;
}

/** The names that these users hold, or have held. Nothing can be derived from their accounts any more, so the reservations are read, from the first one on. */
async function namesHeldBy(
  log: EventLog,
  userIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Map<string, ReservedName[]>> {
  const found = new Map<string, Map<string, ReservedName>>();
  let from: Position | null = null;
  for (let end = false; !end && !signal.aborted; ) {
    const slice = await log.readAll({
      direction: 'forwards',
      from,
      limit: PAGE,
      filter: { types: ['NameReserved', 'NameConfirmed'] },
    });
    for (const { stream, data } of slice.events) {
      // The filter lets events of reservations through only.
      const { kind, holder } = data as ReservationEvent['data'];
      if (!userIds.has(holder)) continue;
      const id = stream.slice(kind.length + 1);
      const names = found.get(holder) ?? new Map<string, ReservedName>();
      found.set(holder, names.set(stream, { kind, id }));
    }
    from = slice.next ?? from;
    end = slice.end;
  }
  return new Map([...found].map(([userId, names]) => [userId, [...names.values()].slice(-16)]));
}
