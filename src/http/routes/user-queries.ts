import { Type } from 'typebox';
import { closed, UserId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { createUsersView } from '../../projections/views/users.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { sendEntity } from '../request/preconditions.ts';
import { charge, type RateLimits } from '../request/rate-limits.ts';
import { MinPosition, requiredPosition, untilVisible } from '../request/read-your-writes.ts';
import { OwnUserShape, toOwnUser, toUser, UserShape } from '../shapes/users.ts';
import { Cursor, ListOf, limitOf, readPage, sendPage } from './paging.ts';

const LIMIT = 20;
/** Names of a page that cost one unit of the limit of the directory, so that all of it cannot be copied in one burst. */
const NAMES_PER_UNIT = 20;
const tags = ['users'];
const Search = Type.Object({
  search: Type.Optional(
    Type.String({ maxLength: 100, description: 'Start of a name or of a word in it; case and accents are ignored' }),
  ),
  limit: limitOf(LIMIT),
  after: Cursor,
  minPosition: MinPosition,
});
const One = Type.Object({ minPosition: MinPosition });
/** The projections that users are read from. */
const projections = ['users'];

/** Queries for the caller's own profile and for other users. */
export function addUserQueries(
  app: App,
  { readModels, identity }: Pick<AppDeps, 'readModels' | 'identity'>,
  limits: RateLimits,
): void {
  const view = createUsersView(readModels);

  app.get(
    '/api/v1/users/me',
    {
      schema: {
        summary: 'Get your own profile',
        description: 'Includes everything that was written before the request: it needs no `Min-Position`.',
        tags,
        querystring: One,
        response: { 200: OwnUserShape },
      },
      config: { precondition: 'if-none-match' },
    },
    async (request, reply) => {
      requiredPosition(request, readModels);
      const { profile, revision } = await identity.profile(principalOf(request).userId);
      return sendEntity(request, reply, revision, toOwnUser(profile));
    },
  );

  app.get(
    '/api/v1/users/:id',
    {
      schema: {
        summary: 'Get a user',
        tags,
        params: closed({ id: UserId }),
        querystring: One,
        response: { 200: UserShape },
      },
      config: { problems: ['not-yet-visible'], precondition: 'if-none-match' },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
      const user = await view.byId(request.params.id);
      if (user?.status !== 'active') throw new Refusal('not-found', 'there is no such user');
      return sendEntity(request, reply, user.revision, toUser(user));
    },
  );

  app.get(
    '/api/v1/users',
    {
      schema: {
        summary: 'Find users by name',
        tags,
        querystring: Search,
        response: { 200: ListOf(UserShape, 'In the order of usernames') },
      },
      config: { problems: ['not-yet-visible'] },
    },
    async (request, reply) => {
      const { search = '', limit = LIMIT, after } = request.query;
      charge(limits.directory, principalOf(request).userId, Math.ceil(limit / NAMES_PER_UNIT));
      await untilVisible(request, readModels, projections);
      const page = await readPage('after', after, () => view.search(search, { limit, after }));
      return sendPage(request, reply, 'after', { items: page.items.map(toUser), next: page.next });
    },
  );
}
