import { Refusal } from '../../kernel/errors.ts';
import type { ConversationsView, OwnConversation } from '../../projections/views/conversations.ts';

/**
 * The one way to a conversation's data: for its members. Others are told the same as if there were none (`not-found`). What a member reads begins above
 * `membership.joinedSeq`.
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
