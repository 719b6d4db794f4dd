import { foldText } from '../../kernel/fold.ts';
import type { Query, StoredDocument } from '../../ports/documents.ts';
import { SHORT_SEARCH, type UserBody } from '../models/users.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { USERS } from './collections.ts';
import { afterOption, type List, type PageRequest } from './list.ts';

/** An account. The route decides which fields its caller may see. Names and address are `null` once the person was erased. */
export type User = Readonly<{ _id: string }> & Omit<UserBody, 'terms' | 'shortTerms'>;

/** Reads accounts; the projection is `users`. */
export interface UsersView {
  /** The account in any status, also `erased`; `null` when it does not exist. */
  byId(id: string): Promise<User | null>;
  /** The accounts of these ids (at most 4,096) in any status, without those that do not exist. */
  byIds(ids: readonly string[]): Promise<ReadonlyMap<string, User>>;
  /** Active users by username. */
  directory(page: PageRequest): Promise<List<User>>;
  /** Active users with a name, or a word of one, that starts with the text, by username. Ignores case and accents; an empty text finds all. */
  search(text: string, page: PageRequest): Promise<List<User>>;
}

export function createUsersView(readModels: ReadModels): UsersView {
  const list = async (filter: Query['filter'], { limit, after }: PageRequest): Promise<List<User>> => {
    const sort = { fields: ['username'], direction: 'asc' } as const;
    const page = await readModels.find<UserBody>(USERS, { filter, sort, limit, ...afterOption(after) });
    return { items: page.items.map(toUser), next: page.next };
  };
  const byIds: UsersView['byIds'] = async (ids) => {
    const found = await readModels.getMany<UserBody>(USERS, [...new Set(ids)]);
    return new Map([...found].map(([id, document]) => [id, toUser(document)]));
  };
  const directory: UsersView['directory'] = (page) => list({ status: 'active' }, page);
  return {
    byIds,
    byId: async (id) => (await byIds([id])).get(id) ?? null,
    directory,
    search(text, page) {
      const prefix = foldText(text);
      if (prefix === '') return directory(page);
      // Only active accounts have search terms.
      const isShort = [...prefix].length <= SHORT_SEARCH;
      return list(isShort ? { shortTerms: { contains: prefix } } : { terms: { containsPrefix: prefix } }, page);
    },
  };
}

function toUser({ id, body }: StoredDocument<UserBody>): User {
  const { terms: _, shortTerms: __, ...shown } = body;
  return { _id: id, ...shown };
}
