import { conversations } from './conversations.ts';
import { memberships } from './memberships.ts';
import { messages } from './messages.ts';
import type { Projection } from './projection.ts';
import { users } from './users.ts';

/** Every projection of Parley. Each one's own file says what its documents are. */
export const projections: readonly Projection[] = [users, conversations, messages, memberships];
