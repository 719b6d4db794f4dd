import type { Conversations } from '../conversations/conversations.ts';
import type { Identity } from '../identity/identity.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Hub } from '../push/hub.ts';
import type { RateLimit } from './rate-limits.ts';

/** What live connections work with. A rate of `null` is not limited. */
export type LiveDeps = Readonly<{
  hub: Hub;
  identity: Identity;
  conversations: Conversations;
  clock: Clock;
  logger: Logger;
  limits: Readonly<{
    /** Client frames of any type, per user. */
    frameRate: RateLimit | null;
    /** Messages sent, per user; shared with the REST routes. */
    messageRate: RateLimit | null;
    socketsPerUser: number;
  }>;
  /** Origins that a browser may connect from. */
  allowedOrigins: readonly string[];
}>;
