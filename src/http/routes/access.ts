import { Refusal } from '../../kernel/errors.ts';
import type { ConversationsView, OwnConversation } from '../../projections/views/conversations.ts';

/**
 * The one way to the data of a conversation: only for its members. Everyone else gets `not-found`, as if it did not exist. Members read messages
 * after `membership.joinedSeq`.
 */
export async function conversationOf(
  view: ConversationsView,
  conversationId: string,
  userId: string,
): Promise<OwnConversation> {
  const own = await view.ofMember(conversationId, userId);
  if (own === null) throw new Refusal('not-found', 'there is no such conversation');
  return own;
}
