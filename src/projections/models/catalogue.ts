import { conversations } from './conversations.ts';
import { memberships } from './memberships.ts';
import { messages } from './messages.ts';
import type { Projection } from './projection.ts';
import { users } from './users.ts';

/** All projections. The documents of each are described in its file. */
export const projections: readonly Projection[] = [users, conversations, messages, memberships];
