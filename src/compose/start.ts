import { createPrometheusTelemetry } from '../adapters/prometheus/telemetry.ts';
import { keepAlive } from '../adapters/system/keep-alive.ts';
import type { Output } from '../adapters/system/output.ts';
import { createSystemClock } from '../adapters/system/system-clock.ts';
import { createSystemRandom } from '../adapters/system/system-random.ts';
import { createWebDocuments } from '../adapters/web/web-documents.ts';
import { type Config, hostOf, publicUrlOf } from '../config/config.ts';
import type { App, HttpConfig } from '../http/deps.ts';
import { buildOperatorApp } from '../http/operator-app.ts';
import { isStoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Projections } from '../projections/runner/projections.ts';
import { observeOutput } from '../telemetry/observe-output.ts';
import { VERSION } from '../version.ts';
import { buildNode, buildWaitingApp, type NodeRole, type NodeSettings } from './node.ts';
import { listenForOperator } from './operator-socket.ts';
import { openStores } from './stores.ts';

export { createOutput } from '../adapters/system/output.ts';
export { createLogger } from '../adapters/system/pino-logger.ts';
export { handleStopSignals } from '../adapters/system/stop-signals.ts';
export { InstallationError } from './installation.ts';
export { createSystemClock };

/** A running node. */
export type Parley = Readonly<{
  /** The URL that it listens on. */
  url: string;
  projections: Projections;
  /** Accepts no new work, finishes the work in progress and closes the stores. May be called twice. */
  close(): Promise<void>;
}>;

export type StartOptions = Readonly<{
  logger: Logger;
  /** Prints a line for the person who started the node. */
  print: (line: string) => void;
  /** What the metrics count dropped lines of. */
  outputs?: readonly Pick<Output, 'dropped'>[];
  /** Stops waiting for unavailable stores. */
  signal?: AbortSignal;
}>;

/** Pause between attempts to start, in ms. */
const RETRY_MS = 1_000;
const ROLES: readonly NodeRole[] = ['api', 'projections', 'mail'];

/**
 * Starts a node. While a shared store is unavailable, it serves `/healthz`, `/readyz` and `/metrics`, answers everything else with 503, and tries
 * again until `signal` is aborted. Rejects on any other failure, after closing everything.
 */
export async function startParley(config: Config, options: StartOptions): Promise<Parley> {
  const system = { clock: createSystemClock(), random: createSystemRandom(), logger: options.logger };
  // While it waits for a store, nothing else may keep the process running.
  using _alive = keepAlive();
  const closing = new AsyncDisposableStack();
  let waiting: App | null = null;
  try {
    const stores = await openStores(config, { ...system, print: options.print, closing });
    const telemetry = createPrometheusTelemetry({ processMetrics: true });
    observeOutput(telemetry, options.outputs ?? []);
    const ports = { ...system, ...stores, telemetry, webDocuments: createWebDocuments(system) };
    const settings = settingsOf(config, `${process.pid}-${system.random.uuid(system.clock.now())}`);
    let reason: string | null = null;
    for (;;) {
      const attempt = new AsyncDisposableStack();
      try {
        const node = await buildNode(ports, settings, attempt);
        await waiting?.close();
        if (config.shared === null) {
          const operator = await buildOperatorApp({ ...system, services: node.operations });
          attempt.defer(() => operator.close());
          await listenForOperator(operator, config.dataDir, options.logger);
        }
        const url = await node.app.listen({ host: hostOf(config), port: config.port });
        closing.use(attempt);
        return { url, projections: node.projections, close: () => closing.disposeAsync() };
      } catch (error) {
        await attempt.disposeAsync();
        if (config.shared === null || !isStoreError(error, 'UNAVAILABLE', 'UNKNOWN') || options.signal?.aborted)
          throw error;
        // The same reason is logged once, however long it lasts.
        if (error.message !== reason) {
          options.logger.warn({ reason: error.message }, 'a store is unavailable; trying again');
        }
        reason = error.message;
        if (waiting === null) {
          waiting = await buildWaitingApp(ports, settings.http);
          await waiting.listen({ host: hostOf(config), port: config.port });
        }
      }
      await system.clock.sleep(RETRY_MS, options.signal);
    }
  } catch (error) {
    await waiting?.close();
    await closing.disposeAsync();
    throw error;
  }
}

/** `unique`: a name of this process. `roles`: those that it may have. An embedded store has only one process; its fixed name lets it continue under its own lease after a crash. */
export function settingsOf(config: Config, unique: string, roles: readonly NodeRole[] = ROLES): NodeSettings {
  const isEmbedded = config.shared === null;
  return {
    roles: new Set(roles.filter((role) => config.roles.has(role))),
    name: isEmbedded ? 'embedded' : unique,
    singleWriter: isEmbedded,
    http: httpConfigOf(config),
    limits: config.limits,
    issuers: config.issuers,
  };
}

function httpConfigOf(config: Config): HttpConfig {
  const { trustProxy, allowedOrigins, limits, metricsToken } = config;
  return {
    publicUrl: publicUrlOf(config),
    version: VERSION,
    trustProxy,
    allowedOrigins,
    connectionsPerNetwork: limits === 'off' ? Number.MAX_SAFE_INTEGER : limits.connectionsPerNetwork,
    socketsPerUser: limits === 'off' ? Number.MAX_SAFE_INTEGER : limits.socketsPerUser,
    anonymousSockets: limits === 'off' ? Number.MAX_SAFE_INTEGER : limits.anonymousSockets,
    rateLimits: limits === 'off' ? 'off' : limits.rates,
    metricsToken,
  };
}
