import { StoreError } from '../../kernel/errors.ts';
import type { Page, StoredDocument } from '../../ports/documents.ts';
import type { ConversationBody } from '../models/conversations.ts';
import type { MembershipBody } from '../models/memberships.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { CONVERSATIONS, MEMBERSHIPS } from './collections.ts';
import { behind, type List, type Part } from './list.ts';

type Summary = StoredDocument<ConversationBody>;

/** Where a list goes on: in the conversations that name their members, and behind which of the large ones. */
type Cursor = Readonly<{
  named: string | null;
  namedEnd: boolean;
  large: readonly [activity: string, id: string] | null;
}>;

const START: Cursor = { named: null, namedEnd: false, large: null };

/** Ids in one `in`. */
const IDS_MAX = 1_000;

/**
 * A user's conversations, newest activity first. Those that name their members come off an index, a page at a time. The large ones, which few
 * users have and which are few, are found by way of the user's memberships, and merged in; a store without any large one skips that.
 */
export async function listConversations(readModels: ReadModels, userId: string, part: Part): Promise<List<Summary>> {
  const cursor = part.after === undefined ? START : decode(part.after);
  const find = async (limit: number): Promise<Page<ConversationBody>> => {
    if (cursor.namedEnd) return { items: [], next: null };
    const sort = { fields: ['activity'], direction: 'desc' } as const;
    const filter = { memberIds: { contains: userId } };
    return readModels.find<ConversationBody>(CONVERSATIONS, { filter, sort, limit, ...behind(cursor.named) });
  };
  const [named, large] = await Promise.all([find(part.limit), largeOnes(readModels, userId, cursor.large)]);
  const items = [...named.items, ...large].sort(newestFirst).slice(0, part.limit);
  const takenNamed = items.filter((item) => named.items.includes(item)).length;
  const lastLarge = items.findLast((item) => large.includes(item));

  let goesOn = named.next;
  // The store's own cursor stands behind a whole page; one that was only used in part is asked for again, as far as it was used.
  if (takenNamed < named.items.length) goesOn = takenNamed === 0 ? cursor.named : (await find(takenNamed)).next;
  const namedEnd = cursor.namedEnd || (goesOn === null && (takenNamed > 0 || named.items.length === 0));
  const moreLarge = items.length - takenNamed < large.length;
  const next: Cursor = {
    named: goesOn,
    namedEnd,
    large: lastLarge === undefined ? cursor.large : [lastLarge.body.activity, lastLarge.id],
  };
  return { items, next: namedEnd && !moreLarge ? null : encode(next) };
}

/** All large conversations of a user behind the cursor, newest activity first. */
async function largeOnes(readModels: ReadModels, userId: string, after: Cursor['large']): Promise<readonly Summary[]> {
  const isLarge = { flags: { contains: 'large' } } as const;
  if ((await readModels.count(CONVERSATIONS, isLarge, 1)) === 0) return [];
  const found: Summary[] = [];
  let next: string | null = null;
  do {
    const query = { filter: { userId }, limit: IDS_MAX, ...behind(next) };
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
    throw new StoreError('INVALID', 'not a cursor of this list', { cause: error });
  }
  throw new StoreError('INVALID', 'not a cursor of this list');
}

function isCursor(value: unknown): value is Cursor {
  if (typeof value !== 'object' || value === null) return false;
  const { named, namedEnd, large } = value as Partial<Record<keyof Cursor, unknown>>;
  const isLarge =
    large === null || (Array.isArray(large) && large.length === 2 && large.every((part) => typeof part === 'string'));
  return (named === null || typeof named === 'string') && typeof namedEnd === 'boolean' && isLarge;
}
