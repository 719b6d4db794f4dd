import type { Conversations } from '../../conversations/conversations.ts';
import type { Identity } from '../../identity/identity.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Hub } from '../../push/hub.ts';
import type { RateLimits } from '../request/rate-limits.ts';

/** What live connections work with. */
export type LiveDeps = Readonly<{
  hub: Hub;
  identity: Identity;
  conversations: Conversations;
  clock: Clock;
  logger: Logger;
  /** Shared with the REST routes: frames and messages per user, tokens that were refused per network. */
  limits: Pick<RateLimits, 'frame' | 'message' | 'badToken'>;
  socketsPerUser: number;
  /** Origins that a browser may connect from. */
  allowedOrigins: readonly string[];
}>;
