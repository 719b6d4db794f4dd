import { foldText } from '../../kernel/fold.ts';
import type { Query, StoredDocument } from '../../ports/documents.ts';
import type { ReadModels } from '../runner/read-models.ts';
import type { UserBody } from '../models/users.ts';
import { USERS } from './collections.ts';
import { behind, type List, type Part } from './list.ts';

/** An account. What of it whoever asks may see is for the route to say. */
export type User = Readonly<{ _id: string }> & Omit<UserBody, 'terms'>;

/** Reading accounts; the projection is `users`. */
export interface UsersView {
  /** Whatever its status; `null` when there is none. */
  byId(id: string): Promise<User | null>;
  /** Without those that do not exist. At most 4,096 ids. */
  byIds(ids: readonly string[]): Promise<ReadonlyMap<string, User>>;
  /** Active users by username. */
  directory(part: Part): Promise<List<User>>;
  /** Active users with a name, or a word of one, that starts so, by username. Case and marks do not count; an empty text finds all. */
  search(text: string, part: Part): Promise<List<User>>;
}

export function createUsersView(readModels: ReadModels): UsersView {
  const list = async (filter: Query['filter'], { limit, after }: Part): Promise<List<User>> => {
    const sort = { fields: ['username'], direction: 'asc' } as const;
    const page = await readModels.find<UserBody>(USERS, { filter, sort, limit, ...behind(after) });
    return { items: page.items.map(toUser), next: page.next };
  };
  const byIds: UsersView['byIds'] = async (ids) => {
    const found = await readModels.getMany<UserBody>(USERS, [...new Set(ids)]);
    return new Map([...found].map(([id, document]) => [id, toUser(document)]));
  };
  const directory: UsersView['directory'] = (part) => list({ status: 'active' }, part);
  return {
    byIds,
    byId: async (id) => (await byIds([id])).get(id) ?? null,
    directory,
    search(text, part) {
      const prefix = foldText(text);
      return prefix === '' ? directory(part) : list({ terms: { containsPrefix: prefix } }, part);
    },
  };
}

function toUser({ id, body }: StoredDocument<UserBody>): User {
  const { terms: _, ...shown } = body;
  return { _id: id, ...shown };
}
