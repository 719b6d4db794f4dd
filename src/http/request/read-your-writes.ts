import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Refusal } from '../../kernel/errors.ts';
import type { ReadModels } from '../../projections/runner/read-models.ts';

/** How long a query waits for the position it asks for, in ms. */
const WAIT_MS = 5_000;

const POSITION = /^[\x21-\x7e]{1,64}$/;

/** Of every query's parameters: the same as the `Min-Position` header, for those who cannot set headers. */
export const MinPosition = Type.Optional(
  Type.String({ description: 'Wait (at most 5 s) until what is shown has reached this position, as a 202 told it.' }),
);

/** Waits for what the caller has written to be visible in what the query shows. Throws `not-yet-visible` when that takes too long. */
export async function untilVisible(
  request: FastifyRequest,
  readModels: ReadModels,
  projections: readonly string[],
): Promise<void> {
  const { minPosition } = request.query as { minPosition?: Static<typeof MinPosition> };
  const wanted = request.headers['min-position'] ?? minPosition;
  if (wanted === undefined) return;
  if (typeof wanted !== 'string' || !POSITION.test(wanted)) {
    const errors = [{ path: 'Min-Position', message: 'must be a position as a 202 told it' }];
    throw new Refusal('malformed', 'the Min-Position is not a position', { errors });
  }
  if (await readModels.waitFor(projections, wanted, WAIT_MS, request.signal)) return;
  throw new Refusal('not-yet-visible', 'what was written is not visible yet', { retryAfterMs: 1_000 });
}
