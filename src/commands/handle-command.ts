import { user } from '../aggregates/user/decider.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { Random } from '../ports/random.ts';
import { AggregateCache } from './aggregate-cache.ts';
import type { CommandHandler, Handled } from './command-handler.ts';
import { Paces } from './pace.ts';
import { createSnapshots } from './snapshots.ts';
import { StreamQueue } from './stream-queue.ts';

/** Commands that may wait for one stream, and altogether. */
const WAITING_MAX = { perStream: 2_048, altogether: 20_000 };

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
  log.onErased((personId) => cache.forget(`${user.category}-${personId}`));
  const turn = { log, cache, clock, random, paces: deps.singleWriter ? null : new Paces(clock, random) };
  // biome-ignore lint/suspicious/noExplicitAny: each queue has its own aggregate's types; only here do they meet
  const queues = new Map<string, StreamQueue<any, any, any>>();
  let [waiting, closed] = [0, false];
  return {
    handle(aggregate, id, command, options = {}) {
      const stream = `${aggregate.category}-${id}`;
      const queue = queues.get(stream) ?? new StreamQueue(turn, aggregate, stream, () => queues.delete(stream));
      if (closed || waiting >= WAITING_MAX.altogether || queue.length >= WAITING_MAX.perStream) {
        return Promise.reject(
          new Refusal('unavailable', 'too many commands are waiting; try again', { retryAfterMs: 1_000 }),
        );
      }
      waiting++;
      queues.set(stream, queue);
      const handled = new Promise<Handled>((resolve, reject) => queue.add({ command, options, resolve, reject }));
      return handled.finally(() => waiting--);
    },

    async load(aggregate, id, how) {
      const stream = `${aggregate.category}-${id}`;
      const { loaded, fresh } = await cache.load(aggregate, stream);
      return how === 'cached' || fresh ? loaded : cache.advance(aggregate, stream, loaded);
    },

    async close() {
      closed = true;
      while (queues.size > 0) await Promise.all([...queues.values()].map((queue) => queue.idle));
      await snapshots.close();
    },
  };
}
