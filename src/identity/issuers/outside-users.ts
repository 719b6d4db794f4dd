import { username as reservation } from '../../aggregates/reservation/decider.ts';
import { user } from '../../aggregates/user/decider.ts';
import type { Books } from '../../commands/books.ts';
import type { CommandHandler } from '../../commands/command-handler.ts';
import type { ReservationCommand } from '../../commands/reservation.ts';
import type { CommandMetadata } from '../../kernel/command.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import type { NameIds } from '../names.ts';
import { hmac } from '../secrets.ts';
import type { OutsidePerson } from './claims.ts';
import { personName, usernamesFor } from './suggested-names.ts';

type Deps = Readonly<{
  commands: CommandHandler;
  books: Books;
  names: NameIds;
  clock: Clock;
  random: Random;
  /** The key of the ids. */
  secret: Uint8Array;
}>;

/** The accounts of persons whom outside issuers authenticate. */
export class OutsideUsers {
  readonly #deps: Deps;
  readonly #opening = new Map<string, Promise<void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The id of a person's account, whether or not it exists. An HMAC, so that it does not disclose the subject after an erasure. */
  idOf({ issuer, subject }: OutsidePerson): string {
    return hmac(this.#deps.secret, JSON.stringify([issuer, subject]))
      .toString('hex')
      .slice(0, 24);
  }

  /**
   * Opens the account of a person unless it exists. Never linked to another account, whatever address the token has. Throws `unauthenticated` when the
   * account was erased.
   */
  open(person: OutsidePerson): Promise<void> {
    const userId = this.idOf(person);
    const opening = this.#opening.get(userId) ?? this.#open(userId, person);
    this.#opening.set(userId, opening);
    return opening;
  }

  async #open(userId: string, person: OutsidePerson): Promise<void> {
    try {
      const { commands } = this.#deps;
      const { state } = await commands.load(user, userId, 'fresh');
      // Decided without a username, because an existing account has one already.
      const username = state.status === 'none' ? await this.#takeUsername(userId, person) : '';
      const { issuer, subject, email } = person;
      const names = { username, firstname: personName(person.firstname), lastname: personName(person.lastname) };
      const command = {
        type: 'ProvisionUser' as const,
        data: { userId, issuer, subject, email, ...names },
        metadata: this.#metadata(userId),
      };
      const { events } = await commands.handle(user, userId, command);
      // Another node was first, and may have taken another username.
      if (username !== '' && events.length === 0) await this.#releaseUnused(userId, username);
    } finally {
      this.#opening.delete(userId);
    }
  }

  /** Confirms the first username that is free. */
  async #takeUsername(userId: string, person: OutsidePerson): Promise<string> {
    for (const username of usernamesFor(person.username, userId)) {
      const data = { kind: 'username' as const, holder: userId, reservedAs: userId };
      try {
        await this.#handle(username, { type: 'ConfirmName', data, metadata: this.#metadata(userId) });
        return username;
      } catch (error) {
        if (!(error instanceof Refusal && error.code === 'already-exists')) throw error;
      }
    }
    throw new Refusal('unavailable', 'no username could be reserved for this account; try again', {
      retryAfterMs: 1_000,
    });
  }

  async #releaseUnused(userId: string, username: string): Promise<void> {
    const { commands, names } = this.#deps;
    const { state } = await commands.load(user, userId, 'fresh');
    const isUsed =
      state.status === 'active' &&
      state.username !== null &&
      names.username(state.username) === names.username(username);
    if (isUsed) return;
    const data = { kind: 'username' as const, holder: userId };
    await this.#handle(username, { type: 'ReleaseName', data, metadata: this.#metadata(userId) });
  }

  async #handle(username: string, command: ReservationCommand): Promise<void> {
    const { commands, books, names } = this.#deps;
    const id = names.username(username);
    const handled = await commands.handle(reservation, id, command);
    books.consider(handled, { aggregate: reservation, id, metadata: command.metadata });
  }

  #metadata(actor: string): CommandMetadata {
    const { clock, random } = this.#deps;
    const now = clock.now();
    const commandId = random.uuid(now);
    return { commandId, actor, at: new Date(now).toISOString(), correlationId: commandId, causationId: null };
  }
}
