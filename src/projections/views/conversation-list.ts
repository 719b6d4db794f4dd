import { StoreError } from '../../kernel/errors.ts';
import type { Page, StoredDocument } from '../../ports/documents.ts';
import type { ConversationBody } from '../models/conversations.ts';
import type { MembershipBody } from '../models/memberships.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { CONVERSATIONS, MEMBERSHIPS } from './collections.ts';
import { afterOption, type List, type PageRequest } from './list.ts';

type Summary = StoredDocument<ConversationBody>;

/** Where a list continues: in the conversations that name their members (by the store's cursor), and after which of the large ones. */
type Cursor = Readonly<{
  named: string | null;
  namedEnd: boolean;
  large: readonly [activity: string, id: string] | null;
}>;

const START: Cursor = { named: null, namedEnd: false, large: null };

/** Ids in one `in` condition. */
const IDS_MAX = 1_000;

/**
 * A user's conversations, newest activity first. Those that name their members are read from an index, a page at a time. The large ones are few, and
 * few users have any: they are found through the user's memberships and merged in, unless the store has none at all.
 */
export async function listConversations(
  readModels: ReadModels,
  userId: string,
  { limit, after }: PageRequest,
): Promise<List<Summary>> {
  const cursor = after === undefined ? START : decode(after);
  const find = async (count: number): Promise<Page<ConversationBody>> => {
    if (cursor.namedEnd) return { items: [], next: null };
    const sort = { fields: ['activity'], direction: 'desc' } as const;
    const filter = { memberIds: { contains: userId } };
    const query = { filter, sort, limit: count, ...afterOption(cursor.named) };
    return readModels.find<ConversationBody>(CONVERSATIONS, query);
  };
  const [named, large] = await Promise.all([find(limit), largeOnes(readModels, userId, cursor.large)]);
  const items = [...named.items, ...large].sort(newestFirst).slice(0, limit);
  const takenNamed = items.filter((item) => named.items.includes(item)).length;
  const lastLarge = items.findLast((item) => large.includes(item));

  let nextNamed = named.next;
  // The store's cursor is for the whole page. When only a part of it was used, the cursor of that part is read.
  if (takenNamed < named.items.length) nextNamed = takenNamed === 0 ? cursor.named : (await find(takenNamed)).next;
  const namedEnd = cursor.namedEnd || (nextNamed === null && (takenNamed > 0 || named.items.length === 0));
  const moreLarge = items.length - takenNamed < large.length;
  const next: Cursor = {
    named: nextNamed,
    namedEnd,
    large: lastLarge === undefined ? cursor.large : [lastLarge.body.activity, lastLarge.id],
  };
  return { items, next: namedEnd && !moreLarge ? null : encode(next) };
}

/** All large conversations of a user after the cursor, newest activity first. */
async function largeOnes(readModels: ReadModels, userId: string, after: Cursor['large']): Promise<readonly Summary[]> {
  const isLarge = { flags: { contains: 'large' } } as const;
  if ((await readModels.count(CONVERSATIONS, isLarge, 1)) === 0) return [];
  const found: Summary[] = [];
  let next: string | null = null;
  do {
    const query = { filter: { userId }, limit: IDS_MAX, ...afterOption(next) };
    const page: Page<MembershipBody> = await readModels.find<MembershipBody>(MEMBERSHIPS, query);
    const ids = page.items.map(({ body }) => body.conversationId);
    const filter = { ...isLarge, _id: { in: ids } };
    if (ids.length > 0) {
      found.push(...(await readModels.find<ConversationBody>(CONVERSATIONS, { filter, limit: IDS_MAX })).items);
    }
    next = page.next;
  } while (next !== null);
  return found.filter((item) => after === null || isOlder(item, after)).sort(newestFirst);
}

const isOlder = ({ id, body }: Summary, [activity, afterId]: readonly [string, string]): boolean =>
  body.activity < activity || (body.activity === activity && id < afterId);

const newestFirst = (a: Summary, b: Summary): number => (isOlder(a, [b.body.activity, b.id]) ? 1 : -1);

const encode = (cursor: Cursor): string => Buffer.from(JSON.stringify(cursor)).toString('base64url');

function decode(text: string): Cursor {
  try {
    const cursor: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (isCursor(cursor)) return cursor;
  } catch (error) {
    throw new StoreError('INVALID', 'invalid cursor', { cause: error });
  }
  throw new StoreError('INVALID', 'invalid cursor');
}

function isCursor(value: unknown): value is Cursor {
  if (typeof value !== 'object' || value === null) return false;
  const { named, namedEnd, large } = value as Partial<Record<keyof Cursor, unknown>>;
  const isLarge =
    large === null || (Array.isArray(large) && large.length === 2 && large.every((part) => typeof part === 'string'));
  return (named === null || typeof named === 'string') && typeof namedEnd === 'boolean' && isLarge;
}
