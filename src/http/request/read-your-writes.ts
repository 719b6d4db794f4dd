import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Refusal } from '../../kernel/errors.ts';
import type { ReadModels } from '../../projections/runner/read-models.ts';

/** How long a query waits for the position that it requires, in ms. */
const WAIT_MS = 5_000;

/** Query parameter of every query: the same as the header `Min-Position`, for clients that cannot set headers. */
export const MinPosition = Type.Optional(
  Type.String({ description: 'Wait (at most 5 s) until the read model has reached this position from a 202 response' }),
);

/**
 * Waits until the read models have reached the position that the caller requires. Throws `malformed` for a text that is no position of this log, and
 * `not-yet-visible` when it takes too long.
 */
export async function untilVisible(
  request: FastifyRequest,
  readModels: ReadModels,
  projections: readonly string[],
): Promise<void> {
  const { minPosition } = request.query as { minPosition?: Static<typeof MinPosition> };
  const wanted = request.headers['min-position'] ?? minPosition;
  if (wanted === undefined) return;
  if (typeof wanted !== 'string' || !readModels.isPosition(wanted)) {
    const errors = [{ path: 'Min-Position', message: 'must be a position from a 202 response' }];
    throw new Refusal('malformed', 'invalid Min-Position', { errors });
  }
  if (await readModels.waitFor(projections, wanted, WAIT_MS, request.signal)) return;
  throw new Refusal('not-yet-visible', 'the read model has not reached this position yet', { retryAfterMs: 1_000 });
}
