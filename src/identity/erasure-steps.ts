import type { CommandMetadata } from '../kernel/command.ts';

/** The id of the stream in which a name is reserved. */
export type ReservedName = Readonly<{ kind: 'username' | 'address'; id: string }>;

/** A person whose erasure was requested, and the names of their account. */
export type ErasedPerson = Readonly<{ userId: string; names: readonly ReservedName[] }>;

/** What an erasure follows from; for the metadata of its events. */
export type ErasureCause = Pick<CommandMetadata, 'actor' | 'correlationId' | 'causationId'>;

/**
 * The steps of an erasure after its request. Each of them may have been done before, completely or in part, and changes nothing then, so that an erasure
 * which was interrupted at any place is completed by taking all of them again.
 */
export interface Erasures {
  /** Destroys the personal key, appends `UserErased`, and frees the names, in this order: the event says that the key is gone. */
  complete(person: ErasedPerson, cause: ErasureCause): Promise<void>;
  /** The person leaves a group. See `RemoveErasedMember` for who follows an owner. */
  leave(
    membership: Readonly<{ userId: string; conversationId: string; successors: readonly string[] }>,
    cause: ErasureCause,
  ): Promise<void>;
  /** Requests the erasure where the log does not have the request, and completes it: the log was restored from a copy of before. */
  repeat(person: ErasedPerson): Promise<void>;
}
