import type { RequestContext } from '../../commands/request-context.ts';
import type { Done, NewMessage } from '../../conversations/conversations.ts';
import type { Principal } from '../../identity/identity.ts';
import { Refusal } from '../../kernel/errors.ts';
import { randomIds, uuidv7 } from '../../kernel/ids.ts';
import { charge } from '../request/authentication.ts';
import type { ClientFrame } from './client-frames.ts';
import type { LiveDeps } from './deps.ts';

type Asking = Exclude<ClientFrame, { type: 'auth' | 'resume' }>;

/** Does what a frame asks, and gives what its `ack` says. Throws what the command throws. */
export async function performFrame(
  deps: LiveDeps,
  principal: Principal,
  frame: Asking,
  correlationId: string,
): Promise<Partial<Pick<Done, '_id' | 'position'>>> {
  const nowMs = deps.clock.now();
  const metadata = {
    commandId: uuidv7(nowMs),
    actor: principal.userId,
    at: new Date(nowMs).toISOString(),
    correlationId,
    causationId: null,
  };
  const context: RequestContext = { ids: randomIds, metadata };
  switch (frame.type) {
    case 'ping':
      return {};
    case 'open':
      return told(await deps.conversations.open(frame.conversationId, frame.seq, context));
    case 'send':
      return told(await send(deps, frame, context));
    default:
      frame satisfies never;
      return {};
  }
}

async function send(deps: LiveDeps, frame: Extract<Asking, { type: 'send' }>, context: RequestContext): Promise<Done> {
  charge(deps.limits.message, context.metadata.actor ?? '');
  const { conversationId, otherUserId, content, messageId, replyTo, mentions } = frame;
  const message: NewMessage = {
    content,
    ...(messageId === undefined ? {} : { messageId }),
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(mentions === undefined ? {} : { mentions }),
  };
  if (conversationId !== undefined && otherUserId === undefined) {
    return deps.conversations.send(conversationId, message, context);
  }
  if (otherUserId !== undefined && conversationId === undefined) {
    return deps.conversations.sendTo(otherUserId, message, context);
  }
  const errors = [{ path: '/conversationId', message: 'is needed, or else otherUserId, and not both' }];
  throw new Refusal('malformed', 'a message goes to a conversation or to a user', { errors });
}

const told = ({ _id, position }: Done) => ({ _id, position });
