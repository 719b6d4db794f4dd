import { createSystemClock } from '../adapters/system/system-clock.ts';
import { composeNode } from './node.ts';
import { openStores, partsOf, type Stores } from './stores.ts';
import type { Config } from '../config/config.ts';
import type { App } from '../http/deps.ts';
import { buildHealthApp } from '../http/health-app.ts';
import { isStoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Projections } from '../projections/runner/projections.ts';

/** A node that runs. */
export type Parley = Readonly<{
  /** Where it listens. */
  url: string;
  projections: Projections;
  /** Takes no new work, finishes what it has, and frees everything. May be called twice. */
  close(): Promise<void>;
}>;

export type StartOptions = Readonly<{
  logger: Logger;
  /** Tells a line to whoever started it. */
  print: (line: string) => void;
  /** Ends the waiting for stores that are away. */
  signal?: AbortSignal;
}>;

/** Pause between two tries to start, in ms. */
const RETRY_MS = 1_000;

/**
 * Starts a node. While a shared store is away it answers `/readyz` with what is missing and everything else with 503, and tries again until `signal`
 * is aborted. Anything else that is wrong is thrown, with everything closed again.
 */
export async function startParley(config: Config, options: StartOptions): Promise<Parley> {
  const clock = createSystemClock();
  const closing = new AsyncDisposableStack();
  let waiting: App | null = null;
  try {
    const stores = await openStores(config, { ...options, clock, closing });
    for (;;) {
      const attempt = new AsyncDisposableStack();
      try {
        const node = await composeNode(config, stores, { ...options, clock, closing: attempt });
        await waiting?.close();
        const url = await node.app.listen({ host: config.host, port: config.port });
        closing.use(attempt);
        return { url, projections: node.projections, close: () => closing.disposeAsync() };
      } catch (error) {
        await attempt.disposeAsync();
        const shared = config.eventStoreUrl !== null || config.mongoUrl !== null;
        if (!shared || !isStoreError(error, 'UNAVAILABLE', 'UNKNOWN') || options.signal?.aborted) throw error;
        options.logger.warn({ err: error }, 'a store is away; starting waits for it');
        waiting ??= await listenWhileAway(config, stores, { ...options, clock });
      }
      await clock.sleep(RETRY_MS, options.signal);
    }
  } catch (error) {
    await waiting?.close();
    await closing.disposeAsync();
    throw error;
  }
}

async function listenWhileAway(config: Config, stores: Stores, deps: { clock: Clock; logger: Logger }): Promise<App> {
  const app = await buildHealthApp({ ...deps, parts: partsOf(stores) }, 'starting');
  await app.listen({ host: config.host, port: config.port });
  return app;
}
