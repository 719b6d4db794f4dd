import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { Page } from '../../ports/documents.ts';
import type { MembershipBody } from '../models/memberships.ts';
import type { ReadModels } from '../runner/read-models.ts';
import { MEMBERSHIPS } from './collections.ts';
import { afterOption } from './list.ts';

/** A conversation that a user is in, and the position of the event by which they joined. */
export type UserRoom = Readonly<{ conversationId: string; since: Position }>;

/** What push reads when a user connects; the projection is `memberships`. */
export interface RoomsView {
  /**
   * The user's conversations as of `position` or later; deleted ones may be among them. Throws `UNAVAILABLE` when the read model does not reach
   * the position in time, or the user is in too many, and the refusal `not-yet-visible` when it is not built yet.
   */
  ofUser(userId: string, position: Position | null): Promise<readonly UserRoom[]>;
}

/** How long a connecting user waits for the read model, in ms. */
const PATIENCE_MS = 5_000;
/** Memberships in one query. */
const PAGE = 1_000;
/** Conversations of one user that push can follow: 100,000. */
const PAGES_MAX = 100;

export function createRoomsView(readModels: ReadModels): RoomsView {
  return {
    async ofUser(userId, position) {
      // A connecting user is refused at once, and not after waiting for a read model that takes minutes to be built.
      await readModels.requireReadable('memberships');
      if (position !== null && !(await readModels.waitFor(['memberships'], position, PATIENCE_MS))) {
        throw new StoreError('UNAVAILABLE', 'the memberships are not up to date');
      }
      const rooms: UserRoom[] = [];
      let next: string | null = null;
      for (let pages = 0; pages < PAGES_MAX; pages++) {
        const query = { filter: { userId }, limit: PAGE, ...afterOption(next) };
        const page: Page<MembershipBody> = await readModels.find<MembershipBody>(MEMBERSHIPS, query);
        for (const { body } of page.items) {
          rooms.push({ conversationId: body.conversationId, since: body.since });
        }
        if (page.next === null) return rooms;
        next = page.next;
      }
      throw new StoreError('UNAVAILABLE', `a user in more than ${PAGES_MAX * PAGE} conversations cannot be followed`);
    },
  };
}
