import { type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import type { Logger } from '../../kernel/logger.ts';

/**
 * Fastify's own events in our log. Requests that succeed are not logged, and those that fail are logged by the error handler. Headers are never
 * logged, because they may hold a token.
 */
export class QuietLog extends LogController {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    super();
    this.#logger = logger;
  }

  override incomingRequest(): void {}
  override requestCompleted(): void {}
  override defaultErrorLog(): void {}
  override routeNotFound(): void {}

  override streamError(error: Error, request: FastifyRequest): void {
    const level = isDisconnect(error) ? 'debug' : 'warn';
    this.#logger[level]({ err: error, correlationId: request.id }, 'response was cut off');
  }

  override writeHeadError(error: Error, request: FastifyRequest): void {
    this.#logger.error({ err: error, correlationId: request.id }, 'response header could not be written');
  }

  override serializerError(error: Error, request: FastifyRequest, _reply: FastifyReply): void {
    this.#logger.error({ err: error, correlationId: request.id }, 'response does not match its schema');
  }

  override serviceUnavailable(): void {
    this.#logger.info({}, 'request received while closing');
  }
}

/** Codes of errors that a client causes by leaving before it has the whole response. */
const DISCONNECTS: ReadonlySet<unknown> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE']);

function isDisconnect(error: Error & { code?: unknown }): boolean {
  return DISCONNECTS.has(error.code);
}
