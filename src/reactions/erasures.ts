import type { UserEvent } from '../aggregates/user/events.ts';
import type { CommandMetadata } from '../kernel/command.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import { type Reaction, reactionsOf } from './reaction.ts';

/** The name of a person's account: the stream in which it is reserved. */
export type ReservedName = Readonly<{ kind: 'username' | 'address'; id: string }>;
type Cause = Pick<CommandMetadata, 'actor' | 'correlationId' | 'causationId'>;
type Group = Readonly<{ conversationId: string; successors: readonly string[] }>;

/** The steps of an erasure; each changes nothing where it was done before. See `Erasures` of `src/identity/erasure-steps.ts`. */
export interface ErasureSteps {
  complete(person: Readonly<{ userId: string; names: readonly ReservedName[] }>, cause: Cause): Promise<void>;
  leave(membership: Readonly<{ userId: string }> & Group, cause: Cause): Promise<void>;
}

export type ErasureDeps = Readonly<{
  log: Pick<EventLog, 'head'>;
  steps: ErasureSteps;
  /** The groups that a person is in, as of a position or later. */
  groupsOf(userId: string, position: Position | null): AsyncIterable<readonly Group[]>;
}>;

/** Groups that are left at once. */
const AT_ONCE = 16;
/**
 * When the groups are looked through again, in ms after `UserErased`: a command that another node had checked before it read the erasure may have added
 * the person to a group since. Longer than such a command can take (10 s), and than other nodes may be lagging.
 */
const LOOK_AGAIN_MS = 30_000;

/**
 * Completes erasures: what a request has left undone because its process was killed or a store was unavailable, and the groups of the person, however many
 * there are. An attempt that takes too long is continued by the next one, which finds fewer groups.
 */
export function createErasureReaction({ log, steps, groupsOf }: ErasureDeps): Reaction {
  async function leaveGroups(userId: string, cause: Cause): Promise<void> {
    for await (const groups of groupsOf(userId, await log.head())) {
      for (let from = 0; from < groups.length; from += AT_ONCE) {
        const some = groups.slice(from, from + AT_ONCE);
        await Promise.all(some.map((group) => steps.leave({ userId, ...group }, cause)));
      }
    }
  }

  return {
    name: 'erasures',
    collection: 'erasures',
    delays: new Map([['UserErased', LOOK_AGAIN_MS]]),
    on: reactionsOf<UserEvent>({
      async ErasureRequested({ data: { userId, names }, ...event }) {
        const cause = causeOf(event);
        await steps.complete({ userId, names }, cause);
        await leaveGroups(userId, cause);
      },
      UserErased: ({ data: { userId }, ...event }) => leaveGroups(userId, causeOf(event)),
    }),
    // Whatever prevents an erasure, it is attempted as long as the worker permits.
    isPermanent: () => false,
  };
}

function causeOf({ metadata }: Pick<RecordedEvent, 'metadata'>): Cause {
  const { actor, correlationId, commandId } = metadata;
  return { actor, correlationId, causationId: commandId };
}
