import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Refusal } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { ReadModels } from '../../projections/runner/read-models.ts';

/** How long a query waits for the position that it requires, in ms. */
const WAIT_MS = 5_000;

/** Query parameter of every query: the same as the header `Min-Position`, for clients that cannot set headers. */
export const MinPosition = Type.Optional(
  Type.String({
    description: 'Wait (at most 5 s) until the read model has reached this position, from the response to a command',
  }),
);

/**
 * The position that the caller requires, `undefined` when there is none. Throws `malformed` for text that is not spelled like a position of this log.
 */
export function requiredPosition(request: FastifyRequest, log: Pick<ReadModels, 'isPosition'>): Position | undefined {
  const { minPosition } = request.query as { minPosition?: Static<typeof MinPosition> };
  const wanted = request.headers['min-position'] ?? minPosition;
  if (wanted === undefined || (typeof wanted === 'string' && log.isPosition(wanted))) return wanted;
  const errors = [{ path: 'Min-Position', message: 'must be a position from a response' }];
  throw new Refusal('malformed', 'invalid Min-Position', { errors });
}

/** Waits until the read models have reached the position that the caller requires. Throws `malformed`, and `not-yet-visible` when it takes too long. */
export async function untilVisible(
  request: FastifyRequest,
  readModels: ReadModels,
  projections: readonly string[],
): Promise<void> {
  const wanted = requiredPosition(request, readModels);
  if (wanted === undefined) return;
  if (await readModels.waitFor(projections, wanted, WAIT_MS, request.signal)) return;
  throw new Refusal('not-yet-visible', 'the read model has not reached this position yet', { retryAfterMs: 1_000 });
}
