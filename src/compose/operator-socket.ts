import { chmod, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { App } from '../http/deps.ts';
import type { Logger } from '../kernel/logger.ts';

/** For the owner alone: a process that can connect can perform every operation. */
const OWNER = 0o600;

/**
 * The socket in the data folder by which the command line reaches the embedded server. Relative to the working directory where that is shorter: the
 * system limits the length of the address to about 100 bytes.
 */
export function operatorSocketOf(dataDir: string): string {
  const path = resolve(join(dataDir, 'operator.sock'));
  const short = relative(process.cwd(), path);
  return short.length < path.length ? short : path;
}

/**
 * Listens on the socket. The caller has the lock on the data folder, so an existing socket was left by a process that has crashed. A server that cannot
 * listen there works without: on Windows, and where the path is too long or the file system has no sockets.
 */
export async function listenForOperator(app: App, dataDir: string, logger: Logger): Promise<void> {
  if (process.platform === 'win32') return;
  const path = operatorSocketOf(dataDir);
  try {
    await rm(path, { force: true });
    await app.listen({ path });
    await chmod(path, OWNER);
  } catch (err) {
    logger.warn({ err, path }, 'the command line cannot reach this server while it runs');
  }
}
