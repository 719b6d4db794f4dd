import { address, username } from '../aggregates/reservation/decider.ts';
import { accountOf, user } from '../aggregates/user/decider.ts';
import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext, stepOptions } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import { laterPosition, type Position } from '../kernel/position.ts';
import type { KeyStore } from '../ports/keys.ts';
import type { Random } from '../ports/random.ts';
import { canonicalRegistration } from './canonical.ts';
import { laterThan, positionOf, stepOf } from './context.ts';
import type { Accepted, Registration } from './identity.ts';
import type { MailAllowance } from './mail-allowance.ts';
import type { NameIds } from './names.ts';
import { usernameTaken } from './usernames.ts';

/** Lifetime of the link to set the first password, and of the reservations of the account's names, in ms. */
export const WELCOME_MS = 24 * 60 * 60_000;
/** Attempts to reserve an address while other registrations of it come and go. */
const ATTEMPTS = 3;
/** Hexadecimal digits of the ids of decoys: a limited number of streams, and so many that two registrations rarely meet in one. */
const DECOY_DIGITS = 3;
/** Bytes of a personal key. */
const KEY_BYTES = 32;
/** The reservation of a decoy never hinders another one. */
const EXPIRED = new Date(0).toISOString();

type Deps = Readonly<{
  commands: CommandHandler;
  books: Books;
  keys: Pick<KeyStore, 'create'>;
  random: Random;
  names: NameIds;
  allowance: MailAllowance;
}>;

/** One registration: its input, and the ids and times made for it. */
type Plan = Readonly<{
  input: Registration;
  context: RequestContext;
  userId: string;
  usernameId: string;
  addressId: string;
  linkId: string;
  until: string;
}>;

/**
 * What a registration does with its address:
 * - `open`: the address is free, so that an account of its own is opened;
 * - `join`: the address is reserved by an account that is pending, or whose creation failed or is in progress; its profile and link are replaced;
 * - `decoy`: nothing, except that the holder, if there is one, is warned.
 */
type Path = Readonly<{ kind: 'open' } | { kind: 'join'; holder: string } | { kind: 'decoy'; holder: string | null }>;

/**
 * Registers in three steps of one append each, so that a stranger cannot find out whether an address has an account (docs/decisions/0028):
 * 1. The username is reserved for 24 h under an id of this request, also when the address has an account, so that trying it again discloses nothing.
 * 2. The address is reserved for the same time, for the new account or again for the pending one that holds it.
 * 3. The account is opened, or gets the names of this registration and a new link; a reaction mails the link. The profile belongs to the link: using it
 *    proves that the address is one's own, and the account has the names of that link's registration.
 *
 * For an active or erased account, and when no further mail may be sent, decoys take the place of steps 2 and 3. The response is the same on every
 * path, with an id that may never be used, and so are the number of reads, appends in a row, and events, and a key is created on each.
 */
export function createRegistration(deps: Deps): (input: Registration, context: RequestContext) => Promise<Accepted> {
  const { names, allowance } = deps;
  return async (given, context) => {
    const input = canonicalRegistration(given);
    const userId = context.ids.objectId('user');
    if (context.earlier !== undefined) return { userId, position: positionOf(context.earlier) };
    const plan: Plan = {
      input,
      context,
      userId,
      usernameId: names.username(input.username),
      addressId: names.address(input.email),
      linkId: context.ids.uuid('link', Date.parse(context.metadata.at)),
      until: laterThan(context, WELCOME_MS),
    };
    if (!(await reserve(deps, plan, 'username', { id: plan.usernameId, holder: userId }))) throw usernameTaken();
    // A repetition of a request that failed belongs to the same mail.
    const mayMail = context.handledSince !== undefined || (await allowance.take(plan.addressId));
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const path = await pathOf(deps, plan, mayMail);
      if (path.kind === 'decoy') return { userId, position: await decoy(deps, plan, path.holder) };
      const holder = path.kind === 'open' ? userId : path.holder;
      // Refused when another registration has reserved the address since.
      if (!(await reserve(deps, plan, 'address', { id: plan.addressId, holder }))) continue;
      if (holder !== userId) await createUnusedKey(deps, plan);
      return { userId, position: await registerUser(deps, plan, holder) };
    }
    throw new Refusal('unavailable', 'this e-mail address could not be reserved; try again', { retryAfterMs: 1_000 });
  };
}

/** Reads the reservation of the address and the account that holds it; for a free address an account that does not exist, at the same cost. */
async function pathOf({ commands }: Deps, plan: Plan, mayMail: boolean): Promise<Path> {
  const { addressId, userId, context } = plan;
  const { state: reservation } = await commands.load(address, addressId, 'fresh');
  const isFree =
    reservation.status === 'free' ||
    reservation.holder === userId ||
    (reservation.status === 'reserved' && reservation.until <= context.metadata.at);
  const holder = isFree ? userId : reservation.holder;
  const { state } = await commands.load(user, holder, 'fresh');
  if (isFree) return mayMail ? { kind: 'open' } : { kind: 'decoy', holder: null };
  const account = accountOf(state);
  // An erased account has no owner who could be notified.
  const isErased = state.status !== 'none' && (account === null || account.email === null);
  if (isErased || !mayMail) return { kind: 'decoy', holder: null };
  return account?.status === 'active' ? { kind: 'decoy', holder } : { kind: 'join', holder };
}

/** Reserves and releases a name that cannot be requested, and warns the holder if there is one: as many events as for a new account. */
async function decoy(deps: Deps, plan: Plan, holder: string | null): Promise<Position> {
  const name = { id: decoyId(plan.userId), holder: plan.userId, until: EXPIRED };
  await reserve(deps, plan, 'address', name);
  await createUnusedKey(deps, plan);
  const [released, warned] = await Promise.all([
    release(deps, plan, 'address', name),
    holder === null ? reserveDecoy(deps, plan) : registerUser(deps, plan, holder),
  ]);
  return laterPosition(released, warned) ?? released;
}

/** The first event of a new account takes a write to the key store; so does every other registration. */
async function createUnusedKey({ keys, random }: Deps, { userId }: Plan): Promise<void> {
  await keys.create(`unused/${userId}`, random.bytes(KEY_BYTES));
}

/** In place of the warning: its id differs from that of the other decoy of the request. */
async function reserveDecoy(deps: Deps, plan: Plan): Promise<null> {
  const id = decoyId(plan.userId.slice(0, -DECOY_DIGITS));
  await reserve(deps, plan, 'address', { id: `${id}-warning`, holder: plan.userId, until: EXPIRED });
  return null;
}

const decoyId = (userId: string): string => `decoy-${userId.slice(-DECOY_DIGITS)}`;

/** The last step, on the account of the address. */
async function registerUser({ commands }: Deps, plan: Plan, accountId: string): Promise<Position> {
  const { input, context, linkId, until, userId } = plan;
  const { email, username, firstname, lastname, language } = input;
  const names = { email, username, firstname, lastname, usernameHolder: userId };
  const data = { userId: accountId, ...names, linkId, linkExpiresAt: until, language };
  // The stream of another account is short, so that a repeated request can search all of it.
  const isRepeated = context.handledSince !== undefined && accountId !== userId;
  const options = { ...mainOptions(context), ...(isRepeated ? { handledSince: -1n } : {}) };
  const { metadata } = context;
  return positionOf(await commands.handle(user, accountId, { type: 'RegisterUser', data, metadata }, options));
}

type Kind = 'username' | 'address';
/** `until`: by default, the end of the registration's link. */
type Name = Readonly<{ id: string; holder: string; until?: string }>;

/** Reserves a name for the lifetime of the registration's link. `false` when another user holds it. */
async function reserve({ commands, books }: Deps, plan: Plan, kind: Kind, name: Name): Promise<boolean> {
  const { id, holder, until = plan.until } = name;
  const metadata = stepOf(plan.context, `reserve ${kind} ${id} ${holder}`);
  const data = { kind, holder, until };
  try {
    const command = { type: 'ReserveName' as const, data, metadata };
    const handled = await commands.handle(reservations[kind], id, command, stepOptions(plan.context));
    books.consider(handled, { aggregate: reservations[kind], id, metadata });
    return true;
  } catch (error) {
    if (error instanceof Refusal && error.code === 'already-exists') return false;
    throw error;
  }
}

async function release({ commands, books }: Deps, plan: Plan, kind: Kind, { id, holder }: Name): Promise<Position> {
  const metadata = stepOf(plan.context, `release ${kind} ${id} ${holder}`);
  const command = { type: 'ReleaseName' as const, data: { kind, holder }, metadata };
  const handled = await commands.handle(reservations[kind], id, command, stepOptions(plan.context));
  books.consider(handled, { aggregate: reservations[kind], id, metadata });
  return positionOf(handled);
}

const reservations = { username, address };
