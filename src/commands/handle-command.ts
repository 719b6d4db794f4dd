import { user } from '../aggregates/user/decider.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { Random } from '../ports/random.ts';
import { AggregateCache } from './aggregate-cache.ts';
import type { CommandHandler } from './command-handler.ts';
import { handleOnce } from './handle-once.ts';
import { OwnPositions } from './own-positions.ts';
import { Paces } from './pace.ts';
import { createSnapshots } from './snapshots.ts';
import { StreamQueues } from './stream-queues.ts';
import { StreamSearches } from './stream-searches.ts';

/** Makes this node's command handler. `documents` keeps the snapshots; `singleWriter`: no other node writes to this log. */
export async function createCommandHandler(deps: {
  log: EventLog;
  documents: DocumentStore;
  clock: Clock;
  random: Random;
  logger: Logger;
  singleWriter: boolean;
}): Promise<CommandHandler> {
  const { log, clock, random } = deps;
  const snapshots = await createSnapshots(deps);
  const cache = new AggregateCache({ log, snapshots, clock });
  log.onRestored(() => cache.forgetAll());
  log.onErased((personId) => cache.forget(`${user.category}-${personId}`));
  const searches = new StreamSearches({ log, clock });
  const paces = deps.singleWriter ? null : new Paces(clock, random);
  const turn = { log, cache, clock, random, searches, paces };
  const queues = new StreamQueues(turn);
  const once = { ...turn, queues, positions: new OwnPositions(deps) };
  return {
    handle(aggregate, id, command, options = {}) {
      const stream = `${aggregate.category}-${id}`;
      const isKeyed = options.claim !== undefined || options.handledSince !== undefined;
      if (isKeyed) return handleOnce(once, { aggregate, stream, command, options });
      return queues.add(aggregate, stream, { command, options }).handled;
    },

    async load(aggregate, id, how) {
      const stream = `${aggregate.category}-${id}`;
      const { loaded, fresh } = await cache.load(aggregate, stream);
      return how === 'cached' || fresh ? loaded : cache.advance(aggregate, stream, loaded);
    },

    async close() {
      await queues.close();
      await snapshots.close();
    },
  };
}
