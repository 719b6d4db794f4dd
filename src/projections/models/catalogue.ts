import { conversations } from './conversations.ts';
import { memberships } from './memberships.ts';
import { messages } from './messages.ts';
import type { Projection } from './projection.ts';
import { users } from './users.ts';

/** Every projection of Parley. Its documents are described in its own file. */
export const projections: readonly Projection[] = [users, conversations, messages, memberships];
