import { address, username } from '../aggregates/reservation/decider.ts';
import { accountOf, user } from '../aggregates/user/decider.ts';
import type { Books } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { mainOptions, type RequestContext, stepOptions } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import { laterPosition, type Position } from '../kernel/position.ts';
import { laterThan, positionOf, stepOf } from './context.ts';
import type { Accepted, Registration } from './identity.ts';
import type { MailAllowance } from './mail-allowance.ts';
import type { NameIds } from './names.ts';

/** Lifetime of the link to set the first password, and of the reservations of the account's names, in ms. */
export const WELCOME_MS = 24 * 60 * 60_000;
/** Hexadecimal digits of the ids of decoys: a limited number of streams, and so many that two registrations rarely meet in one. */
const DECOY_DIGITS = 3;
/** The reservation of a decoy never hinders another one. */
const EXPIRED = new Date(0).toISOString();

type Deps = Readonly<{ commands: CommandHandler; books: Books; names: NameIds; allowance: MailAllowance }>;

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
 * Registers in these steps, so that a stranger cannot find out whether an address has an account:
 * 1. The username is reserved for 24 h, also when the next steps fail, so that trying it again discloses nothing about the address.
 * 2. The address is reserved for the same time. If that succeeds, the account is created, and a reaction mails its link.
 * 3. If the address is held already, the response is the same, with an id that is never used. The holder's account is notified instead: by a new link
 *    while it is pending, by a warning once it is active. This takes as many events, in as many rounds, as a new account, so that neither the
 *    duration nor the position of the response distinguishes the two cases.
 * 4. If the holder has no account, another registration of this address failed before it created the account, or is about to create it. Both cases
 *    look the same, so this registration completes it: it creates the account with the holder's id, and the later of the two finds it created.
 *    Either way the owner of the address gets one link.
 */
export function createRegistration(deps: Deps): (input: Registration, context: RequestContext) => Promise<Accepted> {
  const { names } = deps;
  return async (input, context) => {
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
    const isFree = await reserve(deps, plan, 'address', { id: plan.addressId, holder: userId });
    return { userId, position: isFree ? await openAccount(deps, plan, userId) : await addressInUse(deps, plan) };
  };
}

async function openAccount({ commands, allowance }: Deps, plan: Plan, userId: string): Promise<Position> {
  const { input, context, linkId, until } = plan;
  const { email, username, firstname, lastname, language } = input;
  await allowance.take(plan.addressId);
  const data = { userId, email: email.trim(), username, firstname, lastname, linkId, linkExpiresAt: until, language };
  const { metadata } = context;
  return positionOf(
    await commands.handle(user, userId, { type: 'RegisterUser', data, metadata }, mainOptions(context)),
  );
}

async function addressInUse(deps: Deps, plan: Plan): Promise<Position> {
  const { commands, names, allowance } = deps;
  const { addressId, usernameId, userId } = plan;
  const { state: reservation } = await commands.load(address, addressId, 'fresh');
  if (reservation.status === 'free') {
    throw new Refusal('unavailable', 'this e-mail address could not be reserved; try again', { retryAfterMs: 1_000 });
  }
  const { holder } = reservation;
  const { state } = await commands.load(user, holder, 'fresh');

  if (state.status === 'none') {
    await release(deps, plan, 'username', { id: usernameId, holder: userId });
    if (!(await reserve(deps, plan, 'username', { id: usernameId, holder }))) throw usernameTaken();
    return openAccount(deps, plan, holder);
  }
  const account = accountOf(state);
  // Always taken, so that the duration does not depend on the account.
  const mayMail = await allowance.take(addressId);
  // An erased account has no owner who could be notified.
  if (account === null || account.username === null || !mayMail) return decoy(deps, plan, null);
  if (account.status === 'active') return decoy(deps, plan, holder);

  // The names of a pending account are reserved for as long as its new link is good. The username first: an account without its username can
  // never be activated, so the reservation of its address must expire.
  const own = { id: names.username(account.username), holder };
  if (!(await reserve(deps, plan, 'username', own))) return decoy(deps, plan, null);
  const [, position] = await Promise.all([
    reserve(deps, plan, 'address', { id: addressId, holder }),
    notifyHolder(commands, plan, holder),
  ]);
  return position;
}

/** Does as much work as the creation of an account: reserves and releases a name that cannot be requested. Notifies the holder, if there is one. */
async function decoy(deps: Deps, plan: Plan, holder: string | null): Promise<Position> {
  const name = { id: `decoy-${plan.userId.slice(-DECOY_DIGITS)}`, holder: plan.userId, until: EXPIRED };
  await reserve(deps, plan, 'address', name);
  const [released, notified] = await Promise.all([
    release(deps, plan, 'address', name),
    holder === null ? null : notifyHolder(deps.commands, plan, holder),
  ]);
  return laterPosition(released, notified) ?? released;
}

async function notifyHolder(
  commands: CommandHandler,
  { input, context, linkId, until }: Plan,
  holder: string,
): Promise<Position> {
  const data = { userId: holder, linkId, linkExpiresAt: until, language: input.language };
  // The holder's stream is short, so a repeated request can search all of it.
  const options = { ...mainOptions(context), handledSince: context.handledSince === undefined ? undefined : -1n };
  const { metadata } = context;
  return positionOf(await commands.handle(user, holder, { type: 'RepeatRegistration', data, metadata }, options));
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

function usernameTaken(): Refusal {
  const errors = [{ path: '/username', message: 'is taken' }];
  return new Refusal('username-taken', 'this username is taken; choose another', { errors });
}
