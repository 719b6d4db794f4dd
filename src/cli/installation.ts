import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Static, TObject, TProperties } from 'typebox';
import { operatorSocketOf } from '../compose/operator-socket.ts';
import { type OpenServices, openServices } from '../compose/without-server.ts';
import type { Config } from '../config/config.ts';
import { createValidator } from '../http/request/validation.ts';
import type { Json } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Operation } from '../operations/operation.ts';

/** How long a running server may take for an operation, in ms. */
const ANSWER_MS = 60_000;

/** The installation that the environment configures. */
export interface Installation {
  /**
   * Performs an operation: in the embedded server while it runs, and else in this process. Throws a `Refusal` or a `StoreError` in this process, and an
   * `OperationFailed` with the same message for those of a server.
   */
  call<Properties extends TProperties, Result extends Json>(
    operation: Operation<Properties, Result>,
    params: Static<TObject<Properties>>,
  ): Promise<Result>;

  /** Closes what this process has opened. */
  close(): Promise<void>;
}

/** The running server could not perform an operation. The message is for the operator. */
export class OperationFailed extends Error {
  override readonly name = 'OperationFailed';
}

/** Opens nothing before the first call. */
export function createInstallation(config: Config, logger: Logger): Installation {
  let opened: Promise<OpenServices> | null = null;
  return {
    async call(operation, params) {
      createValidator(operation.params)(params);
      // The server of shared stores may run on another machine, and leaves the data folder to itself.
      if (config.shared === null && opened === null && process.platform !== 'win32') {
        const answer = await ask(operatorSocketOf(config.dataDir), operation.name, params);
        // Only servers answer at this socket, and those of another version are refused by the name of the operation.
        if (answer !== null) return answer as Awaited<ReturnType<typeof operation.run>>;
      }
      opened ??= openServices(config, logger);
      const { services } = await opened;
      return operation.run(services, params);
    },
    async close() {
      // Failing to open has been reported by the call.
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
