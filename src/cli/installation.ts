import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { operatorSocketOf } from '../compose/operator-socket.ts';
import type { OpenInstallation } from '../compose/without-server.ts';
import type { Config } from '../config/config.ts';
import type { Json } from '../kernel/json.ts';
import type { Perform } from '../operations/operation.ts';

/** How long a running server may take for an operation, in ms. */
const ANSWER_MS = 60_000;

/** The installation that the environment configures. */
export type Installation = Readonly<{
  /**
   * Performs an operation: in the embedded server while it runs, and else in this process. Throws a `Refusal` or a `StoreError` in this process, and an
   * `OperationFailed` with the same message for those of a server.
   */
  call: Perform;
  /** Closes what this process has opened. */
  close(): Promise<void>;
}>;

/** The running server could not perform an operation. The message is for the operator. */
export class OperationFailed extends Error {
  override readonly name = 'OperationFailed';
}

/** Opens nothing before the first call, and the stores only when no server runs. */
export function createInstallation(
  config: Config,
  openStores: (config: Config) => Promise<OpenInstallation>,
): Installation {
  let opened: Promise<OpenInstallation> | null = null;
  return {
    async call(operation, params) {
      // The nodes of shared stores may run on other machines, and leave the data folder to themselves.
      if (config.shared === null && opened === null && process.platform !== 'win32') {
        const answer = await ask(operatorSocketOf(config.dataDir), operation.name, params);
        // Only servers answer at this socket, and one of another version does not know the operation.
        if (answer !== null) return answer as Awaited<ReturnType<typeof operation.run>>;
      }
      opened ??= openStores(config);
      return (await opened).perform(operation, params);
    },
    async close() {
      // A failure to open was reported by the call.
      await opened?.then(
        ({ close }) => close(),
        () => {},
      );
    },
  };
}

/** The result of the running server, `null` when none runs. */
async function ask(socketPath: string, name: string, params: unknown): Promise<Json | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Readonly<{ status: number; body: string }>>();
  const headers = { 'content-type': 'application/json', connection: 'close' };
  const asked = request({ socketPath, path: `/operations/${name}`, method: 'POST', headers, timeout: ANSWER_MS });
  asked.on('error', reject);
  asked.on('timeout', () => asked.destroy(new OperationFailed('the server did not answer in time')));
  asked.on('response', (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
  });
  asked.end(JSON.stringify(params));
  let answer: Awaited<typeof promise>;
  try {
    answer = await promise;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // No socket, or that of a server that has crashed.
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
    if (code !== 'EACCES') throw error;
    throw new OperationFailed(`the server is that of another user: run this as the owner of ${socketPath}`);
  }
  const body: unknown = JSON.parse(answer.body);
  if (answer.status === 200) return body as Json;
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? String(body.detail) : null;
  throw new OperationFailed(detail ?? `the server answered ${answer.status}`);
}
