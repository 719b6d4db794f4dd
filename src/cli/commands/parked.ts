import { listParked, RETRY_MAX, retryParked } from '../../operations/parked.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../command.ts';
import { table } from '../table.ts';

const LIMIT = 100;
const LIMIT_MAX = 1_000;

const effects = (count: number): string => `${count} ${count === 1 ? 'effect' : 'effects'}`;

/** Shows what was given up, such as mails that a server rejects. */
export const parkedList: Command = {
  name: 'parked list',
  usage: `[--limit=${LIMIT}]`,
  summary: 'List mails and other effects that were given up, the oldest first',
  options: { limit: { type: 'string' } },
  async run({ args, options, installation }) {
    if (args.length > 0) throw new UsageError('parked list takes no arguments');
    const limit = Number(options.limit ?? LIMIT);
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
      throw new UsageError(`--limit must be an integer from 1 to ${LIMIT_MAX}`);
    }
    const { items, total } = await installation.call(listParked, { limit });
    const rows = items.map(({ id, reaction, type, attempts, parkedAt, lastError }) => {
      return [id, new Date(parkedAt).toISOString(), reaction, type, String(attempts), lastError ?? ''];
    });
    const header = ['ID', 'PARKED AT', 'REACTION', 'EVENT', 'ATTEMPTS', 'LAST ERROR'];
    const shown = items.length < total ? `, the first ${items.length} of them shown` : '';
    const lines = [...(rows.length > 0 ? table([header, ...rows]) : []), `${effects(total)} parked${shown}`];
    return { lines, json: { items, total } };
  },
};

/** Has effects attempted again, as if they were new: at once, then after growing pauses for 24 h. */
export const parkedRetry: Command = {
  name: 'parked retry',
  usage: '<id>… | --all',
  summary: 'Attempt effects again that were given up, as if they were new',
  options: { all: { type: 'boolean' } },
  async run({ args, options, installation }) {
    if (args.length > 0 === (options.all === true)) throw new UsageError('give the ids of effects, or --all');
    if (args.length > RETRY_MAX) throw new UsageError(`give at most ${RETRY_MAX} ids`);
    const result = await installation.call(retryParked, { ids: args.length > 0 ? [...args] : ('all' as const) });
    const { retried, missing } = result;
    const lines = [`${effects(retried.length)} will be attempted again`, ...missing.map((id) => `not parked: ${id}`)];
    return { lines, json: result, exitCode: missing.length === 0 ? 0 : 1 };
  },
};
