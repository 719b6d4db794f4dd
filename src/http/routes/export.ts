import type { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { JsonObject } from '../../kernel/json.ts';
import type { EventLog } from '../../log/event-log.ts';
import { createPersonalDataView } from '../../projections/views/personal-data.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { charge, type RateLimits } from '../request/rate-limits.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import { jsonLines, zipOf } from '../request/zip.ts';
import { toOwnUser } from '../shapes/users.ts';

/** Events of a stream in memory at once. */
const PAGE = 100;
/** The projections that are read. */
const projections = ['conversations', 'messages', 'memberships'];
/** Streams with everything that happened to an account: their categories, and the names of the files. */
const histories = { user: 'account', sessions: 'sessions', marks: 'read-marks' } as const;
/** Fields that are not about the person, but secrets: who has the archive must not be able to guess the password. */
const SECRETS: ReadonlySet<string> = new Set(['passwordHash']);

/** The export of everything that is stored about the caller. */
export function addExport(
  app: App,
  { identity, readModels, log, clock, logger }: Pick<AppDeps, 'identity' | 'readModels' | 'log' | 'clock' | 'logger'>,
  limits: RateLimits,
): void {
  const view = createPersonalDataView(readModels);

  app.get(
    '/api/v1/users/me/export',
    {
      schema: {
        summary: 'Export everything about you',
        description:
          'A zip archive of JSON files: your profile, the history of your account, of your sessions and read marks, your conversations, and all messages that you have sent. An archive that ends early is not complete.',
        tags: ['accounts'],
        querystring: Type.Object({ minPosition: MinPosition }),
        response: {
          200: {
            description: 'The archive',
            content: { 'application/zip': { schema: Type.Unsafe<Readable>({ type: 'string', format: 'binary' }) } },
          },
        },
      },
      config: { problems: ['not-yet-visible'] },
    },
    async (request, reply) => {
      const { userId } = principalOf(request);
      charge(limits.export, userId);
      await untilVisible(request, readModels, projections);
      for (const projection of projections) await readModels.requireReadable(projection);
      const { profile } = await identity.profile(userId);
      const archive = zipOf(
        [
          { name: 'profile.json', content: () => once(toOwnUser(profile)) },
          ...Object.entries(histories).map(([category, name]) => ({
            name: `${name}-history.json`,
            content: () => jsonLines(historyOf(log, `${category}-${userId}`)),
          })),
          { name: 'conversations.json', content: () => jsonLines(view.conversationsOf(userId)) },
          { name: 'messages.json', content: () => jsonLines(view.messagesOf(userId)) },
        ],
        clock.now(),
      );
      archive.once('error', (error) =>
        logger.warn({ err: error, correlationId: request.id }, 'an export was cut short'),
      );
      return reply
        .type('application/zip')
        .header('content-disposition', 'attachment; filename="parley-export.zip"')
        .send(archive);
    },
  );
}

async function* once(value: unknown): AsyncGenerator<string> {
  yield `${JSON.stringify(value, null, 2)}\n`;
}

type HistoryItem = Readonly<{ event: string; at: string; data: JsonObject }>;

/** The events of a stream, from the first one that it still has. */
async function* historyOf(log: Pick<EventLog, 'readStream'>, stream: string): AsyncGenerator<readonly HistoryItem[]> {
  let from = 0n;
  for (let end = false; !end; ) {
    const slice = await log.readStream(stream, { from, limit: PAGE });
    yield slice.events.map(({ type, recordedAt, data }) => ({
      event: type,
      at: recordedAt,
      data: Object.fromEntries(Object.entries(data).filter(([field]) => !SECRETS.has(field))),
    }));
    const last = slice.events.at(-1);
    if (last !== undefined) from = last.revision + 1n;
    end = slice.end || last === undefined;
  }
}
