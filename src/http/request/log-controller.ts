import { type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import type { Logger } from '../../kernel/logger.ts';

/**
 * What Fastify says of itself, in our log. Requests that go well leave no line, and those that fail are logged by the error handler; headers, which
 * may hold a token, never are.
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
    this.#logger.warn({ err: error, correlationId: request.id }, 'an answer broke off');
  }

  override writeHeadError(error: Error, request: FastifyRequest): void {
    this.#logger.error({ err: error, correlationId: request.id }, 'the head of an answer could not be written');
  }

  override serializerError(error: Error, request: FastifyRequest, _reply: FastifyReply): void {
    this.#logger.error({ err: error, correlationId: request.id }, 'an answer did not fit its schema');
  }

  override serviceUnavailable(): void {
    this.#logger.info({}, 'a request came while closing');
  }
}
