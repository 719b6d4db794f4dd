import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { Page } from '../../ports/documents.ts';
import type { MembershipBody } from '../models/memberships.ts';
import type { UserBody } from '../models/users.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { MEMBERSHIPS, USERS } from './collections.ts';
import { createConversationsView, type OwnConversation } from './conversations.ts';
import { afterOption } from './list.ts';

/** A group that a person is in, and up to 100 other members in the order of joining; none when the person does not own the group. */
export type GroupOfPerson = Readonly<{ conversationId: string; successors: readonly string[] }>;

/**
 * What erasures read; the projections are `users`, `conversations` and `memberships`. All methods read pages of at most `PAGE` and throw `UNAVAILABLE`
 * when the read models do not reach the position in time, and the refusal `not-yet-visible` while they are not built.
 */
export interface ErasuresView {
  /** The groups that a person is in, as of `position` or later. */
  groupsOf(userId: string, position: Position | null): AsyncIterable<readonly GroupOfPerson[]>;
  /** Ids of the persons who were erased. */
  erased(position: Position | null, signal: AbortSignal): AsyncIterable<readonly string[]>;
  /** Ids of the persons whose names cannot be read although they were not erased, as of `position` or later. */
  unreadable(position: Position | null, signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** How long a call waits for the read models, in ms. */
const PATIENCE_MS = 2_000;
const PAGE = 200;

export function createErasuresView(readModels: ReadModels): ErasuresView {
  const conversations = createConversationsView(readModels);

  async function reach(projections: readonly string[], position: Position | null, signal?: AbortSignal): Promise<void> {
    for (const projection of projections) await readModels.requireReadable(projection);
    if (position === null || (await readModels.waitFor(projections, position, PATIENCE_MS, signal))) return;
    throw new StoreError('UNAVAILABLE', `the read models are not up to date: ${projections.join(', ')}`);
  }

  async function* unnamed(status: UserBody['status']): AsyncGenerator<readonly string[]> {
    const filter = { status, username: null };
    let next: string | null = null;
    do {
      const page: Page<UserBody> = await readModels.find<UserBody>(USERS, {
        filter,
        limit: PAGE,
        ...afterOption(next),
      });
      yield page.items.map(({ id }) => id);
      next = page.next;
    } while (next !== null);
  }

  async function groupOf(conversationId: string, userId: string): Promise<readonly GroupOfPerson[]> {
    const own: OwnConversation | null = await conversations.ofMember(conversationId, userId);
    if (own?.conversation.kind !== 'group') return [];
    if (own.conversation.ownerId !== userId) return [{ conversationId, successors: [] }];
    const members = (await conversations.firstMembers([own.conversation])).get(conversationId) ?? [];
    const successors = members.map((member) => member.userId).filter((id) => id !== userId);
    return [{ conversationId, successors }];
  }

  return {
    async *groupsOf(userId, position) {
      await reach(['memberships', 'conversations'], position);
      let next: string | null = null;
      do {
        const query = { filter: { userId }, limit: PAGE, ...afterOption(next) };
        const page: Page<MembershipBody> = await readModels.find<MembershipBody>(MEMBERSHIPS, query);
        const found = await Promise.all(page.items.map(({ body }) => groupOf(body.conversationId, userId)));
        yield found.flat();
        next = page.next;
      } while (next !== null);
    },

    async *erased(position, signal) {
      await reach(['users'], position, signal);
      yield* unnamed('erased');
    },

    async *unreadable(position, signal) {
      await reach(['users'], position, signal);
      for (const status of ['pending', 'active', 'erasing'] as const) yield* unnamed(status);
    },
  };
}
