import { conversation } from '../aggregates/conversation/decider.ts';
import { address, username } from '../aggregates/reservation/decider.ts';
import { sessionOver } from '../aggregates/sessions/decider.ts';
import { activeAccountOf, user } from '../aggregates/user/decider.ts';
import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext } from '../commands/request-context.ts';
import type { CommandMetadata } from '../kernel/command.ts';
import { isUnavailable, Refusal } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { positionOf } from './context.ts';
import type { ErasedPerson, ErasureCause, ReservedName } from './erasure-steps.ts';
import type { Identity } from './identity.ts';
import type { LiveSessions } from './live-sessions.ts';
import type { NameIds } from './names.ts';
import type { RequireOwner } from './reauthentication.ts';

type Deps = Readonly<{
  commands: CommandHandler;
  books: Books;
  personalKeys: { destroy(personId: string): Promise<void> };
  names: NameIds;
  liveSessions: LiveSessions;
  requireOwner: RequireOwner;
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

const reservations = { username, address };

/** Erases accounts at the request of their owners. A reaction completes what a request has left undone, and the person's groups. */
export function createErasures(deps: Deps): Pick<Identity, 'erase' | 'erasures'> {
  const { commands, books, personalKeys, names, liveSessions, requireOwner, clock, random, logger } = deps;

  /** Each time with an id of its own: whether a step was done follows from the state of its stream. */
  function metadataOf(cause: ErasureCause): CommandMetadata {
    const now = clock.now();
    return { ...cause, commandId: random.uuid(now), at: new Date(now).toISOString() };
  }

  async function eraseUser({ userId, names }: ErasedPerson, cause: ErasureCause) {
    await personalKeys.destroy(userId);
    const erase = { type: 'EraseUser' as const, data: { userId }, metadata: metadataOf(cause) };
    const handled = await commands.handle(user, userId, erase);
    liveSessions.forget(userId);
    for (const { kind, id } of names) {
      const metadata = metadataOf(cause);
      const release = { type: 'ReleaseName' as const, data: { kind, holder: userId }, metadata };
      books.consider(await commands.handle(reservations[kind], id, release), {
        aggregate: reservations[kind],
        id,
        metadata,
      });
    }
    return handled;
  }

  async function complete(person: ErasedPerson, cause: ErasureCause): Promise<void> {
    await eraseUser(person, cause);
  }

  return {
    async erase({ userId, signedInAt }, { currentPassword, address: from }, context: RequestContext) {
      const { metadata, earlier } = context;
      if (earlier !== undefined) return { userId, position: positionOf(earlier) };
      const account = activeAccountOf((await commands.load(user, userId, 'fresh')).state);
      if (account === null) throw sessionOver();
      await requireOwner(account, { signedInAt, currentPassword, address: from, at: metadata.at });
      const reserved: ReservedName[] = [];
      if (account.username !== null) reserved.push({ kind: 'username', id: names.username(account.username) });
      if (account.email !== null) reserved.push({ kind: 'address', id: names.address(account.email) });
      const request = { type: 'RequestErasure' as const, data: { userId, names: reserved }, metadata };
      const requested = await commands.handle(user, userId, request, mainOptions(context));
      liveSessions.forget(userId);
      const { actor, correlationId, commandId } = metadata;
      try {
        const cause = { actor, correlationId, causationId: commandId };
        return { userId, position: positionOf(await eraseUser({ userId, names: reserved }, cause)) };
      } catch (error) {
        // The request is durable, and the reaction to it goes on from here.
        const isTemporary = isUnavailable(error) || (error instanceof Refusal && error.code === 'outcome-unknown');
        if (!isTemporary) throw error;
        logger.warn({ err: error, userId, correlationId }, 'an erasure was interrupted and will be completed');
        return { userId, position: positionOf(requested) };
      }
    },

    erasures: {
      complete,

      async leave({ userId, conversationId, successors }, cause) {
        const data = { conversationId, userId, successors: [...successors] };
        const metadata = metadataOf(cause);
        await commands.handle(conversation, conversationId, { type: 'RemoveErasedMember', data, metadata });
      },

      async repeat({ userId, names }) {
        const metadata = metadataOf({ actor: null, correlationId: random.uuid(clock.now()), causationId: null });
        const data = { userId, names: [...names] };
        await commands.handle(user, userId, { type: 'RequestErasure', data, metadata });
        const { correlationId, commandId } = metadata;
        await complete({ userId, names }, { actor: null, correlationId, causationId: commandId });
      },
    },
  };
}
