import type { ReadinessCheck } from '../http/deps.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { AppendHealth } from '../log/append-health.ts';
import type { EventLog } from '../log/event-log.ts';
import type { FollowerStatus } from '../log/follower.ts';
import type { CollectionDefinition, DocumentStore } from '../ports/documents.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { Projections } from '../projections/runner/projections.ts';

/** The document that stores which log the documents derive from. Positions of another log cannot be compared with theirs. */
const LOG = { collection: 'log', id: 'log' } as const;
const LOG_COLLECTIONS: readonly CollectionDefinition[] = [{ name: LOG.collection, indexes: [] }];

/** Stores in the documents which log they derive from. Throws `INVALID` for documents of another log. */
export async function requireSameLog(log: EventLog, documents: DocumentStore): Promise<void> {
  const epoch = await log.epoch();
  await documents.define(LOG_COLLECTIONS);
  await documents.apply({ writes: [{ ...LOG, position: '0', guard: null, body: { epoch } }] });
  const stored = (await documents.getMany(LOG.collection, [LOG.id])).get(LOG.id);
  if (stored?.body.epoch === epoch) return;
  const message =
    'the documents were made from another event log: restore the event log and the documents that belong together, or remove the documents';
  throw new StoreError('INVALID', message);
}

/** Checks that the stores answer, and that the event store accepts appends. */
export function storeChecks(
  { events, documents }: Readonly<{ events: EventStore; documents: DocumentStore }>,
  appends?: AppendHealth,
): readonly ReadinessCheck[] {
  // A node that waits for the event store has not defined anything yet.
  let isDefined = false;
  return [
    {
      name: 'event-store',
      check: () =>
        reasonOf(async () => {
          await events.head();
          return (await appends?.check()) ?? null;
        }),
    },
    {
      name: 'documents',
      check: () =>
        reasonOf(async () => {
          if (!isDefined) await documents.define(LOG_COLLECTIONS);
          isDefined = true;
          await documents.getMany(LOG.collection, [LOG.id]);
          return null;
        }),
    },
  ];
}

/** An unavailable store is a reason in words, logged once, rather than an error that each probe logs with its stack. */
async function reasonOf(check: () => Promise<string | null>): Promise<string | null> {
  try {
    return await check();
  } catch (error) {
    if (isStoreError(error, 'UNAVAILABLE')) return error.message;
    throw error;
  }
}

/** Checks that each projection can be read and is not parked. */
export function projectionChecks(
  projections: Pick<Projections, 'status'>,
  names: readonly string[],
): readonly ReadinessCheck[] {
  /** The checks of one probe run at the same time and share one read, so that slow documents delay a probe as little as possible. */
  let reading: ReturnType<Projections['status']> | null = null;
  const readAll = (): ReturnType<Projections['status']> => {
    reading ??= projections.status().finally(() => {
      reading = null;
    });
    return reading;
  };
  return names.map((name) => ({
    name: `projection:${name}`,
    async check() {
      const status = (await readAll()).find((candidate) => candidate.name === name);
      if (status?.parked)
        return `parked at ${status.parked.position} (${status.parked.type}): ${status.parked.message}`;
      if (status?.restoredAt)
        return `built again since ${status.restoredAt}, because the event log was restored from an older copy: results may be of the log before`;
      if (status?.state === 'catching-up') return 'still catching up with the event log: results may be incomplete';
      return status?.unavailable ?? null;
    },
  }));
}

/** Checks that a follower keeps following the log. Always ready on a node that does not run it. */
export function followerCheck(name: string, status: () => Promise<FollowerStatus | null>): ReadinessCheck {
  return {
    name: `follower:${name}`,
    async check() {
      const current = await status();
      if (current === null) return null;
      const isFollowing = current.state === 'live' || current.state === 'catching-up';
      return isFollowing ? null : (current.lastError ?? current.state);
    },
  };
}
