import { Type } from 'typebox';
import type { ParkedEffect } from '../reactions/parked-effects.ts';
import { describeOperation } from './operation.ts';

/** Effects that are counted at most. */
const COUNT_MAX = 10_000;
/** Effects that are named in one call at most. */
export const RETRY_MAX = 1_000;

const closed = { additionalProperties: false };

/** Effects that were given up, those that were parked first at the beginning, and how many there are, counted up to 10,000. */
export const listParked = describeOperation({
  name: 'parked-list',
  params: Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 1_000 }) }, closed),
  async run({ parked }, { limit }) {
    const lists = await Promise.all(parked.map((effects) => effects.list(limit)));
    const counts = await Promise.all(parked.map((effects) => effects.count(COUNT_MAX)));
    const items: ParkedEffect[] = lists
      .flat()
      .sort((a, b) => a.parkedAt - b.parkedAt)
      .slice(0, limit);
    return { items, total: counts.reduce((sum, count) => sum + count, 0) };
  },
});

/** Makes parked effects pending again: those of these ids, or all. `missing`: ids that are not those of parked effects. */
export const retryParked = describeOperation({
  name: 'parked-retry',
  params: Type.Object(
    {
      ids: Type.Union([
        Type.Literal('all'),
        Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { minItems: 1, maxItems: RETRY_MAX }),
      ]),
    },
    closed,
  ),
  async run({ parked }, { ids }) {
    const retried: string[] = [];
    for (const effects of parked) retried.push(...(await effects.retry(ids)));
    const missing = ids === 'all' ? [] : ids.filter((id) => !retried.includes(id));
    return { retried, missing };
  },
});
