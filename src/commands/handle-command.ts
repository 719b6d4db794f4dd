import { Refusal } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { EventStore } from '../ports/event-store.ts';
import { AggregateCache } from './aggregate-cache.ts';
import type { CommandHandler, Handled } from './command-handler.ts';
import { Paces } from './pace.ts';
import { createSnapshots } from './snapshots.ts';
import { StreamQueue } from './stream-queue.ts';

/** Commands that may wait for one stream, and altogether. */
const WAITING_MAX = { perStream: 2_048, altogether: 20_000 };

/** Makes this node's command handler. `documents` keeps the snapshots; `alone`: no other node writes to this log. */
export async function createCommandHandler(deps: {
  events: EventStore;
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  alone: boolean;
}): Promise<CommandHandler> {
  const { events, clock } = deps;
  const snapshots = await createSnapshots(deps);
  const cache = new AggregateCache({ events, snapshots, clock });
  const turn = { events, cache, clock, paces: deps.alone ? null : new Paces(clock) };
  // biome-ignore lint/suspicious/noExplicitAny: each queue has its own aggregate's types; only here do they meet
  const queues = new Map<string, StreamQueue<any, any, any>>();
  const running = new Set<Promise<void>>();
  let [waiting, closed] = [0, false];
  return {
    handle(aggregate, id, command, options = {}) {
      const stream = `${aggregate.category}-${id}`;
      const queue = queues.get(stream) ?? new StreamQueue(turn, aggregate, stream);
      if (closed || waiting >= WAITING_MAX.altogether || queue.length >= WAITING_MAX.perStream) {
        return Promise.reject(new Refusal('unavailable', 'too much is waiting; try again', { retryAfterMs: 1_000 }));
      }
      waiting++;
      const handled = new Promise<Handled>((resolve, reject) => queue.add({ command, options, resolve, reject }));
      if (!queues.has(stream)) {
        queues.set(stream, queue);
        const run = queue.run(() => queues.delete(stream)).then(() => void running.delete(run));
        running.add(run);
      }
      return handled.finally(() => waiting--);
    },

    async look(aggregate, id, how) {
      const stream = `${aggregate.category}-${id}`;
      const { loaded, fresh } = await cache.load(aggregate, stream);
      return how === 'cached' || fresh ? loaded : cache.advance(aggregate, stream, loaded);
    },

    async close() {
      closed = true;
      await Promise.all(running);
      await snapshots.close();
    },
  };
}
