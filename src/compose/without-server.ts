import { join } from 'node:path';
import { createPrometheusTelemetry } from '../adapters/prometheus/telemetry.ts';
import { createSystemClock } from '../adapters/system/system-clock.ts';
import { createSystemRandom } from '../adapters/system/system-random.ts';
import { createWebDocuments } from '../adapters/web/web-documents.ts';
import type { Config } from '../config/config.ts';
import { createValidator } from '../http/request/validation.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Perform } from '../operations/operation.ts';
import { exists, InstallationError } from './installation.ts';
import { buildNode } from './node.ts';
import { settingsOf } from './start.ts';
import { openStores } from './stores.ts';

export { createLogger } from '../adapters/system/pino-logger.ts';

/** An installation that was opened in this process. */
export type OpenInstallation = Readonly<{
  /** Throws a `Refusal` or a `StoreError`. */
  perform: Perform;
  close(): Promise<void>;
}>;

/**
 * Opens the stores of an installation without serving it: one whose embedded server does not run, or one more node of shared stores. It has no role,
 * so it sends no mail and builds no read model. Throws `InstallationError`, and `StoreError` with `UNAVAILABLE` when the stores are unavailable or
 * another process has the data folder.
 */
export async function openInstallation(config: Config, logger: Logger): Promise<OpenInstallation> {
  // A misspelled DATA_DIR would become an installation of its own.
  if (config.shared === null && !(await exists(join(config.dataDir, 'events.db')))) {
    throw new InstallationError(
      `there is no installation in '${config.dataDir}': set DATA_DIR, or start the server first`,
    );
  }
  const system = { clock: createSystemClock(), random: createSystemRandom(), logger };
  const closing = new AsyncDisposableStack();
  try {
    const stores = await openStores(config, { ...system, print: () => {}, closing });
    const telemetry = createPrometheusTelemetry({ processMetrics: false });
    const ports = { ...system, ...stores, telemetry, webDocuments: createWebDocuments(system) };
    const name = `${process.pid}-${system.random.uuid(system.clock.now())}`;
    const { operations } = await buildNode(ports, settingsOf(config, name, []), closing);
    return {
      async perform(operation, params) {
        createValidator(operation.params)(params);
        return operation.run(operations, params);
      },
      close: () => closing.disposeAsync(),
    };
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}
